from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from mtkit.allowed import described, expected, form, keys, unknown_key
from mtkit.conditions import Where
from mtkit.declared import Declared
from mtkit.durations import Duration
from mtkit.schema import Address, Column
from mtkit.spec import Name


class Inner(Declared):
    horizon: Duration | None = Field(None, description="how far it looks ahead")
    count: int = Field(1, gt=0)


class Outer(Declared):
    flag: bool = False
    rate: Annotated[float, Field(ge=0, lt=1)] = 0
    seed: Annotated[int, Field(ge=0, le=9)] = 0
    day: date = date(2024, 1, 1)
    file: Path = Path()
    mode: Literal["a", "b", "c"] | int = "a"
    names: tuple[Name, ...] = ()
    reads: Annotated[tuple[Address, ...], Field(min_length=1)] = (Address("a.b"),)
    pair: tuple[int, str] = (1, "")
    inner: Inner = Inner()
    columns: Mapping[str, Column] = {}
    weights: Annotated[Mapping[str, float], Field(max_length=2)] = {}
    either: Inner | tuple[Inner, ...] = ()
    where: Where | None = None
    code: Annotated[str, Field(pattern="^x[0-9]+$")] = "x1"
    key: Annotated[str, form("^k[0-9]+$", "a key such as 'k1'", "which one")] = "k1"
    text: Annotated[str, Field(max_length=1)] = ""
    anything: Any = None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("flag",), "true or false"),
        (("rate",), "a number of at least 0 and below 1"),
        (("seed",), "a whole number from 0 to 9"),
        (("day",), "a date such as 2024-01-31"),
        (("file",), "a path"),
        (("mode",), "'a', 'b' or 'c', or a whole number"),
        (("names",), "a list, each a name of lower-case letters, digits and underscores"),
        (("names", 3), "a name of lower-case letters, digits and underscores"),
        (("reads",), "a list of at least 1 element, each an address such as 'item.text'"),
        (("pair",), "a list of 2 elements"),
        (("pair", 1), "text"),
        (("inner",), "a table with some of the keys horizon, count"),
        (("inner", "horizon"), 'a duration such as "28d"'),
        (("columns", "price", "length"), "a whole number above 0"),
        (("weights",), "a table of at most 2 keys, each value a number"),
        (("either", "count"), "a whole number above 0"),
        (("either", 0, "count"), "a whole number above 0"),
        (("where",), ""),
        (("code",), "text of a certain form"),
        (("key",), "a key such as 'k1'"),
        (("text",), "text of at most 1 character"),
        (("anything",), ""),
        (("none",), ""),
    ],
)
def test_what_is_allowed_is_said_in_words(path, words):
    assert expected(Outer, path) == words


def test_keys_and_descriptions_are_found_however_deep_they_lie():
    assert keys(Outer, ("either",)) == keys(Outer, ("either", 2)) == ["horizon", "count"]
    assert "horizon" in keys(Outer, ("columns", "price"))
    assert keys(Outer, ("weights",)) == []
    assert described(Outer, ("inner", "horizon")) == "how far it looks ahead"
    assert described(Outer, ("key",)) == "which one"
    assert described(Outer, ("inner", "count")) == ""


def test_an_unknown_key_is_told_beside_the_nearest():
    assert unknown_key("horizn", ["horizon", "count"]) == (
        "unknown key; did you mean 'horizon'? (known: count, horizon)"
    )
    assert unknown_key("x", []) == "unknown key"


def test_durations_are_told_apart_from_numbers():
    assert expected(Inner, ("horizon",)) == 'a duration such as "28d"'
    assert Inner(horizon="28d").horizon == timedelta(days=28)
