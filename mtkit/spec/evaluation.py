"""Kinds that models are measured by: metrics, and the baselines beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from mtkit.conditions import Where
from mtkit.schema import Address
from mtkit.spec.base import Contributions, Name, Spec

if TYPE_CHECKING:
    import numpy as np

    from mtkit.types import Events, LabeledRows, Ranking, Sizes


#: What a label may be to its task, as metrics of predictions have it.
LabelKind = Literal["binary", "classes", "multi_label", "numeric", "count", "ordinal", "scores", "grades"]


class RankingMetric(Spec):
    """A metric over the top of a ranking, or over all of it."""

    kind: ClassVar[str] = "ranking_metric"
    #: Whether less is better.
    lower_is_better: ClassVar[bool] = False
    #: False: uses the full ranking (`Ranking.targets`); its key has no `@k`.
    cutoff: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[Address | Name, ...]:
        """Addresses of item columns, and names of encoders that derive vectors of items, which it needs in `Ranking.vectors`."""
        return ()

    def keys(self, name: str, k: Sequence[int]) -> dict[str, int]:
        """`name[@k]` -> cutoff, for the cutoffs of a recipe."""
        return {f"{name}@{cutoff}": cutoff for cutoff in k} if self.cutoff else {name: max(k)}

    @property
    def by_row(self) -> bool:
        """Whether it is the mean of `per_row`, so that users can be drawn anew and compared."""
        return type(self).per_row is not RankingMetric.per_row

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` at cutoff `k` (at most `ranking.items.shape[1]`)."""
        raise NotImplementedError

    def value(self, ranking: Ranking, k: int) -> float:
        """The metric: the mean over rows, unless it is defined over all rows together; nan where no row was ranked.

        Where rows have weights (`Ranking.weights`), a row of weight 2 is two rows.
        """
        values, weights = self.per_row(ranking, k), ranking.weights
        if not len(values):
            return float("nan")
        return float(values.mean() if weights is None else values @ weights.astype(float) / weights.sum(dtype=float))


