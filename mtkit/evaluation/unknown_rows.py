"""Rows whose user, or item, training has never seen: which these are, and how well a model knows what it does not know there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from mtkit.data.row_tables import Tables
from mtkit.evaluation.metrics import labeled
from mtkit.evaluation.slices import unknown_groups
from mtkit.recipe.plan import Plan
from mtkit.types import Fold

#: Positives that a group needs for its mean prediction to be judged, and how far that may be off the rate.
POSITIVES, OFF = 500, 0.2


@dataclass(frozen=True)
class UnknownRows:
    """A task on a group of rows.

    Attributes:
        rows: how many have a label.
        positives: how many of them are 1.
        auc: whether positives come first; None where there is one kind alone.
        log_loss: the mean over the rows; None where a prediction is not finite.
        mean_prediction: the mean of the predictions.
        rate: the mean of the labels.
        ratio: that of the two, 1 = right on average; None where there are no positives.
    """

    rows: int
    positives: int
    auc: float | None
    log_loss: float | None
    mean_prediction: float
    rate: float
    ratio: float | None

    @property
    def off(self) -> bool:
        """Whether the mean prediction is off by so much that it is no matter of chance."""
        return self.ratio is not None and self.positives >= POSITIVES and abs(self.ratio - 1) > OFF


def unknown_results(
    plan: Plan, tables: Tables, fold: Fold, answers: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """Task -> group -> figures, for binary labels where there are such rows; with `known`, of all others, beside.

    Args:
        plan: who predicts what.
        tables: row table -> part -> its rows.
        fold: what was known.
        answers: task -> predictions on its evaluation rows.
    """
    return {task: groups for task, groups in _found(plan, tables, fold, answers) if set(groups) - {"known"}}


def _found(
    plan: Plan, tables: Tables, fold: Fold, answers: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for task, spec in plan.predictions().items():
        table, predictions = tables[spec.evaluated_on]["eval"], answers.get(task)
        if predictions is None or predictions.ndim != 1 or spec.numeric or spec.form:
            continue
        rows = labeled(table, spec.predicts)
        groups = unknown_groups(table, fold)
        if groups:
            groups["known"] = ~np.logical_or.reduce(list(groups.values()))
        inside = {name: np.flatnonzero(of & (rows.weights > 0)) for name, of in groups.items()}
        yield (
            task,
            {
                name: asdict(_measured(rows.labels[of], predictions[of], rows.weights[of]))
                for name, of in inside.items()
                if len(of)
            },
        )


def _measured(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> UnknownRows:
    positive, finite = labels > 0.5, bool(np.isfinite(predictions).all())
    rate, mean = float(np.average(labels, weights=weights)), float(np.average(predictions, weights=weights))
    both = finite and 0 < positive.sum() < len(positive)
    return UnknownRows(
        rows=len(labels),
        positives=int(positive.sum()),
        auc=float(roc_auc_score(positive, predictions, sample_weight=weights)) if both else None,
        log_loss=float(log_loss(positive, predictions.astype(float), sample_weight=weights, labels=[False, True]))
        if finite
        else None,
        mean_prediction=mean,
        rate=rate,
        ratio=mean / rate if rate > 0 else None,
    )


def warnings_of(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    """What to say of groups of which a task's mean prediction is far off the rate."""
    for task, groups in found.items():
        for name, figures in groups.items():
            of = UnknownRows(**figures)
            if name != "known" and of.off:
                yield (
                    f"task {task}: of {of.rows:,} rows of {_WORDS[name]} it says {of.mean_prediction:.3g} on average, and "
                    f"{of.rate:.3g} of them are 1 ({of.ratio:.2f} times the rate): training knows too little of the unknown; "
                    'set train.hide, such as hide = {"user.id" = 0.5, "item.id" = 0.5}'
                )


_WORDS = {"unknown_user": "unknown users", "unknown_item": "unknown items", "unknown_both": "unknown users and items"}
