"""What a model has to beat in retrieval without learning anything: popularity and the user's own past."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from mtkit.spec import Baseline, EventsBaseline, PositiveFloat
from mtkit.types import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from mtkit.types import Events

    Scorer = Callable[[np.ndarray], np.ndarray]

DENSE, SPARSE = 2.5e10, 1e9
"""What costs are estimated by: floating point operations a second on dense matrices, and additions on sparse ones, of a core."""

HalfLife = Annotated[float, Field(ge=0)]
"""Days; 0 = nothing fades."""


class RetrievalBaseline(EventsBaseline):
    """A baseline that scores the catalog by the user's past; users without one are ranked by popularity."""

    needs_past: ClassVar[bool] = True


class Popularity(RetrievalBaseline):
    """Number of distinct users who bought the item; the same for every user.

    Where interactions have weights, a user counts as the weightiest purchase of the item does.
    """

    weighs: ClassVar[bool] = True

    needs_past: ClassVar[bool] = False

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        return _same_for_all(bought(events, cut, items, weighed=True).sum(axis=0))


class RecencyPopularity(RetrievalBaseline):
    """Number of distinct users who bought the item shortly before the cut; the same for every user.

    Weights count as for `popularity`.
    """

    weighs: ClassVar[bool] = True

    needs_past: ClassVar[bool] = False

    window: PositiveFloat = Field(30, description="days before the cut that count")
    windows: tuple[PositiveFloat, ...] = Field(
        (7, 14, 30, 60, 120), min_length=1, description="windows tried on validation, days"
    )

    def grid(self) -> Sequence[Baseline]:
        """One for each of `windows`."""
        return tuple(self.model_copy(update={"window": window}) for window in self.windows)

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        return _same_for_all(bought(events, cut, items, since=cut - self.window * DAY, weighed=True).sum(axis=0))


class FadingPopularity(RetrievalBaseline):
    """Number of distinct users who bought the item, each weighted by `0.5 ** (age / half_life)` of the latest purchase.

    The same for every user. Where interactions have weights, a user of weight 2 is two users, as for `popularity`; of those
    that only an earlier, weightier purchase makes, the age is that of this purchase.
    """

    weighs: ClassVar[bool] = True

    needs_past: ClassVar[bool] = False

    half_life: HalfLife = Field(30, description="days after which a user counts half; 0 = all count alike")
    half_lives: tuple[HalfLife, ...] = Field(
        (3, 10, 30, 90, 270, 0), min_length=1, description="half-lives tried on validation, days; 0 = all count alike"
    )

    def grid(self) -> Sequence[Baseline]:
        """One for each of `half_lives`."""
        return tuple(self.model_copy(update={"half_life": half_life}) for half_life in self.half_lives)

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        import numpy as np

        users, chosen = _pairs(events)
        known = np.flatnonzero(_known(events, cut))
        age = (cut - events.time[known]) / DAY
        fading = 0.5 ** (age / (self.half_life or math.inf))
        weight = np.ones(len(known)) if events.weight is None else events.weight[known].astype(float)
        pairs = users[known].astype(np.int64) * items + chosen[known]
        latest = np.lexsort((-fading, pairs))
        added = _above_earlier(weight[latest], pairs[latest])
        return _same_for_all(np.bincount(chosen[known][latest], fading[latest] * added, minlength=items))


class OwnFrequency(RetrievalBaseline):
    """Number of the user's distinct baskets that held the item.

    Where interactions have weights, a basket counts as its weightiest interaction with the item does.
    """

    weighs: ClassVar[bool] = True

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        past = _purchases(events, cut)
        return dense_rows(_sum(past.user, past.item, _shape(events, items), past.weight))


class OwnRecency(RetrievalBaseline):
    """The user's distinct baskets that held the item, each weighted by `0.5 ** (age / half_life)`.

    Weights of interactions count as for `own_frequency`.
    """

    weighs: ClassVar[bool] = True

    half_life: PositiveFloat = Field(120, description="days after which a basket counts half")
    half_lives: tuple[PositiveFloat, ...] = Field(
        (15, 30, 60, 120, 240, 480), min_length=1, description="half-lives tried on validation, days"
    )

    def grid(self) -> Sequence[Baseline]:
        """One for each of `half_lives`."""
        return tuple(self.model_copy(update={"half_life": half_life}) for half_life in self.half_lives)

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        past = _purchases(events, cut)
        weight = 0.5 ** ((cut - past.time) / DAY / self.half_life)
        if past.weight is not None:
            weight = weight * past.weight
        return dense_rows(_sum(past.user, past.item, _shape(events, items), weight))


