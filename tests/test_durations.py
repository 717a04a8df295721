import json
from datetime import timedelta
from itertools import product

import pytest
from pydantic import TypeAdapter, ValidationError

from mtkit.durations import Duration, in_words
from mtkit.schema import Column
from mtkit.standard.rows import Interactions, Windows
from mtkit.standard.splits import Rolling

HOURS, MINUTES = timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("28d", 28 * 24 * HOURS),
        ("12h", 12 * HOURS),
        ("1d12h", 36 * HOURS),
        ("1d 12h 30 min", 36 * HOURS + 30 * MINUTES),
        ("90min", 90 * MINUTES),
        ("1.5h", 90 * MINUTES),
        ("2w", 14 * 24 * HOURS),
        ("1s", timedelta(seconds=1)),
        ("P1DT12H", 36 * HOURS),
        ("3 days", 72 * HOURS),
    ],
)
def test_units(text, expected, strict):
    adapter = TypeAdapter(Duration)
    assert adapter.validate_json(f'"{text}"', strict=strict) == expected
    assert adapter.validate_json(adapter.dump_json(expected), strict=strict) == expected


@pytest.mark.parametrize(
    "value", ['"12"', '"h"', '"12 parsecs"', '"0h"', '"-1d"', '"99999999999999w"', '""', "true", "[]"]
)
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValidationError, match=r"duration|greater than or equal to 1 second"):
        TypeAdapter(Duration).validate_json(value, strict=True)


def test_hours_wherever_a_recipe_has_a_duration():
    others = {Column: {"kind": "label"}, Windows: {"batch_size": 1}, Interactions: {"batch_size": 1}, Rolling: {}}
    for model, name in (
        *product((Windows, Rolling), ("length", "stride")),
        (Interactions, "since"),
        (Column, "horizon"),
    ):
        values = others[model]
        found = model.model_validate_json(json.dumps(values | {name: "12h"}), strict=True)
        assert getattr(found, name) == 12 * HOURS


def test_in_words():
    days = [timedelta(days=30), timedelta(days=1), 36 * HOURS, 12 * HOURS, HOURS, 90 * MINUTES, timedelta(seconds=2)]
    words = ["30 days", "1 day", "1.5 days", "12 hours", "1 hour", "1.5 hours", "2 seconds"]
    assert list(map(in_words, days)) == words
