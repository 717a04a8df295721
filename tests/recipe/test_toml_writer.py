import tomllib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtkit.recipe.toml_writer import toml_document

SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_written_is_read_back(values):
    assert tomllib.loads(toml_document(values)) == values


def test_layout():
    values = {"b": {"x": {"y": 1}, "z": [{"k": "v"}]}, "a": datetime(2017, 1, 2, 3, tzinfo=UTC), "e": {}}
    expected = 'a = 2017-01-02T03:00:00+00:00\n\n[b]\nz = [{k = "v"}]\n\n[b.x]\ny = 1\n\n[e]\n'
    assert toml_document(values) == expected


def test_null_is_refused():
    with pytest.raises(TypeError, match="NoneType"):
        toml_document({"a": None})
