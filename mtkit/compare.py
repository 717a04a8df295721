"""Baselines beside the model: tuned on validation, fitted on the same history, scored on the same rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtkit.data.columns import raw
from mtkit.measure import RankingProtocol, labeled, predict_metrics, rank_metrics
from mtkit.plan import Plan
from mtkit.spec import Baseline, PredictionMetric, PredictionTask, RetrievalTask
from mtkit.types import Fold, LabeledRows, Part, RowTable

Tables = Mapping[str, Mapping[Part, RowTable]]


def tune(
    baselines: Mapping[str, Baseline], task: str, fold: Fold, table: RowTable, protocol: RankingProtocol, key: str
) -> dict[str, Baseline]:
    """Each retrieval baseline with the setting of its grid that is best on validation.

    Args:
        baselines: name -> baseline.
        task: the task whose metric decides.
        fold: the fold of validation.
        table: its rows with targets.
        protocol: how rankings are judged.
        key: the metric that decides, `task/metric@k`.
    """

    def best(baseline: Baseline) -> Baseline:
        candidates = baseline.grid()
        if len(candidates) == 1:
            return candidates[0]
        return max(candidates, key=lambda setting: _ranked(setting, task, fold, table, protocol.only(key))[key])

    return {name: best(b) if b.form == "retrieval" else b for name, b in baselines.items()}


def judge(
    baselines: Mapping[str, Baseline],
    plan: Plan,
    fold: Fold,
    tables: Tables,
    protocol: RankingProtocol,
    metrics: Mapping[str, PredictionMetric],
) -> dict[str, dict[str, float]]:
    """Baseline -> metric key -> value, for every task that a baseline fits."""
    results: dict[str, dict[str, float]] = {name: {} for name in baselines}
    rows_of = {
        task: (
            labeled_rows(fold, tables[spec.rows]["train"], spec.label),
            labeled_rows(fold, tables[spec.rows]["eval"], spec.label),
        )
        for task, spec in plan.tasks.items()
        if isinstance(spec, PredictionTask)
    }
    for name, baseline in baselines.items():
        for task, spec in plan.tasks.items():
            if baseline.form == "retrieval" and isinstance(spec, RetrievalTask):
                table = tables[plan.rows_of(task)]["eval"]
                results[name] |= _ranked(baseline, task, fold, table, protocol)
            elif baseline.form == "prediction" and task in rows_of:
                train, rows = rows_of[task]
                predictions = baseline.predict(train, rows)
                if predictions is not None:
                    results[name] |= predict_metrics(task, predictions, rows, metrics)
    return results


def labeled_rows(fold: Fold, table: RowTable, label: str) -> LabeledRows:
    """The table's rows with one label and the texts of their entities."""
    columns = {
        f"{entity}.{name}": raw(fold.entities[entity].columns[name], fold.schema.entities[entity][name])[ids]
        for entity, ids in table.ids.items()
        for name in fold.schema.of_kind("text", entity)
    }
    return labeled(table, label, columns)


def _ranked(baseline: Baseline, task: str, fold: Fold, table: RowTable, protocol: RankingProtocol) -> dict[str, float]:
    user_entity, item_entity = list(fold.events.ids)[:2]
    users = table.ids[user_entity]
    score = baseline.rank(fold.events, fold.cut, len(fold.entities[item_entity]))
    return rank_metrics(task, lambda rows: score(users[rows]), table, protocol)


def best_of(results: Mapping[str, Mapping[str, float]], key: str) -> tuple[str, float] | None:
    """The baseline with the highest value of a metric."""
    values = [
        (numbers[key], name) for name, numbers in results.items() if key in numbers and not np.isnan(numbers[key])
    ]
    if not values:
        return None
    value, name = max(values)
    return name, value
