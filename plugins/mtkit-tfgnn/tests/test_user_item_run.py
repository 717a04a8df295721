"""Encoders of a graph of users and items in a recipe, from what rows may know to what an export answers."""

import numpy as np
import pytest
from asking import ask, ids_of

from mtkit.backend import keras, tf
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RecipeError
from mtkit.feed.device_tables import RowStore
from mtkit.feed.interface import Past
from mtkit.model.assembly import assemble
from mtkit.model.forward import Forward
from mtkit.recipe.describe import describe
from mtkit.recipe.loader import load_recipe
from mtkit.schema import Address
from mtkit.serving.export import save
from mtkit.serving.servable import Servable, serving_rows
from mtkit.training.fit import Training
from mtkit.types import Dataset

SETS = (
    'events.web.where={channel = "web"}',
    'encoder.graph={use="user_item_graph", reads=["history.item"], neighbors=[6], sample="drawn", dim=8}',
    'encoder.graph.edges=["web", {channel = "store", hour = {at_least = 10}}]',
    'encoder.fans={use="user_item_graph", reads=["item.id", "history.item"], neighbors=[5, 3], convolution="gat_v2", dim=8}',
    'task.next.query=["past", "graph"]',
    'task.discounted.inputs=["product", "fans"]',
    "rows.lines.sample=400",
    "rows.windows.count=2",
)
UNUSED = ("task.gift", "task.department", "rows.items", "encoder.visit", "encoder.customer", "correlation")


def assembled(path, cache, *sets, change=lambda table: table):
    recipe = load_recipe(path, [*SETS, *sets], UNUSED)
    dataset = recipe.data.source.load()
    dataset = Dataset(change(dataset.interactions), dataset.entities, dataset.schema)
    return assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[1], cache_dir=cache)


@pytest.fixture(scope="module")
def _kept():
    return {}


@pytest.fixture
def trained(train_tiny, tmp_path, _kept):
    """Trained once, and exported; shared by the tests of this file, which leave it as it is."""
    if not _kept:
        pipeline = train_tiny(*SETS, "train.epochs=1", unsets=UNUSED)
        _kept["both"] = pipeline, tf.saved_model.load(str(save(pipeline, tmp_path))).signatures
    return _kept["both"]


def neighborhoods(pipeline, table, encoder):
    """What an encoder is told of all rows of a table."""
    spec, feed = pipeline.plan.encoders[encoder], pipeline.model.feed
    batch = feed.batch(table, tf.range(feed.size(table), dtype=tf.int64))
    past = Past(spec.history_length, spec.history_where, spec.neighborhood)
    item = next(address for address in spec.reads if address.scope == "history")
    return {name: values.numpy() for name, values in feed.feature(Address(item), batch, past).items()}


def test_shuffling_the_future_changes_nothing_that_rows_are_told(tiny_recipe, tmp_path):
    one = assembled(tiny_recipe, tmp_path)
    cut = one.fold.cut

    def shuffled(table):
        rng, late = np.random.default_rng(1), np.flatnonzero(table["time"].to_numpy() >= cut)
        columns = {}
        for name in table.column_names:
            order = np.arange(len(table))
            order[late] = rng.permutation(late)
            columns[name] = table[name].take(order)
        return type(table).from_pydict(columns)

    other = assembled(tiny_recipe, tmp_path, change=shuffled)
    for encoder, table in (("graph", "windows"), ("graph", "windows/eval"), ("graph", "lines"), ("fans", "lines")):
        found, expected = (neighborhoods(pipeline, table, encoder) for pipeline in (other, one))
        if table == "windows/eval":  # users are those that act in the future
            users = [pipeline.tables["windows"]["eval"].ids["user"] for pipeline in (other, one)]
            _, *places = np.intersect1d(*users, return_indices=True)
            found, expected = (
                {name: values[place] for name, values in of.items()}
                for of, place in zip((found, expected), places, strict=True)
            )
        assert any(values.any() for values in expected.values())
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)


def test_what_other_lines_of_the_same_basket_hold_is_not_known_yet(tiny_recipe, tmp_path):
    """Of the users around an item there are none whose basket began when the row's did, or later."""
    pipeline = assembled(tiny_recipe, tmp_path)
    table, events = pipeline.tables["lines"]["train"], pipeline.fold.events
    found = neighborhoods(pipeline, "lines", "fans")["neighbors.0"]
    for row in range(0, len(table), 7):
        before = (events.ids["item"] == table.ids["item"][row]) & (events.time < table.known[row])
        users = events.ids["user"][before][np.argsort(events.time[before], kind="stable")][-5:]
        assert found[row].tolist() == [0] * (5 - len(users)) + users.tolist()


@pytest.mark.slow
def test_the_export_answers_as_the_model_does_and_holds_no_log(trained):
    pipeline, signatures = trained
    model, fold = pipeline.model, pipeline.fold
    rows = RowStore(serving_rows(fold, {"own", "activity", "popularity"}))
    batch = rows.gather(tf.constant([1, 5, 9, 0], tf.int64))
    users = [*(ids_of(pipeline, "user")[row] for row in (1, 5, 9)), "nobody"]
    expected = model.heads["next"].queries(Forward(model).task("next", batch))
    np.testing.assert_allclose(ask(signatures, "embed_user", user_id=users)["embedding"], expected, atol=1e-5)
    items = tf.constant([2, 3, 0, 4], tf.int32)
    pairs = type(batch)({**batch.ids, "item": items}, known=batch.known, time=batch.time, history=batch.history)
    rated = model.heads["discounted"].answers(Forward(model).task("discounted", pairs))
    asked = {"user_id": users, "item_id": [ids_of(pipeline, "item")[row] for row in items]}
    np.testing.assert_allclose(ask(signatures, "rank", **asked)["discounted"], rated, atol=1e-5)
    held = [variable.name for part in Servable(pipeline, "next", unseen=True).data for variable in part.variables]
    assert [name for name in held if name.startswith("edges.")]
    assert not [name for name in held if name.startswith("edges.") and ("time" in name or "offsets" in name)]


