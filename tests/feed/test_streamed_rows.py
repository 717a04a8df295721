import dataclasses

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.feed.device_tables import RowStore
from mtkit.feed.streamed_rows import StreamedRows
from mtkit.types import Ragged, RowTable, Shared


def _table(sequence=None):
    rng = np.random.default_rng(0)
    known = rng.integers(0, 90, 6)
    offsets = np.array([0, 2, 2, 5, 6, 6, 9])
    values = {"item": rng.integers(1, 9, 9).astype(np.int32), "score": rng.random((9, 2)).astype(np.float32)}
    return RowTable(
        name="rows",
        ids={"user": np.array([1, 2, 1, 3, 2, 1], np.int32)},
        time=known + 1,
        history=np.stack([known, known + 2], axis=1),
        known=known,
        context={"hour": rng.random((6, 2)).astype(np.float32)},
        labels={"gift": np.array([0, 1, 0, 1, 1, 0], np.float32)},
        weights={"gift": np.array([1, 1, 0, 1, 1, 1], np.float32)},
        dense={"activity": rng.random((6, 4)).astype(np.float32)},
        lists={} if sequence is not None else {"target": Ragged(offsets, values)},
        shared={"popularity": Shared(np.array([0, 1, 1, 0, 0, 1], np.int32), rng.random((2, 3)).astype(np.float32))},
        sequence=sequence,
    )


def _plain(value):
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return None if value is None else value.numpy()


@pytest.mark.parametrize("sequence", [None, np.array([0, 0, 1, 2, 2, 2], np.int32)], ids=["alone", "in sequences"])
@pytest.mark.parametrize("ahead", [True, False])
def test_batches_are_those_of_the_device(sequence, ahead):
    table = _table(sequence)
    held, streamed = RowStore(table, {"user": 5}), StreamedRows(table, {"user": 5})
    numbers = tf.constant([2, 0, -1, 1], tf.int64)
    given = streamed.read(numbers) if ahead else numbers
    np.testing.assert_equal(_plain(streamed.gather(given)), _plain(held.gather(numbers)))
    np.testing.assert_array_equal(streamed.shares["user"], held.shares["user"])
    assert (streamed.units, list(streamed.lists)) == (held.units, list(held.lists))
    traced = tf.function(lambda rows: streamed.gather(rows).labels["gift"]).get_concrete_function(
        tf.TensorSpec([4], tf.int64)
    )
    assert traced.structured_outputs.shape == ([4] if sequence is None else [None])
