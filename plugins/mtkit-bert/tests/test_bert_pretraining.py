"""Pretraining in recipes: alone and with other tasks, on replicas, taken up again, and what follows from it."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RecipeError
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.training.fit import Training
from mtkit_bert.layers import BertModel

UNSETS = (
    *("correlation.experts", "encoder.visit", "encoder.look", "encoder.past", "encoder.customer", "encoder.product"),
    *("task.gift", "task.discounted", "task.next", "rows.lines", "rows.windows"),
)
SETS = (
    "evaluate.baselines=[]",
    "evaluate.slices=[]",
    "train.steps_per_execution=2",
    "data.lines=1000",
    "data.users=30",
)
DEPARTMENT = ("task.department.inputs=['words']", "evaluate.main='department/accuracy'")
LANGUAGE = ("task.language={use='masked_language_model', rows='items', encoder='words'}",)
ALONE = (*LANGUAGE, "evaluate.main='language/perplexity'", "export={use='hugging_face', encoder='words'}")
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
#: Of the texts of the shop.
WORDS = ["red", "green", "blue", "thing", "of", "family", *map(str, range(12))]


@pytest.fixture
def checkpoint(make_checkpoint):
    """A checkpoint that knows the words of the shop."""

    def grown(state):
        name, rng = "embeddings.word_embeddings.weight", np.random.default_rng(2)
        more = rng.normal(0, 0.4, (len(WORDS), state[name].shape[1])).astype(np.float32)
        return state | {name: np.concatenate([state[name], more])}

    path = make_checkpoint(change=grown, vocab_size=15 + len(WORDS), **STILL)
    tokenizer = json.loads((path / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {word: number for number, word in enumerate(WORDS, start=15)}
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    return path


@pytest.fixture
def load(tiny_recipe, checkpoint):
    """A function from settings and options of the encoder `words` to a recipe."""

    def load(*sets, unsets=(), **options):
        defaults = {"use": "bert", "reads": ["item.text"], "checkpoint": str(checkpoint), "max_tokens": 12, "dim": 8}
        table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in (defaults | options).items())
        return load_recipe(tiny_recipe, (f"encoder.words={{{table}}}", *SETS, *sets), (*UNSETS, *unsets))

    return load


@pytest.fixture
def make_training(load, tmp_path):
    """A function from the arguments of `load` to a training on the test's cut."""

    def make(*sets, checkpoints=None, **options):
        recipe = load(*sets, **options)
        dataset = recipe.data.source.load()
        _, test = make_cuts(dataset, recipe.data.split)
        return Training(assemble(recipe, dataset, test, cache_dir=tmp_path), checkpoints)

    return make


def network(training):
    return training.pipeline.model.encoders["words"].network


@pytest.mark.slow
def test_pretrained_networks_are_read_by_other_recipes(make_training, tmp_path):
    training = make_training(*ALONE, "train.epochs=2", mode="full", unsets=["task.department"])
    before = network(training).words.embeddings.numpy()
    training.fit()
    values = evaluate(training.pipeline)
    assert list(values) == ["language/perplexity", "language/cross_entropy", "language/accuracy"]
    assert values["language/perplexity"] == pytest.approx(np.exp(values["language/cross_entropy"]))
    assert list(values.beside) == ["unigram"]
    assert values.beside["unigram"].keys() == values.keys()
    assert values.counts == {"language": len(training.pipeline.tables["items"]["eval"])}
    assert np.abs(network(training).words.embeddings - before).max() > 1e-3
    path = training.pipeline.recipe.export.export(training.pipeline, tmp_path / "export")
    ids = np.array([[2, 15, 18, 19, 3]])
    np.testing.assert_array_equal(BertModel.from_checkpoint(path)(ids), network(training)(ids))
    follower = make_training(*DEPARTMENT, "train.epochs=1", checkpoint=str(path), mode="last_n", n=1)
    np.testing.assert_array_equal(network(follower)(ids), network(training)(ids))
    follower.fit()
    assert "department/accuracy" in evaluate(follower.pipeline)


