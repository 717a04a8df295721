"""Rows of a step that do not know whose they are: in what encoders read, in weights, and in recipes."""

from types import SimpleNamespace

import numpy as np
import pytest

import mtkit
from mtkit.backend import keras, tf
from mtkit.errors import RecipeError
from mtkit.model.forward import Forward
from mtkit.model.hiding import Hiding, newness, without_ids
from mtkit.recipe.loader import load_recipe
from mtkit.schema import Address


def half(name, shape):
    """Hides every other row, of which it depends on the name."""
    first = int("item" in name)
    return tf.cast((tf.range(shape[0]) + first) % 2, tf.float32)


@pytest.fixture
def batches(tiny_pipeline):
    feed = tiny_pipeline.model.feed
    sizes = {"lines": 60, "windows": 60, "items": 20}
    return {name: feed.batch(name, tf.range(size, dtype=tf.int64)) for name, size in sizes.items()}


def test_rows_of_the_unknown_have_no_id_and_no_past(tiny_pipeline, batches):
    found = without_ids(batches, Hiding({"user": 0.5, "item": 0.5}), tiny_pipeline.plan, half)
    before, lines = batches["lines"], found["lines"]
    even = np.arange(60) % 2 == 0
    np.testing.assert_array_equal(lines.ids["user"], np.where(even, 0, before.ids["user"]))
    np.testing.assert_array_equal(lines.ids["item"], np.where(even, before.ids["item"], 0))
    lengths, own = (np.diff(batch.history.numpy())[:, 0] for batch in (lines, before))
    np.testing.assert_array_equal(lengths, np.where(even, 0, own))
    assert own[even].any()
    assert found["windows"] is batches["windows"]  # a task ranks there
    assert (found["items"].ids["item"].numpy() == 0).sum() == 10


def test_parts_are_hidden_from_all_that_read_them_alike(tiny_pipeline, batches, monkeypatch):
    model, lines = tiny_pipeline.model, batches["lines"]
    monkeypatch.setattr(model, "hide", Hiding({"item.color": 0.5, "encoder.product": 0.4, "user": 0.3}))
    forward = Forward(model, training=True)
    look, product = forward.inputs("look", lines), forward.inputs("product", lines)
    assert forward.inputs("look", lines)["item.color"].numpy().tolist() == look["item.color"].numpy().tolist()
    columns = model.feed.entities["item"].columns
    own = columns["color"].numpy()[lines.ids["item"]]
    hidden = look["item.color"].numpy() != own
    assert 15 < hidden.sum() < 45
    assert (look["item.color"].numpy()[hidden] == columns["color"].numpy()[0]).all()
    np.testing.assert_array_equal(look["item.weight"], columns["weight"].numpy()[lines.ids["item"]])
    without = product["item.id"].numpy() == 0
    assert 10 < without.sum() < 40
    assert (product["item.family"].numpy()[without] == 0).all()
    plain = Forward(model, training=False).inputs("look", lines)
    np.testing.assert_array_equal(plain["item.color"], own)
    assert Address("user.id") in forward.inputs("customer", lines)


class Late:
    """A fold in which half of the users came in the second half of the events."""

    def __init__(self, first, times=100):
        self.fit, self._size = times - 10, len(first)
        time = np.arange(times)
        ids = np.array(
            [max((u for u in range(1, len(first)) if first[u] <= t), key=lambda u: (t + u) % 7) for t in time]
        )
        self.events = SimpleNamespace(time=time, ids={"user": ids})

    def catalog(self, role):
        return range(self._size)


@pytest.mark.parametrize("least", [1, 5])
def test_new_is_what_was_not_known_at_half_of_the_events(least):
    fold = Late([0, 0, 0, 50, 70, 95])
    trains = fold.events.time < fold.fit
    times, ids = fold.events.time[trains], fold.events.ids["user"][trains]
    before = ids[times < np.median(times)]
    expected = [
        float(user in ids and (before == user).sum() < least) * ((ids == user).sum() >= least) for user in range(6)
    ]
    assert newness(fold, "user", np.arange(6), least).tolist() == expected
    assert 0 < sum(expected) < 5


def test_values_are_new_by_their_first_event_and_all_where_nobody_came():
    by_value = newness(Late([0, 0, 0, 50, 70, 95]), "user", np.array([0, 1, 1, 2, 2, 3]))  # 3 and 4 have one value
    assert by_value.tolist() == [0, 0, 0, 1, 1, 0]
    assert (newness(Late([0, 0, 0, 0]), "user", np.arange(4)) == 1).all()


@pytest.mark.parametrize("hide", [{}, {"user": 0.9}, {"user.id": 0.9, "encoder.look": 0.3}])
def test_the_unknown_is_trained(tiny_recipe, tmp_path, monkeypatch, hide):
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path))
    sets = [
        *["encoder.customer.id_dropout=0"] * (not hide),
        *(f'train.hide."{what}"={share}' for what, share in hide.items()),
    ]
    pipeline = mtkit.build(load_recipe(tiny_recipe, sets, ["correlation"]))
    table = next(w for w in pipeline.model.encoders["customer"].weights if "user_id" in w.name)
    before = table.numpy()
    pipeline.model.compile(keras.optimizers.SGD(0.1))
    data = [{"lines": batch["lines"]} for batch in pipeline.train_data()][:2]
    for batch in data:
        pipeline.model.train_step(batch)
    moved = np.abs(table.numpy() - before).max(1) > 0
    assert moved[0] == bool(hide)
    assert moved[1:].any()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.hide.usr=0.1", r"train\.hide\.usr: is neither a role, nor .* did you mean 'user'\?"),
        ('train.hide."encoder.visit"=0.1', r"train\.hide\.\"encoder\.visit\": reads nothing of users or items"),
        ('train.hide."item.text"=0.1', r"train\.hide\.\"item\.text\": is neither a role"),
        ("train.hide.user=1", r"train\.hide\.user: expected .*below 1, got 1"),
    ],
)
def test_what_cannot_be_hidden_is_refused(tiny_recipe, setting, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, [setting])


def test_ids_are_hidden_where_all_tasks_predict(tiny_recipe):
    sets, unsets = ["train.hide.user=0.1"], ["task.discounted", "task.gift", "task.department"]
    with pytest.raises(RecipeError, match=r"train\.hide\.user: .* there is no such table"):
        load_recipe(tiny_recipe, [*sets, "balance.use=fixed"], unsets)
