"""Rows that are places of sequences train as the same rows alone do, and all that looks at rows knows them."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from asking import ask, ids_of
from test_past_events import past_of

from mtkit.backend import keras, tf
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RecipeError, StrategyError
from mtkit.model.assembly import assemble
from mtkit.model.component_probe import check_components
from mtkit.model.forward import Forward
from mtkit.recipe.loader import load_recipe
from mtkit.runs.probes import check_factorized
from mtkit.serving.export import save
from mtkit.training.fit import Training
from mtkit.training.interrupt import Interrupted, Signals

BLOCKS = ("sasrec", "ligr", "hstu", "gru")
PAST = (
    '{use="sequence", reads=["history.item", "history.channel", "history.price"], items="look", length=128, dim=8, '
    'heads=2, time=true, dropout=0.0, block="%s"}'
)


def _sets(block="ligr", rows='{use="sequences", length=128, batch_size=16}'):
    """The tiny recipe, with a task that ranks and one that predicts at all places, and what reads no past, or not its order."""
    return (
        f"rows.places={rows}",
        f"encoder.past={PAST % block}",
        'encoder.bag={use="history", reads=["history.item"], length=30, dim=8, dropout=0.0}',
        *(f"encoder.{name}.id_dropout=0" for name in ("customer", "product", "look")),
        'task.following={use="retrieval", rows="places", evaluate="windows", query=["past", "bag", "customer"]}',
        'task.following.candidate=["product"]',
        'task.discounted.rows="places"',
        "data.lines=1600",
        "train.epochs=1",
    )


#: Leaves the two tasks of `_sets` alone.
ALONE = ("task.next", "task.gift", "task.department", "evaluate.main", "encoder.visit", "rows.items", "rows.lines")


@pytest.fixture
def assembled(tiny_recipe, tmp_path):
    def make(*sets, unsets=()):
        recipe = load_recipe(tiny_recipe, sets, unsets)
        dataset = recipe.data.source.load()
        return assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[1], cache_dir=tmp_path)

    return make


def _losses(pipeline, task, batch):
    losses, weights = Forward(pipeline.model).losses(task, batch)
    assert weights.numpy().all()
    return losses.numpy()


def _stirred(pipeline, seed=0):
    """With weights of which none is 0, the same for models of the same shape."""
    rng = np.random.default_rng(seed)
    for variable in pipeline.model.trainable_variables:
        variable.assign(rng.normal(scale=0.2, size=variable.shape))


@pytest.mark.parametrize(
    "block", ["sasrec", "gru", *(pytest.param(b, marks=pytest.mark.slow) for b in ("ligr", "hstu"))]
)
def test_rows_have_the_losses_that_they_have_alone(assembled, block):
    together = assembled(*_sets(block))
    alone = assembled(*_sets(block, '{use="interactions", batch_size=16}'))
    for pipeline in (together, alone):
        _stirred(pipeline)
    tables = [pipeline.tables["places"]["train"] for pipeline in (together, alone)]
    assert tables[0].units < len(tables[0]) < len(tables[1])
    batch = together.model.feed.batch("places", tf.range(tables[0].units, dtype=tf.int64))
    place = {event: row for row, event in enumerate(tables[1].event)}
    rows = [place[event] for event in tables[0].event]
    single = alone.model.feed.batch("places", tf.constant(rows, tf.int64))
    for name, ids in batch.ids.items():
        np.testing.assert_array_equal(ids, single.ids[name])
    for task in ("discounted", "following"):
        expected = _losses(alone, task, single)
        np.testing.assert_allclose(_losses(together, task, batch), expected, atol=1e-5, rtol=1e-5)
        taken = batch.take(tf.range(7, 40, dtype=tf.int64))
        np.testing.assert_allclose(_losses(together, task, taken), expected[7:40], atol=1e-5, rtol=1e-5)


def test_a_sequence_is_read_once(assembled, monkeypatch):
    pipeline = assembled(*_sets())
    layer, seen = pipeline.model.encoders["past"], []
    at = layer.at

    def counting(inputs, *places, **options):
        seen.append(inputs["history.item"].shape[0])
        return at(inputs, *places, **options)

    monkeypatch.setattr(layer, "at", counting)
    batch = pipeline.model.feed.batch("places", tf.constant([3, 0, -1, 5], tf.int64))
    forward = Forward(pipeline.model)
    for task in ("discounted", "following"):
        forward.losses(task, batch)
    assert seen == [3]
    assert batch.ids["item"].shape[0] > 30


def test_sequences_that_are_not_there_are_no_rows(assembled):
    feed = assembled(*_sets()).model.feed
    some, none = (feed.batch("places", tf.constant(numbers, tf.int64)) for numbers in ([4, -1, 2, -1], [-1, -1]))
    for name, ids in feed.batch("places", tf.constant([4, 2], tf.int64)).ids.items():
        np.testing.assert_array_equal(ids, some.ids[name])
    assert (some.present.numpy() == 1).all()
    assert len(none.present)
    assert not none.present.numpy().any()
    assert not none.weights["discounted"].numpy().any()


@pytest.mark.slow
def test_an_encoder_that_chooses_events_reads_row_by_row(assembled):
    pipeline = assembled(*_sets(), 'encoder.past.where={channel="web"}')
    _stirred(pipeline)
    batch = pipeline.model.feed.batch("places", tf.range(9, dtype=tf.int64))
    alone = replace(batch, sequences=None)
    np.testing.assert_array_equal(_losses(pipeline, "following", batch), _losses(pipeline, "following", alone))


def test_probes_of_a_model_hold(assembled):
    pipeline = assembled(*_sets())
    check_components(pipeline)
    check_factorized(pipeline)


def test_an_encoder_reads_as_much_as_a_sequence_has(tiny_recipe):
    message = (
        "encoder.past.length: it reads 50 past events, and sequences of rows.places have up to 128; expected as many"
    )
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, [*_sets(), "encoder.past.length=50"])


def test_xla_is_refused(assembled):
    pipeline = assembled(*_sets())
    with pytest.raises(StrategyError, match="rows of places, windows have lists, or lie in sequences"):
        pipeline.model.compile(keras.optimizers.Adam(), jit_compile=True)


def _weights(pipeline):
    return {variable.name: variable.numpy() for variable in pipeline.model.trainable_variables}


@pytest.mark.slow
def test_two_replicas_train_as_one_does(train_tiny, two_replicas):
    options = [*_sets(), "encoder.past.time=false", 'task.following.negatives="batch"', "train.optimizer=sgd"]
    one, two = (train_tiny(f"train.strategy={name}", *options, unsets=ALONE) for name in ("one_device", "mirrored"))
    assert two.strategy.num_replicas_in_sync == two_replicas.num_replicas_in_sync == 2
    found, expected = _weights(two), _weights(one)
    for name, weights in expected.items():
        np.testing.assert_allclose(found[name], weights, atol=1e-5, err_msg=name)


class _StopAt(keras.callbacks.Callback):
    """Asks to stop at a step."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_training_is_taken_up_in_the_middle_of_a_pass(assembled, tmp_path):
    sets = (*_sets(), "encoder.past.dropout=0.3", "train.steps_per_execution=2", 'train.epoch_of="places"')
    whole = assembled(*sets, unsets=ALONE)
    Training(whole).fit()
    with Signals() as signals, pytest.raises(Interrupted):
        Training(assembled(*sets, unsets=ALONE), tmp_path / "kept").fit([_StopAt(4)], signals)
    again = assembled(*sets, unsets=ALONE)
    training = Training(again, tmp_path / "kept")
    assert training.restore() == 4
    assert training.rates["places"].steps > 4
    training.fit()
    expected, found = _weights(whole), _weights(again)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("block", [pytest.param("hstu", marks=pytest.mark.slow), "gru"])
