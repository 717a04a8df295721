"""Metrics of rankings and predictions under a protocol, slice by slice, whatever made the scores; no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtkit.rank import rank, user_shares
from mtkit.spec import PredictionMetric, RankingMetric
from mtkit.types import Fold, LabeledRows, Ragged, RowTable

if TYPE_CHECKING:
    from mtkit.sections import Evaluate

Scorer = Callable[[np.ndarray], np.ndarray]
"""From row numbers `[rows]` to scores of the catalog `[rows, items]`."""

SLICES = ("new",)
"""Slices of a retrieval task beside all items: `new` = items that are not in the row's own past."""


@dataclass(frozen=True)
class RankingProtocol:
    """How rankings are judged.

    Attributes:
        metrics: name -> metric.
        k: cutoffs.
        slices: slices beside all items.
        block: rows that are scored at once; bounds the memory.
        shares: float64 `[items]`, the share of users who have had each item before the cut; None = not known.
    """

    metrics: Mapping[str, RankingMetric]
    k: Sequence[int]
    slices: Sequence[str]
    block: int
    shares: np.ndarray | None = None

    @classmethod
    def of(cls, settings: Evaluate, fold: Fold) -> RankingProtocol:
        """The protocol of a recipe's section on a fold."""
        item = list(fold.events.ids)[1]
        shares = user_shares(fold.events, fold.cut, len(fold.entities[item]))
        return cls(settings.metrics, settings.k, settings.slices, settings.block, shares)

    def only(self, key: str) -> RankingProtocol:
        """The protocol that measures nothing but `task/[slice/]metric@k`."""
        *slices, metric = key.split("/")[1:]
        name, _, k = metric.partition("@")
        return RankingProtocol({name: self.metrics[name]}, [int(k)], slices, self.block, self.shares)


def rank_metrics(task: str, score: Scorer, table: RowTable, protocol: RankingProtocol) -> dict[str, float]:
    """`task/[slice/]metric@k` -> value, for a scorer of the table's rows.

    Rows without relevant candidates in a slice do not count in that slice.
    """
    assert table.targets is not None
    values = {}
    for name, excluded in _slices(table, protocol.slices).items():
        ranking, _ = rank(score, table.targets, max(protocol.k), excluded, protocol.block, shares=protocol.shares)
        for metric_name, metric in protocol.metrics.items():
            for k in protocol.k:
                values[f"{task}/{name}{metric_name}@{k}"] = metric.value(ranking, k)
    return values


def _slices(table: RowTable, names: Iterable[str]) -> dict[str, Ragged | None]:
    slices: dict[str, Ragged | None] = {"": None}
    for name in names:
        assert name in SLICES
        assert table.own is not None
        slices[f"{name}/"] = Ragged(table.own.offsets, {"item": table.own.values["id"]})
    return slices


def predict_metrics(
    task: str, predictions: np.ndarray, rows: LabeledRows, metrics: Mapping[str, PredictionMetric]
) -> dict[str, float]:
    """`task/metric` -> value, over rows of positive weight, for the metrics that fit the label."""
    form = "binary" if rows.classes == 2 else "classes"
    there = rows.weights > 0
    return {
        f"{task}/{name}": metric.value(rows.labels[there], predictions[there], rows.weights[there])
        for name, metric in metrics.items()
        if form in metric.labels
    }


def labeled(table: RowTable, label: str, columns: Mapping[str, np.ndarray] | None = None) -> LabeledRows:
    """The table's rows with one label, and raw columns for baselines that read them."""
    classes = max(2, len(table.classes.get(label, ())))
    return LabeledRows(columns or {}, table.labels[label], table.weights[label], classes)
