import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.data import conditions
from mtkit.data.columns import layer_input, raw
from mtkit.feed.conditions import holding
from mtkit.schema import Column

DECLARED = {
    "event": Column(kind="categorical"),
    "code": Column(kind="categorical"),
    "payment": Column(kind="label", classes=True),
    "rating": Column(kind="numeric"),
    "liked": Column(kind="label"),
}
WORDS = st.sampled_from(["buy", "view", "1", "true"])
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.1, 0.5, 1e30, 16777217]), st.floats(-9, 9, width=32))


def asked_of(values, numbers):
    """What may be asked of a column."""
    several = st.lists(values, min_size=1, max_size=3)
    asked = {"any_of": several, "none_of": several, "null": st.just(False)}
    if numbers:
        asked |= dict.fromkeys(("at_least", "above", "at_most", "below"), NUMBERS)
    some = st.fixed_dictionaries({}, optional=asked).filter(bool)
    return st.one_of(values, several, some, st.just({"null": True}))


OF_COLUMNS = {
    "event": asked_of(WORDS, numbers=False),
    "code": asked_of(st.one_of(st.integers(-2, 2), st.booleans(), WORDS), numbers=False),
    "payment": asked_of(WORDS, numbers=False),
    "rating": asked_of(NUMBERS, numbers=True),
    "liked": asked_of(st.one_of(st.booleans(), st.integers(0, 1)), numbers=True),
}
WHERE = st.lists(st.fixed_dictionaries({}, optional=OF_COLUMNS).filter(bool), min_size=1, max_size=3)
ROWS = st.fixed_dictionaries(
    {
        "event": st.one_of(st.none(), WORDS),
        "code": st.one_of(st.none(), st.integers(-2, 2)),
        "payment": st.one_of(st.none(), WORDS),
        "rating": st.one_of(st.none(), NUMBERS.map(float)),
        "liked": st.one_of(st.none(), st.integers(0, 1)),
    }
)


@given(tables=WHERE, rows=st.lists(ROWS, min_size=1, max_size=12))
def test_requests_are_asked_what_data_are(tables, rows):
    where = Where.model_validate(tables)
    types = {
        "event": pa.string(),
        "code": pa.int64(),
        "payment": pa.string(),
        "rating": pa.float64(),
        "liked": pa.int64(),
    }
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()})
    expected = conditions.holding(where, table, DECLARED)
    given = {name: tf.constant(layer_input(raw(table[name], DECLARED[name]))) for name in where.columns}
    matrix = {name: values[None, :, None] for name, values in given.items()}
    np.testing.assert_array_equal(holding(where, given), expected)
    np.testing.assert_array_equal(holding(where, matrix), expected[None, :, None])


def test_no_events_at_all():
    where = Where.model_validate({"event": ["buy", "view"], "rating": {"at_least": 3}})
    none = {"event": tf.zeros([2, 0], tf.string), "rating": tf.zeros([2, 0])}
    assert holding(where, none).shape == (2, 0)


@pytest.mark.parametrize(("one", "other"), [({"a": 1, "b": [2, 3]}, {"b": [2, 3], "a": 1}), ([{"a": 1}], {"a": 1})])
def test_equal_conditions_have_equal_hashes(one, other):
    one, other = Where.model_validate(one), Where.model_validate(other)
    assert one == other
    assert hash(one) == hash(other)
