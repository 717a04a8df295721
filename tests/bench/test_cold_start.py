"""What the benchmark of cold items reports."""

import cold_start
import pytest

VALUES = {"popularity": [0.1, 0.2, 0.3], "ids": [0.1, 0.1, 0.1], "frozen": [0.3, 0.3, 0.6], "full": [0.2, 0.4, 0.4]}


def test_intervals_are_of_paired_differences():
    told = cold_start.report(VALUES)
    assert told["methods"]["popularity"] == {
        "mean": pytest.approx(0.2),
        "half_width": pytest.approx(4.30265 * 0.1 / 3**0.5, rel=1e-5),
        "values": [0.1, 0.2, 0.3],
    }
    frozen = told["above"]["popularity"]["frozen"]
    assert frozen["values"] == pytest.approx([0.2, 0.1, 0.3])
    assert told["text_above_popularity"] == pytest.approx(0.2 - 4.30265 * 0.1 / 3**0.5, rel=1e-5)


def test_ids_are_no_text():
    assert "text_above_popularity" not in cold_start.report({"popularity": [0.1, 0.2], "ids": [0.3, 0.4]})


def test_one_seed_has_no_interval():
    told = cold_start.report({method: values[:1] for method, values in VALUES.items()})
    assert told["methods"]["frozen"]["half_width"] is None
    assert "text_above_popularity" not in told