@pytest.mark.slow
def test_replicas_train_shared_weights_as_one_device_does(make_training, two_replicas):
    weights, losses = [], []
    for strategy in ("one_device", "mirrored"):
        training = make_training(*DEPARTMENT, *LANGUAGE, f"train.strategy={strategy}", "train.epochs=1", mode="full")
        assert training.pipeline.strategy.num_replicas_in_sync == (2 if strategy == "mirrored" else 1)
        training.fit()
        model = training.pipeline.model
        losses.append({name: float(tracker.result()) for name, tracker in model.trackers.items()})
        weights.append([v.numpy() for v in model.trainable_variables])
        assert model.heads["language"].step.numpy() == training.steps
    assert losses[0].keys() == {"department", "language"}
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-4)


@pytest.mark.slow
def test_a_training_is_taken_up_to_the_bit(make_training, tmp_path):
    def everything(training):
        return [v.numpy() for v in training.pipeline.model.variables + training.pipeline.model.optimizer.variables]

    options = {"mode": "full", "unsets": ["task.department"]}
    whole = make_training(*ALONE, "train.epochs=2", "deterministic=true", **options)
    whole.fit()
    kept = tmp_path / "kept"
    make_training(*ALONE, "train.epochs=1", "deterministic=true", checkpoints=kept, **options).fit()
    again = make_training(*ALONE, "train.epochs=2", "deterministic=true", checkpoints=kept, **options)
    assert again.restore() == again.steps // 2
    again.fit()
    for found, expected in zip(everything(again), everything(whole), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_from_the_command_line(load, checkpoint, tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))

    def run(name, *sets, unsets=(), command="run"):
        arguments = [part for key in (*UNSETS, *unsets) for part in ("--unset", key)]
        arguments += [part for pair in (*SETS, "train.epochs=1", *sets) for part in ("--set", pair)]
        result = CliRunner().invoke(main, [command, str(tiny_recipe), "--run-dir", str(tmp_path / name), *arguments])
        assert result.exit_code == 0, result.output
        return json.loads((tmp_path / name / "metrics.json").read_text()), result.output

    words = "encoder.words={{use='bert', reads=['item.text'], checkpoint='{}', mode='{}', max_tokens=12, dim=8}}"
    first = (words.format(checkpoint, "lora"), *ALONE)
    metrics, output = run("first", *first, unsets=["task.department"])
    assert metrics["test"].keys() == metrics["baselines"]["unigram"].keys()
    assert "unigram" in output
    assert {"language/cross_entropy", "language/accuracy"} == metrics["intervals"]["test"].keys()
    assert {path.name for path in (tmp_path / "first/export/1").iterdir()} >= {"config.json", "tokenizer.json"}
    alone, output = run("baselines", *first, unsets=["task.department"], command="baselines")
    assert "unigram" in output
    assert alone["baselines"] == metrics["baselines"]
    assert alone["intervals"]["baselines"] == metrics["intervals"]["baselines"]
    metrics, _ = run("second", *DEPARTMENT, words.format(tmp_path / "first/export/1", "frozen"))
    assert 0 <= metrics["test"]["department/accuracy"] <= 1


@pytest.mark.parametrize(
    ("sets", "options", "message"),
    [
        (ALONE, {}, r"task.language.encoder: 'words' is frozen; expected mode = 'full', 'last_n' or 'lora'"),
        (ALONE, {}, r"export: 'words' is frozen; expected mode"),
        (
            (*DEPARTMENT, "export={use='hugging_face', encoder='word'}"),
            {},
            r"export: no encoder is called 'word'; there are words",
        ),
        (
            (*LANGUAGE, "task.language.encoder='word'"),
            {},
            r"task.language.encoder: no encoder is called 'word'; did you mean 'words'\?",
        ),
        (
            (*LANGUAGE, "task.department={use='recommendation', inputs=['words', 'task.language']}"),
            {"mode": "full"},
            r"no task that predicts for each row is called 'task.language'",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_read(load, sets, options, message):
    with pytest.raises(RecipeError, match=message):
        load(*sets, **options)
