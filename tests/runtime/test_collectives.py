import json
import subprocess
import sys

import numpy as np
import pytest
from workers import start_workers

from mtkit.backend import tf
from mtkit.runtime.collectives import (
    gather_rolled,
    global_sum,
    replicas,
)
from mtkit.runtime.strategies import one_device

WITHOUT_DROPOUT = [
    f"encoder.{name}=0"
    for name in ("past.dropout", "customer.id_dropout", "look.id_dropout", "product.id_dropout", "visit.id_dropout")
]
OPTIMIZERS = {"sgd": ["train.learning_rate=0.05"], "adam": ["train.epsilon=1e-5"], "adagrad": []}


def _weights(pipeline):
    return {variable.name: variable.numpy() for variable in pipeline.model.trainable_variables}


def _assert_same(found, expected):
    assert list(found) == list(expected)
    for name, weights in found.items():
        np.testing.assert_allclose(weights, expected[name], atol=1e-5, err_msg=name)


def _losses(pipeline):
    return {name: float(tracker.result()) for name, tracker in pipeline.model.trackers.items()}


@pytest.mark.parametrize("name", ["adam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sgd", "adagrad"))])
def test_two_replicas_train_as_one_does(train_tiny, two_replicas, name):
    options = [*WITHOUT_DROPOUT, f"train.optimizer={name}", *OPTIMIZERS[name], "train.epochs=1"]
    one = train_tiny("train.strategy=one_device", *options)
    two = train_tiny("train.strategy=mirrored", *options)
    assert two.strategy.num_replicas_in_sync == two_replicas.num_replicas_in_sync == 2
    assert int(one.model.optimizer.iterations) >= 20
    _assert_same(_weights(two), _weights(one))
    assert _losses(two) == pytest.approx(_losses(one), rel=1e-4)


@pytest.mark.slow
def test_two_replicas_regularize_as_one_does(train_tiny, two_replicas):
    """Of batches that do not divide evenly, of rows of several tables, and of a catalog that each encodes as a whole."""
    options = [
        *WITHOUT_DROPOUT,
        "train.epochs=1",
        "rows.lines.batch_size=33",
        "train.optimizer=sgd",
        "train.learning_rate=0.05",
    ]
    options += [f"encoder.{name}.l2=20" for name in ("customer", "product", "visit")]
    pipelines = [train_tiny(f"train.strategy={name}", *options) for name in ("one_device", "mirrored")]
    one, two = map(_weights, pipelines)
    _assert_same(two, one)
    losses = [_losses(pipeline) for pipeline in pipelines]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert {"customer.penalty", "product.penalty", "visit.penalty"} < set(losses[0])
    free = _weights(train_tiny("train.strategy=one_device", *WITHOUT_DROPOUT, *options[len(WITHOUT_DROPOUT) : -3]))
    for name in one:
        if "product" in name and "embeddings" in name:
            assert np.square(one[name]).sum() < 0.5 * np.square(free[name]).sum()


@pytest.mark.slow
def test_two_replicas_compare_tasks_and_know_scenarios_as_one_does(train_tiny, two_replicas):
    options = [
        "correlation.funnel={use='aitm', on=['customer'], order=['gift', 'discounted'], units=8, calibrator=20}",
        "correlation.by_channel={use='star', apply='pair', on=['look', 'product'], scenario='context.channel', units=8}",
        "correlation.gated={use='pepnet', on=['look', 'visit'], domain=['visit'], personal=['look'], units=8}",
        "task.gift={use='user_preference', rows='lines', inputs=['customer', 'by_channel'], label='gift'}",
        "task.discounted.inputs=['customer', 'gated']",
        "task.bought={use='conditional', rows='lines', given='gift', inputs=['look'], label='discounted'}",
        *(f"encoder.{name}.id_dropout=0" for name in ("customer", "product", "look", "visit")),
        "train.epoch_of=lines", "rows.lines.batch_size=33", "rows.lines.since='30d'", "train.epochs=1",
        "train.optimizer=sgd", "train.learning_rate=0.05",
    ]  # fmt: skip
    unsets = (
        "correlation",
        "task.next",
        "task.department",
        "rows.windows",
        "rows.items",
        "encoder.past",
        "evaluate.main",
    )
    pipelines = [train_tiny(f"train.strategy={name}", *options, unsets=unsets) for name in ("one_device", "mirrored")]
    one, two = map(_weights, pipelines)
    _assert_same(two, one)
    losses = [_losses(pipeline) for pipeline in pipelines]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert 0 < losses[0]["funnel.calibrator"] < 1


