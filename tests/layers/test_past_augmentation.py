import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.past_augmentation import augmented

LENGTH = 8


def inputs(rows=1, count=5):
    ids = np.zeros((rows, LENGTH), np.int32)
    ids[:, LENGTH - count :] = np.arange(1, count + 1)
    return {
        "history.item": tf.constant(ids),
        "history.kind": tf.constant(10 * ids),
        "history.price": tf.constant(ids[..., None] * np.float32([1, 2])),
        "history.age": tf.constant(np.float32(ids > 0) * np.arange(LENGTH, 0, -1)),
    }


def change(given, drawn=None, share=1.0, **ways):
    rng = np.random.default_rng(0)

    def draw(name, shape):
        values = drawn.get(name) if drawn else None
        return tf.constant(rng.random(shape.numpy()) if values is None else np.broadcast_to(values, shape), tf.float32)

    ways = {"crop": None, "mask": None, "reorder": None} | ways
    columns = ["history.kind", "history.price"]
    found = augmented(given, "history.item", columns, draw, share=share, **ways)
    return {name: values.numpy() for name, values in found.items()}


def test_a_crop_by_hand():
    # Of 5 events floor(0.6 * 5) = 3; the first is floor(0.5 * 3) = 1.
    found = change(inputs(), {"begin": 0.5}, crop=0.6)
    assert found["history.item"].tolist() == [[0, 0, 0, 0, 2, 3, 4, 0]]
    assert found["history.kind"].tolist() == inputs()["history.kind"].numpy().tolist()
    assert change(inputs(count=1), crop=0.1)["history.item"][0, -1] == 1


def test_hidden_events_by_hand():
    of_event = np.array([0, 0, 0, 0.1, 0.9, 0.2, 0.3, 0.29])
    found = change(inputs(), {"event": of_event}, mask=0.3)
    assert found["history.item"].tolist() == [[0, 0, 0, -1, 2, -1, 4, -1]]


def test_another_order_by_hand():
    # The piece is of events 2, 3 and 4, in the order of what is drawn for them.
    of_event = np.array([0, 0, 0, 0, 0.8, 0.1, 0.4, 0])
    found = change(inputs(), {"begin": 0.5, "event": of_event}, reorder=0.6)
    assert found["history.item"].tolist() == [[0, 0, 0, 1, 3, 4, 2, 5]]
    assert found["history.kind"].tolist() == [[0, 0, 0, 10, 30, 40, 20, 50]]
    assert found["history.price"][0, :, 1].tolist() == [0, 0, 0, 2, 6, 8, 4, 10]
    assert found["history.age"].tolist() == inputs()["history.age"].numpy().tolist()


@pytest.mark.parametrize("count", [0, 1, 2, 8])
def test_pasts_of_all_lengths(count):
    given = inputs(400, count)
    for way in ("crop", "mask", "reorder"):
        ids = change(given, **{way: 0.5})["history.item"]
        there = (ids != 0).sum(1)
        assert (there == (max(1, count // 2) if way == "crop" and count else count)).all()
        if way == "reorder":
            assert (np.sort(ids, 1) == np.sort(given["history.item"], 1)).all()
        if way == "crop":
            assert all((np.diff(row[row > 0]) == 1).all() for row in ids)
        if way == "mask" and count:
            assert (ids == -1).mean() * LENGTH / count == pytest.approx(0.5, abs=0.08)


def test_each_row_is_changed_in_one_way_or_none():
    given = inputs(3000, 8)
    before = given["history.item"].numpy()
    ids = change(given, share=0.6, crop=0.5, mask=0.5, reorder=0.5)["history.item"]
    cropped, hidden = (ids == 0).any(1), (ids == -1).any(1)
    assert not (cropped & hidden).any()
    changed = (ids != before).any(1)
    # Of 8 hidden or reordered events, hardly ever none is changed.
    assert changed.mean() == pytest.approx(0.6, abs=0.03)
    for share in (cropped.mean(), hidden.mean(), (changed & ~cropped & ~hidden).mean()):
        assert share == pytest.approx(0.2, abs=0.03)
