"""Metrics of rankings and predictions under a protocol, slice by slice, whatever made the scores; no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mtkit.data.build_context import frozen_vectors
from mtkit.data.item_vectors import item_vectors
from mtkit.evaluation.rank import Scorer, of_items, of_rows, rank_each, user_shares
from mtkit.evaluation.sampled_ranking import SomeScorer, against_sample
from mtkit.evaluation.slices import Slice, make_slices
from mtkit.evaluation.user_sums import ROWS, Measured, TopLists, UserSums
from mtkit.recipe.settings import LISTS, Evaluate
from mtkit.schema import Address
from mtkit.spec import (
    BuildContext,
    ContentBaseline,
    Contributions,
    GroupedMetric,
    PredictionMetric,
    RankingMetric,
    SelfSupervisedTask,
    UnseenMetric,
)
from mtkit.spec.heads import query_column
from mtkit.types import ROW_WEIGHT, Fold, LabeledRows, MetricKey, Ragged, Ranking, RowTable


@dataclass(frozen=True)
class RankingProtocol:
    """How rankings are judged.

    Attributes:
        metrics: name -> metric.
        k: cutoffs.
        lists: slices that are lists of their own, beside the whole catalog: `new` = without items of the row's own past.
        block: rows that are scored at once; bounds the memory.
        shares: float64 `[items]`, the share of users who have had each item before the cut; None = not known.
        slices: parts of the rows and of the items that are relevant to them, also for tasks of prediction.
        item: the entity that is ranked.
        vectors: address or encoder -> vectors of the items, for the metrics and baselines that read them.
        sampled: number of items, not relevant, that rows are ranked against; None = the whole catalog.
    """

    metrics: Mapping[str, RankingMetric]
    k: Sequence[int]
    lists: Sequence[str]
    block: int
    shares: np.ndarray | None = None
    slices: Sequence[Slice] = ()
    item: str = "item"
    vectors: Mapping[str, Any] = field(default_factory=dict)
    sampled: int | None = None

    @classmethod
    def of(cls, settings: Evaluate, fold: Fold, context: BuildContext) -> RankingProtocol:
        """The protocol of a recipe's section on a fold.

        Args:
            settings: the section.
            fold: the fold.
            context: what encoders are told, for metrics and baselines that compare items by the vectors of one.

        Raises:
            DataError: a slice or a metric asks for something that the data do not have.
        """
        item = fold.events.item
        asked = [metric.reads for metric in settings.metrics.values()]
        asked += [baseline.reads for baseline in settings.baselines.values() if isinstance(baseline, ContentBaseline)]
        return cls(
            metrics=settings.metrics,
            k=settings.k,
            lists=[name for name in settings.slices if name in LISTS],
            block=settings.block,
            shares=user_shares(fold.events, fold.cut, len(fold.catalog(item))) if item else None,
            slices=make_slices(settings, fold),
            item=item or "",
            vectors={
                name: item_vectors(fold, address) if address.scope else frozen_vectors(context, name, item or "")
                for name in dict.fromkeys(name for names in asked for name in names)
                for address in [Address(name)]
            },
            sampled=settings.sampled,
        )

    def only(self, key: MetricKey) -> RankingProtocol:
        """The protocol that measures nothing but one figure, and the same without the slice."""
        return replace(
            self,
            metrics={name: metric for name, metric in self.metrics.items() if name == key.metric},
            k=self.k if key.k is None else [key.k],
            lists=[other for other in self.lists if other == key.slice],
            slices=[other for other in self.slices if other.name == key.slice],
        )

    def of_rows(self, table: RowTable) -> dict[str, np.ndarray]:
        """Slice -> which rows of the table belong to it, bool `[rows]`, for the slices that are of its rows."""
        found = {part.name: part.of_rows(table) for part in self.slices}
        return {name: rows for name, rows in found.items() if rows is not None}


def rank_metrics(task: str, score: Scorer | SomeScorer, table: RowTable, protocol: RankingProtocol) -> Measured:
    """`task/[slice/]metric[@k]` -> value, for a scorer of the table's rows.

    Rows without relevant candidates in a slice do not count in that slice, and those of weight 0 (`row_weight`) in none.

    Args:
        task: the task.
        score: scores the whole catalog, or, where rows are ranked against a sample, what it is asked for.
        table: the rows.
        protocol: how they are judged.
    """
    measured, targets = Measured(), table.lists["target"]
    lists = ("", *protocol.lists)
    excluded = [_own(table) if name else None for name in lists]
    if protocol.sampled:
        samples = [(against_sample(score, targets, own, protocol.sampled), own) for own in excluded]
        found = [of for scorer, own in samples for of in _ranked(scorer, table, [own], protocol)]
    else:
        assert not isinstance(score, SomeScorer), "without a sample, the catalog is ranked"
        found = _ranked(score, table, excluded, protocol)
    for name, (ranking, rows) in zip(lists, found, strict=True):
        measured |= _of_ranking(_path(task, name), ranking, table, rows, protocol)
        if not name and not protocol.sampled:
            measured.lists[task] = TopLists.of(ranking, rows)
        for part in () if name else protocol.slices:
            if (narrowed := _narrowed(part, ranking, table, rows, protocol.item)) is not None:
                measured |= _of_ranking(_path(task, part.name), narrowed[0], table, narrowed[1], protocol)
    return measured


def list_metrics(
    task: str, part: str, lists: Scorer, table: RowTable, protocol: RankingProtocol, *, seen: bool = True
) -> Measured:
    """`task/part/metric[@k]` -> value, for lists that were made from the catalog.

    Args:
        task: the task.
        part: what the lists are called, in the place of a slice.
        lists: scores of the whole catalog by which items of a list are in its order; -inf = not in it.
        table: the rows.
        protocol: how they are judged; a sample and slices are left aside.
        seen: whether items of a row's own past can be in a list, and are relevant.
    """
    ((ranking, rows),) = _ranked(lists, table, [None if seen else _own(table)], protocol)
    return _of_ranking(_path(task, part), ranking, table, rows, protocol)


def _ranked(
    score: Scorer, table: RowTable, excluded: Sequence[Ragged | None], protocol: RankingProtocol
) -> list[tuple[Ranking, np.ndarray]]:
    """The ranking of the rows that count, and their numbers, for one exclusion after another."""
    found = rank_each(
        score, table.lists["target"], max(protocol.k), excluded, protocol.block,
        shares=protocol.shares, vectors=protocol.vectors,
        whole=any(not metric.cutoff for metric in protocol.metrics.values()),
    )  # fmt: skip
    return [_that_count(ranking, rows, table) for ranking, rows in found]


def _that_count(ranking: Ranking, rows: np.ndarray, table: RowTable) -> tuple[Ranking, np.ndarray]:
    """The ranking with what its rows count, without those that count nothing, and the numbers of the others."""
    weights = table.dense.get(ROW_WEIGHT)
    if weights is None:
        return ranking, rows
    there = np.flatnonzero(weights[rows] > 0)
    return of_rows(replace(ranking, weights=weights[rows]), there), rows[there]


def _own(table: RowTable) -> Ragged:
    own = table.lists["own"]
    return Ragged(own.offsets, {"item": own.values["id"]})


def _path(task: str, part: str) -> str:
    return f"{MetricKey(task, part, '').group}/"


def _narrowed(
    part: Slice, ranking: Ranking, table: RowTable, rows: np.ndarray, item: str
) -> tuple[Ranking, np.ndarray] | None:
    """The ranking of a slice and the numbers of its rows in the table; None where the table does not tell."""
    if part.address == item:
        narrowed, left = of_items(ranking, part.contains(np.arange(ranking.catalog + 1)))
        return narrowed, rows[left]
    inside = part.of_rows(table)
    if inside is None:
        return None
    left = np.flatnonzero(inside[rows])
    return of_rows(ranking, left), rows[left]


def _of_ranking(path: str, ranking: Ranking, table: RowTable, rows: np.ndarray, protocol: RankingProtocol) -> Measured:
    measured, means = Measured(), {}
    once = np.ones(len(rows)) if ranking.weights is None else ranking.weights
    for name, metric in protocol.metrics.items():
        for key, k in metric.keys(name, protocol.k).items():
            measured[path + key] = metric.value(ranking, k)
            if metric.by_row:
                means[key] = metric.per_row(ranking, k), once
    entity, ids = next(iter(table.ids.items()))
    measured.sums[path] = UserSums.of(entity, ids[rows], once, means)
    measured.counts[path[:-1]] = len(rows)
    return measured


def predict_metrics(
    task: str,
    predictions: np.ndarray,
    rows: LabeledRows,
    metrics: Mapping[str, PredictionMetric],
    slices: Mapping[str, np.ndarray] | None = None,
) -> Measured:
    """`task/[slice/]metric` -> value, over rows of positive weight, for the metrics that fit the label.

    Args:
        task: the task.
        predictions: `[rows]` or `[rows, classes]`.
        rows: labels and weights.
        metrics: name -> metric.
        slices: slice -> which rows belong to it, bool `[rows]`.
    """
    there = rows.weights > 0
    forms = _forms(rows)
    fitting = {name: metric for name, metric in metrics.items() if forms & metric.labels}
    measured = Measured()
    for name, inside in {"": there, **(slices or {})}.items():
        measured |= _of_predictions(_path(task, name), predictions, rows, fitting, np.flatnonzero(there & inside))
    return measured


def _of_predictions(
    path: str, predictions: np.ndarray, rows: LabeledRows, metrics: Mapping[str, PredictionMetric], kept: np.ndarray
) -> Measured:
    measured, means = Measured(), {}
    given = rows.labels[kept], predictions[kept], rows.weights[kept]
    groups = kept if rows.groups is None else rows.groups[kept]
    for name, metric in metrics.items():
        queries = groups if rows.queries is None else rows.queries[kept]
        extra = {"groups": queries} if isinstance(metric, GroupedMetric) else {}
        if isinstance(metric, UnseenMetric):
            extra["unseen"] = np.zeros(len(kept), np.int32) if rows.unseen is None else rows.unseen[kept]
        measured[path + name] = metric.value(*given, **extra)
        if (values := metric.contributions(*given, **extra)) is not None:
            means[name] = values
    measured.sums[path] = UserSums.of(rows.acting or ROWS, groups, given[2], means)
    measured.counts[path[:-1]] = len(kept)
    return measured


def own_metrics(
    task: str,
    spec: SelfSupervisedTask,
    means: Mapping[str, Contributions],
    table: RowTable,
    slices: Mapping[str, np.ndarray] | None = None,
) -> Measured:
    """`task/[slice/]metric` -> value, for a task that measures itself.

    Args:
        task: the task.
        spec: makes the metrics from the means.
        means: metric -> values and weights of the table's rows.
        table: the rows.
        slices: slice -> which rows belong to it, bool `[rows]`.
    """
    measured, (entity, ids) = Measured(), next(iter(table.ids.items()))
    scale = table.dense.get(ROW_WEIGHT, np.ones(len(table)))
    for name, inside in {"": np.ones(len(table), bool), **(slices or {})}.items():
        path, kept = _path(task, name), np.flatnonzero(inside & (scale > 0))
        part = {key: (values[kept], weights[kept] * scale[kept]) for key, (values, weights) in means.items()}
        measured.update({path + key: value for key, value in spec.values(part).items()})
        measured.sums[path] = UserSums.of(entity, ids[kept], scale[kept], part)
        measured.counts[path[:-1]] = len(kept)
    return measured


def _forms(rows: LabeledRows) -> set[str]:
    """What metrics have to be for (`PredictionMetric.labels`): one of these."""
    if rows.form in ("scores", "grades"):
        return {rows.form}
    if rows.labels.ndim == 2:
        return {"multi_label"}
    form = {0: "numeric", 2: "binary"}.get(rows.classes, "classes")
    return {form, rows.form} if rows.form else {form}


def labeled(
    table: RowTable, label: str, *, numeric: bool = False, form: str = "", query_by: str | None = None
) -> LabeledRows:
    """The table's rows with one label, without columns; `numeric` labels are numbers, the rest is as `TaskHead` has it."""
    classes = 0 if numeric else max(2, len(table.classes.get(label, ())))
    acting, groups = next(iter(table.ids.items()), ("", None))
    values, unseen = table.labels[label], table.unseen.get(label)
    queries = None if query_by is None else table.dense[query_column(query_by)]
    return LabeledRows(
        {}, values, table.weights[label], classes,
        groups=groups, queries=queries, acting=acting, unseen=unseen, form=form,
    )  # fmt: skip
