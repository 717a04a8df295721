"""How many rows have a label, by task and part, and which dates of a split would give each part some; no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtkit.conditions import Where
from mtkit.data.asked_rows import PARTS
from mtkit.data.catalogs import moments
from mtkit.data.conditions import holding
from mtkit.data.row_tables import Tables, fold_of
from mtkit.data.weights import NOT_KNOWN, masked
from mtkit.errors import RecipeError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.spec import Cut, Rows, TaskHead
from mtkit.types import DAY, Dataset, Part, RowTable


def label_counts(plan: Plan, tables: Tables) -> dict[str, dict[Part, str]]:
    """Task -> part -> rows with a label, and the share of 1 or how many classes these have; else rows that count."""
    return {
        name: {part: _counted(tables[_rows(head, part)][part].weighed(head.scales), head) for part in PARTS}
        for name, head in plan.tasks.items()
    }


def count_table(valid: Mapping[str, Mapping[Part, str]], test: Mapping[str, Mapping[Part, str]]) -> list[str]:
    """Lines of a table of what `label_counts` found on both cuts; the first says what it is."""
    head = ("task", "train", "valid", "train anew", "test")
    lines = [head, *((name, *(of[name][part] for of in (valid, test) for part in PARTS)) for name in valid)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "labels: rows that have one, with the share of 1, or the number of classes",
        *("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines),
    ]


def check_labels(recipe: Recipe, dataset: Dataset, valid: Cut, test: Cut) -> None:
    """Refuses tasks of which a part has no label, before anything is trained, and names dates that would do.

    Rows are made only where the columns of the interactions tell that there might be none.

    Raises:
        RecipeError: there are such tasks.
    """
    plan = recipe.plan
    dated = {
        name: _Dated.of(recipe, dataset, head) for name, head in plan.predictions().items() if _is_dated(recipe, head)
    }
    found = [
        recipe.problem(("task", name, "label"), f"{message}; {_advice(recipe, dated, test)}")
        for cut in (valid, test)
        for name, message in _lacking(recipe, dataset, cut, dated)
    ]
    if found:
        raise RecipeError(found)


@dataclass(frozen=True)
class _Dated:
    """The interactions with a label.

    Attributes:
        dataset: the interactions.
        there: bool `[interactions]`, whether it is a row of the task and has the label.
        ahead: seconds that the label looks ahead.
    """

    dataset: Dataset
    there: np.ndarray
    ahead: int

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset, head: TaskHead) -> _Dated:
        interactions, schema = dataset.interactions, dataset.schema.interactions
        there = np.ones(len(interactions), bool)
        for label in head.labels:
            there &= np.asarray(interactions[label].is_valid().to_numpy(), bool)
        for where in _conditions(recipe.rows[head.rows], head):
            there &= holding(where, interactions, schema)
        horizons = [column.horizon for label in head.labels if (column := schema[label]).horizon]
        return cls(dataset, there, int(max(horizons).total_seconds()) if horizons else 0)

    def parts(self, cut: Cut) -> dict[Part, bool]:
        """Whether training, and what is evaluated, may have rows with a label."""
        time = moments(self.dataset, cut)[self.there]
        fit = cut.cut if cut.fit is None else cut.fit
        spans: dict[Part, tuple[int, int]] = {"train": (np.iinfo(np.int64).min, fit), "eval": (cut.cut, cut.end)}
        return {part: self._latest(time, *span) is not None for part, span in spans.items()}

    def latest(self, cut: Cut, end: int) -> int | None:
        """The midnight before the last row that has its label by `end`; None if there is none."""
        found = self._latest(moments(self.dataset, cut)[self.there], np.iinfo(np.int64).min, end)
        return None if found is None else found // DAY * DAY

    def _latest(self, time: np.ndarray, begin: int, end: int) -> int | None:
        inside = time[(time >= begin) & (time < end) & (time <= end - self.ahead)]
        return int(inside.max()) if len(inside) else None


def _is_dated(recipe: Recipe, head: TaskHead) -> bool:
    """Whether the labels are columns of the interactions."""
    schema = recipe.data.source.schema().interactions
    return all(label in schema and schema[label].kind == "label" for label in head.labels)


def _conditions(rows: Rows, head: TaskHead) -> Iterator[Where]:
    yield from (where for where in (rows.targets, head.of_rows) if where)


def _lacking(recipe: Recipe, dataset: Dataset, cut: Cut, dated: Mapping[str, _Dated]) -> Iterator[tuple[str, str]]:
    """Tasks of which a part has no row with a label, and what is said of that: they are made to be certain."""
    doubtful = [(name, part) for name, of in dated.items() for part, some in of.parts(cut).items() if not some]
    fold = fold_of(recipe, dataset, cut) if doubtful else None
    for name, part in doubtful:
        assert fold is not None
        head = recipe.plan.tasks[name]
        table = recipe.rows[head.rows].make(fold, part)
        seen = masked(fold, table, [head.of_rows] if head.of_rows else []).weighed(head.scales)
        if not any((seen.weights.get(label, np.zeros(0)) > 0).any() for label in head.labels):
            what = {"train": f"training for {cut.name}", "eval": cut.name}[part]
            label = " or ".join(map(repr, head.labels))
            yield name, f"no row of {what} ({len(table):,} of {head.rows!r}) has a known {label}: {NOT_KNOWN}"


def _advice(recipe: Recipe, dated: Mapping[str, _Dated], test: Cut) -> str:
    """Which dates would give all parts of all tasks a label."""
    days, split = max(of.ahead for of in dated.values()) / DAY, recipe.data.split
    if not split.moved(test.cut, test.cut):
        return (
            f"a split by time, with parts longer than {days:g} days, gives them some"
            if days
            else "each part needs some"
        )
    if (found := _dates(list(dated.values()), test)) is None:
        return f"no dates would do, for there are too few, or of too short a time, to look {days:g} days ahead from each part"
    return (
        f"the latest dates that give every part some are {split.moved(*found)}, and `eval_length` keeps the evaluation of other "
        "row tables short"
    )


def _dates(dated: Sequence[_Dated], test: Cut) -> tuple[int, int] | None:
    """The latest midnights at which validation and test may begin; None if there are none."""
    latest_test = _earliest([of.latest(test, test.end) for of in dated])
    latest_valid = None if latest_test is None else _earliest([of.latest(test, latest_test) for of in dated])
    if latest_valid is None or latest_test is None or any(of.latest(test, latest_valid) is None for of in dated):
        return None
    return latest_valid, latest_test


def _earliest(found: Sequence[int | None]) -> int | None:
    known = [moment for moment in found if moment is not None]
    return min(known) if len(known) == len(found) else None


def _rows(head: TaskHead, part: Part) -> str:
    return head.rows if part == "train" else head.evaluated_on


def _counted(table: RowTable, head: TaskHead) -> str:
    label = head.predicts
    if label not in table.weights:
        weights = table.dense.get("row_weight")
        return f"{len(table) if weights is None else np.count_nonzero(weights):,}"
    there = table.weights[label] > 0
    values = table.labels[label][there]
    if head.numeric or not len(values):
        return f"{len(values):,}"
    if values.ndim > 1:
        return f"{len(values):,} ({np.count_nonzero(values.any(axis=0))} classes)"
    if label in table.classes:
        return f"{len(values):,} ({len(np.unique(values))} classes)"
    return f"{len(values):,} ({values.mean():.1%})"