@pytest.mark.slow
def test_who_brings_the_past_of_a_known_user_gets_the_same(trained):
    pipeline, signatures = trained
    events, rows = pipeline.fold.events, [3, 7, 20]
    mine = [np.arange(*events.offsets[row : row + 2]) for row in rows]
    length = max(map(len, mine)) + 2
    columns = {"item_ids": np.array(ids_of(pipeline, "item"), object)[events.ids["item"]]}
    columns |= {"age": (pipeline.fold.end - events.time) / 86400}
    columns |= {name: events.columns[name].to_numpy(zero_copy_only=False) for name in ("channel", "hour")}
    given = {}
    for name, values in columns.items():
        text = values.dtype == object
        given[f"history_{name}"] = np.full((len(rows), length), "" if text else 0.0, object if text else float)
        for row, at in enumerate(mine):
            given[f"history_{name}"][row, length - len(at) :] = values[at]
    known = ask(signatures, "embed_user", user_id=[ids_of(pipeline, "user")[row] for row in rows])["embedding"]
    np.testing.assert_allclose(ask(signatures, "embed_new_user", **given)["embedding"], known, atol=1e-4)
    moved = given | {"history_channel": np.full_like(given["history_channel"], "store")}
    assert np.abs(ask(signatures, "embed_new_user", **moved)["embedding"] - known).max() > 1e-6


def test_what_is_drawn_follows_from_the_seed_and_the_step(tiny_recipe, tmp_path):
    def drawn(step, seed, training=True):
        model = assembled(tiny_recipe, tmp_path, f"seed={seed}").model
        model.compile("sgd")
        model.optimizer.iterations.assign(step)
        batch = model.feed.batch("windows/eval", tf.range(40, dtype=tf.int64))
        return Forward(model, training).inputs("graph", batch)["neighbors.1"].numpy()

    first = drawn(1, 1)
    np.testing.assert_array_equal(drawn(1, 1), first)
    for other in (drawn(2, 1), drawn(1, 2)):
        assert (other != first).any()
    np.testing.assert_array_equal(drawn(1, 1, training=False), drawn(2, 2, training=False))


@pytest.mark.slow
def test_a_run_that_is_taken_up_again_is_the_same_to_the_bit(tiny_recipe, tmp_path):
    def weights(epochs, checkpoints=None):
        keras.backend.clear_session()
        sets = ("deterministic=true", "train.steps_per_epoch=3", f"train.epochs={epochs}", "train.schedule=constant")
        training = Training(assembled(tiny_recipe, tmp_path, *sets), checkpoints)
        training.restore()
        training.fit()
        return {variable.name: variable.numpy() for variable in training.pipeline.model.trainable_variables}

    whole = weights(2)
    weights(1, tmp_path / "kept")
    again = weights(2, tmp_path / "kept")
    for name, values in whole.items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)


@pytest.mark.slow
def test_programs_of_xla_draw_and_train_the_same(tiny_recipe, tmp_path):
    alone = 'task.discounted.inputs=["product", "graph"]', "train.epoch_of=lines", 'evaluate.main="discounted/auc"'
    still = "encoder.product.id_dropout=0", "train.steps_per_epoch=3", "train.epochs=1", "train.optimizer=sgd"
    sets = [line for line in SETS if not line.startswith(("task.", "rows.windows", "encoder.fans"))]
    found = []
    for compiled in ("true", "false"):
        keras.backend.clear_session()
        unused = (*UNUSED, "task.next", "rows.windows", "encoder.past", "encoder.look", "balance")
        recipe = load_recipe(tiny_recipe, [*sets, *alone, *still, f"train.jit_compile={compiled}"], unused)
        dataset = recipe.data.source.load()
        training = Training(assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[1], cache_dir=tmp_path))
        training.fit()
        found.append({weight.name: weight.numpy() for weight in training.pipeline.model.trainable_variables})
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ('encoder.graph.edges=["webb"]', "encoder.graph.edges.*: no events are called 'webb'; did you mean 'web'"),
        ('encoder.graph.edges=[{chanel = "web"}]', "'chanel' is no column of the interactions"),
        ('encoder.graph.friends="trusts"', "the user has no column of lists 'trusts'; there are none"),
        ('encoder.graph.items="graph"', "encoders need one another: graph -> graph"),
        ('task.next.candidate=["fans"]', "fans"),
        ('task.next.query=["past", "fans"]', "fans"),
    ],
)
def test_mistakes_are_told(tiny_recipe, option, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, [*SETS, option], UNUSED)


def test_kinds_of_edges_are_described(tiny_recipe):
    text = " ".join(describe(load_recipe(tiny_recipe, SETS, UNUSED)).split())
    assert (
        "user_item_graph(history.item) of events where channel = web, or where channel = store and hour >= 10" in text
    )