class PredictionMetric(Spec):
    """A metric over predictions and labels."""

    kind: ClassVar[str] = "prediction_metric"
    #: Some of `binary`, `classes`, `multi_label` (any number of classes) and `numeric`; and of what only some heads make of such
    #: labels: `count` (numbers, 0 or more), `ordinal` (classes numbered in their order), `scores` (an order of rows with binary
    #: labels), `grades` (an order of rows with numbers from 0 on). What is for `numeric` is measured for `count`, too, and what
    #: is for `classes`, for `ordinal`.
    labels: ClassVar[frozenset[str]]
    #: Whether less is better.
    lower_is_better: ClassVar[bool] = False
    #: Whether it is best, in expectation, where predictions are the true probabilities or means (a proper score), so that a
    #: head that is worse than a constant by it has learned nothing of use.
    proper: ClassVar[bool] = False
    #: Whether it counts places, of which a row of weight 2 has two: weights that are all larger then change it, as it does where
    #: all rows are there twice.
    counts_places: ClassVar[bool] = False
    #: Between which values it lies; intervals end there, too.
    limits: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    #: Its value for predictions in any order that says nothing, whatever the labels; None = that depends on them.
    chance: ClassVar[float | None] = None

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The metric over rows.

        Args:
            labels: `[rows]`, 0/1 or class numbers; `[rows, classes]`, 0/1, where any number of classes applies.
            predictions: probabilities, `[rows]` for binary labels, `[rows, classes]` otherwise; scores or numbers, `[rows]`,
                for labels of these forms.
            weights: float32 `[rows]`, positive.

        Returns:
            The value; nan where it is undefined (AUC with one class).
        """
        raise NotImplementedError

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """Values and weights, float64 `[rows]` each: the metric is the mean of the values by the weights.

        From their sums by user come intervals and tests. A mean, or a ratio, has the values and weights that it consists
        of. Otherwise metric + influence function, for delta-method intervals. None: it has no such values, or is undefined
        on these rows.

        Args:
            labels: as for `value`.
            predictions: as for `value`.
            weights: as for `value`.
        """
        return None


class GroupedMetric(PredictionMetric):
    """A metric within groups of rows; it is given the group of each row: its user, or the query of a task that has queries."""

    def value(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
    ) -> float:
        """As for other metrics; `groups` are integers `[rows]`."""
        raise NotImplementedError

    def contributions(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
    ) -> Contributions | None:
        """As for other metrics; `groups` are integers `[rows]`."""
        return None


class UnseenMetric(PredictionMetric):
    """A metric of labels of any number of classes; it is given how many classes of each row training lacks."""

    def value(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, unseen: np.ndarray | None = None
    ) -> float:
        """As for other metrics; `unseen` are integers `[rows]`."""
        raise NotImplementedError

    def contributions(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, unseen: np.ndarray | None = None
    ) -> Contributions | None:
        """As for other metrics; `unseen` are integers `[rows]`."""
        return None


class Baseline(Spec):
    """Something simple that a model has to beat; fits on the same rows and scores the same candidates."""

    kind: ClassVar[str] = "baseline"
    #: Beside which tasks it stands, those of this `TaskHead.baseline_form`: `retrieval` baselines implement `rank`,
    #: `prediction` baselines implement `predict`.
    form: ClassVar[Literal["retrieval", "prediction"]]
    #: Whether a `prediction` baseline can predict numbers, too; `LabeledRows.classes` is 0 then.
    numeric: ClassVar[bool] = False
    #: Whether rows and events count by their weights (`LabeledRows.weights`, `Events.weight`); results name those of which
    #: it is not true.
    weighs: ClassVar[bool] = False
    #: Whether a `retrieval` baseline scores by the row's own past; rows without one are ranked by popularity instead.
    needs_past: ClassVar[bool] = False
    #: Whether a `prediction` baseline can predict labels of any number of classes, too; `LabeledRows.labels` are
    #: `[rows, classes]` then.
    multi_label: ClassVar[bool] = False

    def grid(self) -> Sequence[Baseline]:
        """The settings tried on validation, from which the best is taken; itself alone if nothing is tuned."""
        return (self,)

    def cost(self, size: Sizes) -> float:
        """Seconds that one setting takes on an ordinary core, by the sizes of the data alone; 0 where it is never too dear.

        `evaluate.baseline_budget` is compared with it, so it must not depend on the machine, nor on the time.

        Args:
            size: users, items and events.
        """
        return 0.0

    def rank(self, events: Events, cut: int, items: int) -> Callable[[np.ndarray], np.ndarray] | None:
        """A scorer of the catalog; None where the baseline does not apply (a catalog too large for it).

        Args:
            events: all events; only those strictly before `cut` may be used.
            cut: seconds.
            items: number of rows of the item table, the unknown included.

        Returns:
            A function from users int32 `[rows]` to scores, floats `[rows, items]`.
        """
        raise NotImplementedError

    def predict(self, train: LabeledRows, rows: LabeledRows) -> np.ndarray | None:
        """Probabilities, `[rows]` or `[rows, classes]`; None where the baseline does not fit the task (no text to read)."""
        raise NotImplementedError


class EventsBaseline(Baseline):
    """A baseline of retrieval that counts interactions.

    Where `where` is left out and a task has targets of some interactions alone, both are tried on validation: all interactions,
    and those that targets are made of.
    """

    form: ClassVar[Literal["retrieval", "prediction"]] = "retrieval"
    needs_past: ClassVar[bool] = True

    where: Where | None = Field(None, description="which interactions it counts; default: what is best on validation")


class ContentBaseline(EventsBaseline):
    """A baseline of retrieval by what items are: it is given vectors of them, so that it ranks those that nobody has had."""

    @property
    def reads(self) -> tuple[Address | Name, ...]:
        """Addresses of item columns, and names of encoders that derive vectors of items."""
        raise NotImplementedError

    def rank(
        self, events: Events, cut: int, items: int, vectors: Mapping[str, Any] | None = None
    ) -> Callable[[np.ndarray], np.ndarray] | None:
        """As for other baselines.

        Args:
            events: as for others.
            cut: as for others.
            items: as for others.
            vectors: for each of `reads`, floats `[items, width]` or a SciPy sparse array, rows of length 1, or 0 for none.
        """
        raise NotImplementedError
