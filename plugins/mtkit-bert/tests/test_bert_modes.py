"""Modes of a text encoder within recipes: what is encoded when, checkpoints, exports."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from passes import answers
from tiny_shop import TinyShop

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RecipeError, StrategyError
from mtkit.feed.batch import Batch
from mtkit.model.assembly import assemble
from mtkit.model.forward import Forward, encode_limited
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.serving.export import save
from mtkit.training.fit import Training
from mtkit_bert.layers import BertModel
from mtkit_bert.tokenizer import load_tokenizer

UNSETS = (
    *("correlation.experts", "encoder.visit", "encoder.look", "encoder.past"),
    *("task.gift", "task.discounted", "rows.lines"),
)
ALONE = ("task.next", "rows.windows", "encoder.customer", "encoder.product")
"""What to leave out for a recipe with the task `department` alone."""
DEPARTMENT = ("evaluate.main='department/accuracy'", "evaluate.baselines=['majority']", "evaluate.slices=[]")
SETS = (
    "task.department.inputs=['words']",
    "train.steps_per_execution=2",
    "deterministic=true",
    "data.lines=1000",
    "data.users=30",
)
RETRIEVAL = (
    "task.next.query=['customer']",
    "task.next.candidate=['product', 'words']",
    "rows.windows.count=2",
)
NETWORK = "Erfc"
"""An operation that only the network has."""


@pytest.fixture
def make_training(make_checkpoint, tiny_recipe, tmp_path):
    """A function from options of the encoder `words` to a training of a recipe that reads it."""
    path = make_checkpoint()

    def make(*sets, alone=False, checkpoints=None, **options):
        options = {"use": "bert", "reads": ["item.text"], "checkpoint": str(path), "max_tokens": 12, "dim": 8} | options
        table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items())
        some, others = (DEPARTMENT, ALONE) if alone else (RETRIEVAL, ())
        sets = (f"encoder.words={{{table}}}", *SETS, *some, *sets)
        recipe = load_recipe(tiny_recipe, sets, (*UNSETS, *others))
        dataset = recipe.data.source.load()
        _, test = make_cuts(dataset, recipe.data.split)
        pipeline = assemble(recipe, dataset, test, cache_dir=tmp_path)
        return Training(pipeline, checkpoints)

    make.path = path
    return make


@pytest.fixture
def passes(monkeypatch):
    """The numbers of texts that went through networks, a number per trace or eager pass."""
    seen, call = [], BertModel.call

    def counted(self, ids, *rest, **options):
        seen.append(ids.shape[0])
        return call(self, ids, *rest, **options)

    monkeypatch.setattr(BertModel, "call", counted)
    return seen


def everything(training):
    values = [v.numpy() for v in training.pipeline.model.variables + training.pipeline.model.optimizer.variables]
    return values + [generator.state.numpy() for generator in training.generators]


def encodings(path, texts):
    return load_tokenizer(path, 12).encode_batch(texts)


def operations(signature):
    """Names of the operations of a signature's graph and of the functions that it calls."""
    graph = signature.graph.as_graph_def()
    library = {function.signature.name: function.node_def for function in graph.library.function}
    pending, found, done = list(graph.node), set(), set()
    while pending:
        node = pending.pop()
        found.add(node.op)
        for called in {value.func.name for value in node.attr.values()} - done:
            done.add(called)
            pending += library.get(called, ())
    return found