WORKER = """
import sys
from pathlib import Path
import numpy as np
from mtkit.data.catalogs import make_cuts
from mtkit.model.assembly import assemble
from mtkit.recipe.loader import load_recipe
from mtkit.runtime.strategies import make_strategy
from mtkit.training.fit import Training

recipe = load_recipe(Path(sys.argv[1]), sys.argv[3:])
strategy = make_strategy(recipe)
dataset = recipe.data.source.load()
_, test = make_cuts(dataset, recipe.data.split)
pipeline = assemble(recipe, dataset, test, strategy=strategy, cache_dir=Path(sys.argv[1]).parent)
Training(pipeline).fit()
losses = {name: tracker.result() for name, tracker in pipeline.model.trackers.items()}
np.savez(sys.argv[2], **{v.name: v.numpy() for v in pipeline.model.trainable_variables}, **losses)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_workers_train_as_one_does(train_tiny, tiny_recipe, tmp_path, name):
    options = [*WITHOUT_DROPOUT, f"train.optimizer={name}", *OPTIMIZERS[name], "train.epochs=1"]
    workers = start_workers(WORKER, tiny_recipe, tmp_path / "{}.npz", "train.strategy=multi_worker", *options)
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    one = train_tiny("train.strategy=one_device", *options)
    for number in range(2):
        with np.load(tmp_path / f"{number}.npz") as found:
            losses = {name: float(found[name]) for name in one.model.trackers}
            _assert_same({name: found[name] for name in found if name not in losses}, _weights(one))
        assert losses == pytest.approx(_losses(one), rel=1e-4)


MTKIT = "from mtkit.cli.program import main; main()"


@pytest.mark.slow
def test_workers_run_a_recipe_each_in_a_directory_of_its_own(tiny_recipe, tmp_path):
    sets = [word for value in (*WITHOUT_DROPOUT, "train.epochs=2") for word in ("--set", value)]
    command = [MTKIT, "run", tiny_recipe, *sets]
    for resume in ([], ["--resume"]):
        several = ["--set", "train.strategy=multi_worker", "--run-dir", tmp_path / "two", *resume]
        workers = start_workers(*command, *several)
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    subprocess.run([sys.executable, "-c", *command, "--run-dir", tmp_path / "one"], check=True)
    one, first, second = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two", "two-worker-1")
    )
    assert first["test"] == second["test"]
    assert first["test"] == pytest.approx(one["test"], abs=0.02)
    assert first["baselines"] == one["baselines"]
    assert [path.name for path in (tmp_path / "two" / "export").iterdir()] == ["1"]


def test_sums_and_gathers_over_replicas(two_replicas):
    @tf.function
    def step(rows):
        assert replicas() == 2
        return global_sum(tf.reduce_sum(rows)), gather_rolled(rows)

    parts = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant([[1, 2], [3, 4]]) + 10 * context.replica_id_in_sync_group
    )
    totals, rows = (two_replicas.experimental_local_results(x) for x in two_replicas.run(step, (parts,)))
    assert [int(total) for total in totals] == [60, 60]
    first, second = [[1, 2], [3, 4]], [[11, 12], [13, 14]]
    np.testing.assert_array_equal(rows[0], [*first, *second])
    np.testing.assert_array_equal(rows[1], [*second, *first])


def test_gathered_rows_take_gradients_back_to_their_replica(two_replicas):
    @tf.function
    def step(rows):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            weights = tf.constant([1.0, 10.0, 100.0, 1000.0])
            loss = tf.reduce_sum(gather_rolled(rows) * weights)
        return tape.gradient(loss, rows)

    parts = two_replicas.experimental_distribute_values_from_function(lambda _: tf.constant([1.0, 2.0]))
    gradients = two_replicas.experimental_local_results(two_replicas.run(step, (parts,)))
    # Local rows are the first candidates here, and the last ones of the other replica.
    for gradient in gradients:
        np.testing.assert_allclose(gradient, [101, 1010])


def test_models_are_built_outside_of_replicas(two_replicas):
    with two_replicas.scope():
        rows = tf.constant([1.0, 2.0])
        assert global_sum(rows) is rows
        assert gather_rolled(rows) is rows


def test_one_replica_needs_no_communication():
    with one_device().scope():
        rows = tf.constant([1.0, 2.0])
        assert replicas() == 1
        assert global_sum(rows) is rows
        assert gather_rolled(rows) is rows
