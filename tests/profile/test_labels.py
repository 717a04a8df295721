"""Faults of labels, planted into a clean log."""

import numpy as np

ROWS = 6000


def test_clean_labels(clean, found):
    assert [str(one) for code in range(43, 46) for one in found(f"P{code:03}", clean)] == []


def test_missing_labels(clean, with_column, found):
    for missing, severity in ((600, "note"), (4000, "warning")):
        data = with_column(clean, "interactions.click", lambda labels, n=missing: [None] * n + labels[n:])
        assert [(one.where, one.count, one.severity) for one in found("P043", data)] == [
            ("interactions.click", missing, severity)
        ]


def test_labels_that_no_task_predicts_are_left_alone(clean, with_column, found):
    assert found("P043", with_column(clean, "interactions.grade", lambda labels: [None] * len(labels))) == []


def test_almost_constant_labels(clean, with_column, found):
    data = with_column(clean, "interactions.click", [int(row in (7, 8, 5999)) for row in range(ROWS)])
    (constant,) = found("P044", data)
    assert (constant.where, constant.count, constant.of) == ("interactions.click", 2, 5400)  # of what trains
    assert constant.examples == ("most have 0",)


def test_jumps(clean, with_column, found):
    rng = np.random.default_rng(0)
    rate = np.where(np.arange(ROWS) < 3900, 0.1, 0.4)
    (jump,) = found("P045", with_column(clean, "interactions.click", (rng.random(ROWS) < rate).astype(int)))
    assert (jump.where, jump.count, jump.of) == ("interactions.click", 2100, ROWS)
    assert jump.examples[0].endswith("after 2024-03-22")
    slowly = np.linspace(0.1, 0.4, ROWS)
    assert found("P045", with_column(clean, "interactions.click", (rng.random(ROWS) < slowly).astype(int))) == []


def test_rates_that_always_change_do_not_jump(clean, with_column, found):
    waves = 1 + 8 * (np.arange(ROWS) // 300 % 2)
    assert found("P045", with_column(clean, "interactions.click", waves)) == []
