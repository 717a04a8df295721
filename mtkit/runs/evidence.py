"""What a run keeps for its report, in `evidence/`: what was found in the data, and samples of what the model said of the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from mtkit.data.leakage import Finding as Leak
from mtkit.data.row_tables import Tables
from mtkit.evaluation.evidence import (
    kept_lists,
    kept_predictions,
    kept_vectors,
    label_rates,
    most_popular,
    time_line,
    told_by_columns,
)
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.user_sums import Measured
from mtkit.profile.findings import Finding
from mtkit.recipe.plan import Plan
from mtkit.runs.directory import RunDirectory, write_json, write_table
from mtkit.shown import shown_values
from mtkit.spec import Cut
from mtkit.types import Dataset, Fold


@dataclass(frozen=True)
class LookedOver:
    """The data of a run, with what a first look found in them.

    Attributes:
        dataset: the raw tables.
        leaks: what training could know of what is evaluated.
        findings: warnings of the quick checks of data.
        timing: seconds that it took, by name.
        memory: MiB that the process had taken at most at its end, by name.
    """

    dataset: Dataset
    leaks: Sequence[Leak] = ()
    findings: Sequence[Finding] = ()
    timing: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)

    def write(self, directory: RunDirectory, valid: Cut, test: Cut) -> None:
        """Keeps what was found, and how many interactions there are at what time."""
        found = {"leaks": [asdict(leak) for leak in self.leaks], "findings": [asdict(one) for one in self.findings]}
        line = time_line(self.dataset, valid, test)
        write_json(directory.found, shown_values(found) | {"time_line": line})


@dataclass(frozen=True)
class Said:
    """What a trained model says of a phase, beside its figures.

    Attributes:
        plan: the tasks.
        fold: what was known.
        tables: row table -> part -> its rows.
        protocol: how rankings are judged.
        measured: its figures, with some of its lists.
        answers: task -> what its head answers for each evaluation row, of tasks that predict a label.
        vectors: task that ranks -> what its items are like, `[items, n]`.
        parameters: component -> how many numbers it learned.
        weights: task -> what multiplied its loss in the end; None where the balancer does not tell.
    """

    plan: Plan
    fold: Fold
    tables: Tables
    protocol: RankingProtocol
    measured: Measured
    answers: Mapping[str, np.ndarray]
    vectors: Mapping[str, np.ndarray]
    parameters: Mapping[str, int]
    weights: Mapping[str, float] | None

    def write(self, directory: RunDirectory) -> None:
        """Keeps samples of it; what is in the files is in the order of the catalogs that the run keeps beside."""
        predictions, shares = self._predictions(), self.protocol.shares
        for task, (_, table) in predictions.items():
            write_table(directory.evidence / f"predictions-{task}.parquet", table)
        for task, table in self._lists().items():
            write_table(directory.evidence / f"lists-{task}.parquet", table)
        for task, vectors in self.vectors.items():
            write_table(directory.evidence / f"vectors-{task}.parquet", kept_vectors(vectors, shares))
        found: dict[str, Any] = {
            "predictions": {task: told.plain() for task, (told, _) in predictions.items()},
            "labels": label_rates(self.plan, self.tables),
            "columns": told_by_columns(self.plan, self.fold, self.tables),
            "items": self._items(),
            "parameters": dict(self.parameters),
            "weights": None if self.weights is None else dict(self.weights),
        }
        write_json(directory.evidence / f"{self.fold.name}.json", shown_values(found))

    def _predictions(self) -> dict[str, Any]:
        found = {
            task: kept_predictions(self.tables[head.evaluated_on]["eval"], head, self.answers[task])
            for task, head in self.plan.predictions().items()
            if task in self.answers
        }
        return {task: kept for task, kept in found.items() if kept is not None}

    def _lists(self) -> dict[str, pa.Table]:
        return {
            task: kept_lists(top, self.tables[self.plan.rows_of(task)]["eval"], self.fold, self.protocol.shares)
            for task, top in self.measured.lists.items()
        }

    def _items(self) -> dict[str, Any] | None:
        """The catalog that is ranked, and what most users have had of it."""
        role = self.protocol.item
        if not role:
            return None
        catalog = self.fold.catalog(role)
        return {"entity": catalog.name, "catalog": len(catalog) - 1, "popular": most_popular(self.protocol.shares)}