@pytest.mark.slow
def test_a_training_is_taken_up_to_the_bit(make_training, tmp_path):
    options = {"mode": "lora", "layer_decay": 0.5, "alone": True}
    whole = make_training("train.epochs=2", **options)
    before = everything(whole)
    whole.fit()
    make_training("train.epochs=1", checkpoints=tmp_path / "kept", **options).fit()
    again = make_training("train.epochs=2", checkpoints=tmp_path / "kept", **options)
    assert again.restore() == again.steps // 2
    again.fit()
    for found, expected in zip(everything(again), everything(whole), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(whole.generators) > 0
    assert not all(np.array_equal(*pair) for pair in zip(before, everything(whole), strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "full"},
        *(pytest.param(o, marks=pytest.mark.slow) for o in ({"mode": "full", "components": 4}, {"delta": True})),
    ],
    ids=str,
)
def test_exports_hold_the_trained_encoder(make_training, tmp_path, options):
    pipeline, rng = make_training(**options).pipeline, np.random.default_rng(0)
    for variable in pipeline.model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, variable.shape))
    signatures = tf.saved_model.load(str(save(pipeline, tmp_path / "export"))).signatures
    items = pipeline.fold.entities["item"]
    ids, texts = [str(value) for value in items.ids[1:]], items.columns["text"].to_pylist()[1:]
    forward, heads = Forward(pipeline.model), pipeline.model.heads
    expected = heads["next"].catalog(forward.task("next", Batch({}))).numpy()[1:]
    np.testing.assert_allclose(signatures["embed_item"](item_id=tf.constant(ids))["embedding"], expected, atol=1e-5)
    batch = Batch({"item": tf.range(1, len(items), dtype=tf.int32)})
    expected = heads["department"].answers(forward.task("department", batch))
    known = signatures["department"](item_id=tf.constant(ids))["probabilities"]
    np.testing.assert_allclose(known, expected, atol=1e-5)
    tokens = tf.ragged.constant([encoding.ids for encoding in encodings(make_training.path, texts)]).to_tensor()
    unseen = signatures["department_new_item"](item_text_token_ids=tokens)["probabilities"]
    if "delta" in options:
        assert np.abs(unseen - known).max() > 1e-4
    else:
        np.testing.assert_allclose(unseen, known, atol=1e-5)
    assert NETWORK in operations(signatures["department_new_item"])
    assert all(NETWORK not in operations(signatures[name]) for name in ("department", "embed_item", "recommend"))


def test_what_a_step_encodes(make_training, passes):
    pipeline = make_training(mode="lora").pipeline
    assert pipeline.plan.whole_embeddings() == {"product", "words"}
    alone = make_training("task.next.candidate=['product']", mode="lora").pipeline
    assert alone.plan.whole_embeddings() == {"product"}
    batch = alone.model.feed.rows["items"].gather(tf.range(6, dtype=tf.int64))
    passes.clear()
    states = Forward(alone.model).states("words", batch)
    distinct = set(np.array(alone.fold.entities["item"].columns["text"])[batch.ids["item"].numpy()])
    assert passes == [len(distinct)]
    encoded = encode_limited(alone.model)
    passes.clear()
    looked_up = Forward(alone.model, encoded=encoded).states("words", batch)
    assert not passes
    np.testing.assert_allclose(states, looked_up, atol=1e-5)
    np.testing.assert_allclose(
        answers(alone.model, ["department"], alone.model.feed.rows["items/eval"], 8, encoded)["department"],
        answers(alone.model, ["department"], alone.model.feed.rows["items/eval"], 8)["department"],
        atol=1e-5,
    )


def test_large_catalogs_are_refused_where_a_step_needs_them_whole(make_training, monkeypatch):
    monkeypatch.setattr("mtkit_bert.spec.WHOLE_LIMIT", 30)
    message = r"encoder\.words.*every step needs it for all 41 rows of item, and it can encode 30 at most: rank with"
    with pytest.raises(RecipeError, match=message):
        make_training(mode="last_n")
    make_training("task.next.candidate=['product']", mode="last_n")
    make_training(mode="frozen")


def test_the_step_cannot_be_compiled_by_xla(make_training):
    with pytest.raises(StrategyError, match=r"one shape only, but shapes in words depend on values; set jit_compile ="):
        make_training("train.jit_compile=true", alone=True, mode="lora")


def test_residuals_train_for_rows_that_training_sees(make_training):
    training = make_training("train.epochs=1", alone=True, delta=True, delta_dropout=0.0)
    residuals = training.pipeline.model.encoders["words"].residuals.embeddings
    assert not residuals.numpy().any()
    training.fit()
    seen = np.unique(training.pipeline.model.feed.rows["items"].ids["item"])
    assert len(seen) < training.pipeline.model.feed.entities["item"].rows - 1
    np.testing.assert_array_equal(np.flatnonzero(residuals.numpy().any(axis=1)), seen)


@pytest.mark.parametrize(
    "options",
    [{"components": 3}, {"chunks": 2, "delta": True}, {"mode": "lora", "chunks": 2}, {"mode": "full", "components": 3}],
    ids=str,
)
def test_items_without_any_text_train(make_training, options, monkeypatch):
    load = TinyShop.load

    def without_texts(source):
        dataset = load(source)
        item = dataset.entities["item"]
        nulls = pa.nulls(len(item), pa.string())
        item = item.set_column(item.column_names.index("text"), "text", nulls)
        return replace(dataset, entities=dataset.entities | {"item": item})

    monkeypatch.setattr(TinyShop, "load", without_texts)
    training = make_training("train.epochs=1", alone=True, **options)
    training.fit()
    assert all(np.isfinite(value) for value in evaluate(training.pipeline).values())