@dataclass(frozen=True)
class _Purchases:
    """Distinct (user, basket, item) in order of user and time: arrays `[purchases]`; weights are None where all count 1."""

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    weight: np.ndarray | None


def _purchases(events: Events, cut: int) -> _Purchases:
    """What lies strictly before the cut and counts; the first event stands for others of the same basket and item."""
    import numpy as np

    users, items = _pairs(events)
    before = np.flatnonzero(_known(events, cut))
    keys = (items[before], events.group[before], users[before])
    order = np.lexsort(keys)
    first = np.ones(len(order), bool)
    first[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    kept, weight = before[order[first]], None
    place = np.argsort(kept)
    if events.weight is not None:
        weight = np.maximum.reduceat(events.weight[before[order]], np.flatnonzero(first))[place] if len(kept) else kept
    kept = kept[place]
    return _Purchases(users[kept], items[kept], events.time[kept], weight)


def _known(events: Events, cut: int, since: float = -math.inf) -> np.ndarray:
    """Which events lie in `[since, cut)`, seconds, and count, bool `[events]`."""
    known: np.ndarray = (events.time < cut) & (events.time >= since)
    return known if events.weight is None else known & (events.weight > 0)


def _pairs(events: Events) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the entity that acts, and of the one that is acted on."""
    users, items, *_ = events.ids.values()
    return users, items


def _shape(events: Events, items: int) -> tuple[int, int]:
    return len(events.offsets) - 1, items


def bought(events: Events, cut: int, items: int, since: float = -math.inf, *, weighed: bool = False) -> Any:
    """Sparse `[users, items]`: 1 where the user bought the item in `[since, cut)`, seconds.

    `weighed`, it is the largest weight of these purchases, if interactions have weights; what has weight 0 is left out.
    """
    import numpy as np

    users, chosen = _pairs(events)
    known = np.flatnonzero(_known(events, cut, since) if weighed else (events.time < cut) & (events.time >= since))
    matrix = _sum(users[known], chosen[known], _shape(events, items))
    matrix.data = np.ones_like(matrix.data)
    if weighed and events.weight is not None:
        _, place = np.unique(users[known].astype(np.int64) * items + chosen[known], return_inverse=True)
        matrix.data[:] = 0
        np.maximum.at(matrix.data, place, events.weight[known])
    return matrix


def _sum(users: np.ndarray, items: np.ndarray, shape: tuple[int, int], weights: np.ndarray | None = None) -> Any:
    """Sparse `[users, items]` of weights (default 1), summed in order: equal series have equal sums to the bit."""
    import numpy as np
    from scipy import sparse

    keys, place = np.unique(users.astype(np.int64) * shape[1] + items, return_inverse=True)
    sums = np.bincount(place, weights).astype(np.float64)
    return sparse.csr_array((sums, np.divmod(keys, shape[1])), shape=shape)


def _above_earlier(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """By how much each value is above all that come before it in its group, at least 0; the first one is itself."""
    import numpy as np
    import pandas as pd

    most: np.ndarray = pd.Series(values).groupby(groups).cummax().to_numpy()
    begins = np.append(True, groups[1:] != groups[:-1])[: len(groups)]
    before: np.ndarray = np.where(begins, 0.0, np.append(0.0, most[:-1])[: len(most)])
    below: np.ndarray = most - before
    return below


def dense_rows(matrix: Any) -> Scorer:
    """The rows of a sparse `[users, items]` as they are."""
    return lambda users: matrix[users].toarray()


def linear(matrix: Any, weights: np.ndarray) -> Scorer:
    """Scores `matrix @ weights` of a sparse `[users, n]` and a dense `[n, items]`."""
    return lambda users: matrix[users].toarray() @ weights


def _same_for_all(scores: np.ndarray) -> Scorer:
    import numpy as np

    return lambda users: np.broadcast_to(scores, (len(users), len(scores)))
