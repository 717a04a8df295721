"""What holds of preprocessors that look at the past: nothing that they say of a row follows from it, or from what is later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from mtkit.data.catalogs import make_fold
from mtkit.spec import Cut, Rows, RowStatistics
from mtkit.testing.data import sample_data
from mtkit.types import DAY, Dataset, Fold, Part

_CUT = Cut("test", 80 * DAY, 100 * DAY)
_PARTS: tuple[Part, ...] = ("train", "eval")


def check_row_statistics(spec: RowStatistics, rows: Rows, dataset: Dataset | None = None, cut: Cut = _CUT) -> None:
    """Numbers of rows that are finite, do not follow from a row's own outcome or a later one, and requests get as they are.

    Args:
        spec: the preprocessor.
        rows: what makes rows with its keys.
        dataset: where rows come from; default: `sample_data()`.
        cut: where it is cut, by the interactions' times.
    """
    dataset = sample_data() if dataset is None else dataset
    fold = _fold(dataset, cut)
    found = {part: _numbers(spec, rows, fold, part) for part in _PARTS}
    time = dataset.interactions[dataset.schema.time].to_numpy()
    for seed in range(3):
        moment = int(np.random.default_rng(seed).choice(time[time < cut.cut]))
        for begin in (moment, cut.cut):
            other = _fold(_with_other_outcomes(dataset, time >= begin, seed), cut)
            for part, numbers in found.items():
                before = np.minimum(rows.make(fold, part).known, cut.cut) <= begin
                changed = _numbers(spec, rows, other, part)[before]
                np.testing.assert_array_equal(
                    changed, numbers[before], "numbers of rows with other outcomes after them"
                )
    _check_requests(spec, fold, found["eval"])


def _fold(dataset: Dataset, cut: Cut) -> Fold:
    return make_fold(dataset, cut, dict.fromkeys(dataset.schema.entities, 0))


def _numbers(spec: RowStatistics, rows: Rows, fold: Fold, part: Part) -> np.ndarray:
    table = rows.make(fold, part)
    numbers = spec.of_rows(fold, table)
    assert numbers.dtype == np.float32, f"expected float32, got {numbers.dtype}"
    assert numbers.shape == (len(table), spec.width), f"expected {(len(table), spec.width)}, got {numbers.shape}"
    assert np.isfinite(numbers).all(), "numbers that are not finite"
    return numbers


def _with_other_outcomes(dataset: Dataset, late: np.ndarray, seed: int) -> Dataset:
    """The data with labels, and numbers, of late interactions in another order."""
    rng, table = np.random.default_rng(seed), dataset.interactions
    for name in (*dataset.schema.of_kind("label"), *dataset.schema.of_kind("numeric")):
        order = np.arange(len(table))
        order[late] = rng.permutation(order[late])
        table = table.set_column(table.column_names.index(name), name, table[name].take(pa.array(order)))
    return replace(dataset, interactions=table)


def _check_requests(spec: RowStatistics, fold: Fold, evaluated: np.ndarray) -> None:
    """What requests are told by key is what evaluated rows have: each part of these is that of a value, or of all others."""
    keys, begin = spec.by_key(fold), 0
    assert len(keys) == len(spec.keys), f"by_key has {len(keys)} of {len(spec.keys)} keys"
    for key in keys:
        assert (np.diff(key.codes) > 0).all(), "codes that are not ascending"
        told = {row.tobytes() for row in np.vstack([key.numbers, key.unknown[None]])}
        part = np.ascontiguousarray(evaluated[:, begin : begin + len(key.unknown)])
        assert {row.tobytes() for row in part} <= told, f"evaluated rows have numbers that by_key has not: {spec!r}"
        begin += len(key.unknown)
    assert begin == spec.width, f"by_key has {begin} of {spec.width} numbers"