def test_who_brings_the_past_of_a_known_user_gets_the_same(assembled, tmp_path, block):
    pipeline = assembled(*_sets(block), 'task.following.query=["past"]', unsets=ALONE)
    _stirred(pipeline)
    signatures, rows = tf.saved_model.load(str(save(pipeline, tmp_path))).signatures, [3, 7, 20, 41]
    users = [ids_of(pipeline, "user")[row] for row in rows]
    known = ask(signatures, "embed_user", user_id=users)["embedding"]
    new = ask(signatures, "embed_new_user", **past_of(pipeline, rows, ("channel", "price")))["embedding"]
    np.testing.assert_allclose(new, known, atol=1e-4)
    assert np.abs(known).max() > 0.1


def test_pasts_are_changed_in_training_alone_by_seed_and_step(assembled):
    sets = [*_sets(rows='{use="interactions", batch_size=16}'), "encoder.past.crop=0.5", "encoder.past.mask=0.4"]
    pipeline, other = (assembled(*sets, "encoder.past.augmented=1.0", f"seed={seed}") for seed in (1, 2))
    model, item = pipeline.model, "history.item"
    Training(pipeline)
    batch = model.feed.batch("places", tf.range(200, dtype=tf.int64))
    plain = Forward(model).inputs("past", batch)[item].numpy()
    changed = Forward(model, True).inputs("past", batch)[item].numpy()
    long = (plain > 0).sum(1) > 3
    assert (changed != plain).any(1)[long].mean() > 0.9
    np.testing.assert_array_equal(Forward(model, True).inputs("past", batch)[item], changed)
    again = Forward(other.model, True).inputs("past", other.model.feed.batch("places", tf.range(200, dtype=tf.int64)))
    assert (again[item].numpy() != changed).any()
    model.optimizer.iterations.assign_add(1)
    assert (Forward(model, True).inputs("past", batch)[item].numpy() != changed).any()
    np.testing.assert_array_equal(Forward(model).inputs("past", batch)[item], plain)


def test_places_of_sequences_that_are_moved_are_read_as_rows(assembled):
    pipeline = assembled(*_sets(), "encoder.past.reorder=0.5", "encoder.past.augmented=1.0")
    batch = pipeline.model.feed.batch("places", tf.constant([3, 0], tf.int64))
    inputs = []
    layer = pipeline.model.encoders["past"]
    augment = layer.augment
    layer.augment = lambda given, draw: inputs.append(augment(given, draw)) or inputs[-1]
    Forward(pipeline.model, True).losses("following", batch)
    (given,) = inputs
    rows = len(batch.ids["item"])
    assert given["history.item"].shape[0] == rows
    # Of each row its own past: no event of it is the row's own, or a later one.
    alone = Forward(pipeline.model).inputs("past", batch)["history.item"]
    np.testing.assert_array_equal(np.sort(given["history.item"], 1), np.sort(alone, 1))
