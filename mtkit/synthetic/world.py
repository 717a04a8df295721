"""The planted model: who likes what, and how often what is chosen.

A user u at time t chooses item i with a probability in proportion to w_i exp(strength taste(u, t) · c(i) + season(t, i)), where
w_i is how popular the item is, and c(i) the factors of its kind: a topic in one of two styles. Tastes turn from one draw of
factors to another. What users do with what they chose (`Behaviors`) follows from the same tastes, and from others.
"""

from __future__ import annotations

import functools

import numpy as np

from mtkit.synthetic.settings import Settings

#: Time of the first interaction at the earliest (2024-01-01), and days until the last.
START, DAYS = 1_704_067_200, 120
#: Days before validation and before the test of the recipes.
VALID, TEST = 91, 106
TOPICS, STYLES, FACTORS = 12, 2, 6
KINDS = TOPICS * STYLES
#: Periods of the time; in each, the items that there are stay the same.
PERIODS = 60
#: Days of a season.
_SEASON = 60.0
#: Moments over which what is expected is averaged.
_MOMENTS = 24


class World:
    """Users, items and what they have to do with one another.

    Args:
        settings: sizes and knobs.

    Attributes:
        rng: draws what there is once, in a fixed order.
        kind: int64 `[items]`, the kind of each item, of `KINDS`; its topic is `kind // STYLES`.
        weight: float64 `[items]`, how popular each is within its kind.
        born: float64 `[items]`, days after which it can be chosen.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rng = rng = np.random.default_rng([settings.seed, 0])
        users, items = settings.user_count, settings.item_count
        topics, styles = rng.normal(size=(TOPICS, 1, FACTORS)), rng.normal(size=(TOPICS, STYLES, FACTORS))
        self.centers = (0.8 * topics + 0.6 * styles).reshape(KINDS, FACTORS).astype(np.float32)
        self.before, self.after = rng.normal(size=(2, users, FACTORS)).astype(np.float32)
        self.kind = rng.permutation(np.arange(items) % KINDS)
        self.weight = _ranked(rng, items, settings.skew)
        late = rng.random(items) < settings.cold
        self.born = np.where(late, rng.uniform(0.5, 1, items) * DAYS, 0.0)
        self.activity = np.cumsum(_ranked(rng, users, settings.skew))
        phase = rng.uniform(0, 2 * np.pi, (2, KINDS))
        hour, day = np.arange(24)[:, None] / 24, np.arange(DAYS)[:, None] / _SEASON
        self._of_hour, self._of_day = (
            (settings.season * np.cos(2 * np.pi * moment - shift)).astype(np.float32)
            for moment, shift in zip((hour, day), phase, strict=True)
        )

    @property
    def topic(self) -> np.ndarray:
        """int64 `[items]`: the topic of each item."""
        return np.asarray(self.kind // STYLES)

    def tastes(self, users: np.ndarray, days: np.ndarray | float) -> np.ndarray:
        """Factors float32 `[n, FACTORS]` of users at moments, in days."""
        angle = (self.settings.drift * np.pi / 2 * np.asarray(days) / DAYS).astype(np.float32)
        angle = np.broadcast_to(angle, np.shape(users))[:, None]
        return np.asarray(np.cos(angle) * self.before[users] + np.sin(angle) * self.after[users])

    def match(self, users: np.ndarray, kinds: np.ndarray, days: np.ndarray | float) -> np.ndarray:
        """float32 `[n]`: how much users like kinds of items, of variance 1 over both."""
        return np.asarray(
            np.einsum("nf,nf->n", self.tastes(users, days), self.centers[kinds]) / np.float32(np.sqrt(FACTORS))
        )

    def leanings(self, users: np.ndarray, days: np.ndarray) -> np.ndarray:
        """float32 `[n, KINDS]`: the logarithm of how much more a kind is chosen than its items' popularity says."""
        found = self.tastes(users, days) @ (self.centers.T * np.float32(self.settings.strength / np.sqrt(FACTORS)))
        found += self._of_hour[(days % 1 * 24).astype(int)]
        found += self._of_day[days.astype(int)]
        return np.asarray(found)

    def users_at(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """int64 `[count]`: who acts, the active more often."""
        return np.asarray(np.searchsorted(self.activity, rng.random(count) * self.activity[-1]))

    def choose(
        self, rng: np.random.Generator, users: np.ndarray, days: np.ndarray, more: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """int64 `[n]`: which item each user chooses; the moments, in days, lie in order.

        Args:
            rng: draws.
            users: int64 `[n]`.
            days: float64 `[n]`, in order.
            more: what is added to `leanings`.
        """
        leaning = self.leanings(users, days) + more
        draw = rng.random((2, len(users)))
        items = np.empty(len(users), np.int64)
        period = np.minimum((days * PERIODS / DAYS).astype(int), PERIODS - 1)
        bounds = np.searchsorted(period, np.arange(PERIODS + 1))
        for number in range(PERIODS):
            part = slice(*bounds[number : number + 2])
            if part.start < part.stop:
                items[part] = self._within(number, leaning[part], draw[:, part])
        return items

    def _within(self, period: int, leaning: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """Chooses a kind, and an item of it, among those that there are in a period."""
        order, ends, total = self._there(period)
        shares = np.exp(leaning - leaning.max(1, keepdims=True)) * total.astype(np.float32)
        shares = np.cumsum(shares, axis=1)
        kind = (shares < draw[0][:, None] * shares[:, -1:]).sum(1)
        kind = np.minimum(kind, KINDS - 1)
        first = np.concatenate([[0.0], np.cumsum(total)])
        place = first[kind] + draw[1] * total[kind]
        return np.asarray(order[np.minimum(np.searchsorted(ends, place), len(order) - 1)])

    @functools.lru_cache(maxsize=PERIODS)  # noqa: B019 - a world is made once and kept
    def _there(self, period: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Items by kind, where each ends on the line of all weights, and the weight of each kind."""
        there = np.flatnonzero(self.born <= period * DAYS / PERIODS)
        order = there[np.argsort(self.kind[there], kind="stable")]
        total = np.bincount(self.kind[order], self.weight[order], minlength=KINDS)
        return order, np.cumsum(self.weight[order]), total

    def expected(
        self, users: np.ndarray, more: np.ndarray | float = 0.0, begin: float = TEST, end: float = DAYS
    ) -> np.ndarray:
        """float64 `[users, items]`: how often each item is chosen between two days, as a share; the mean over moments."""
        total = np.zeros((len(users), len(self.kind)))
        for day in np.linspace(begin, end, _MOMENTS, endpoint=False):
            there = self.weight * (self.born <= day)
            chances = np.exp(self.leanings(users, np.full(len(users), day)) + more)[:, self.kind] * there
            total += chances / chances.sum(1, keepdims=True)
        return total / _MOMENTS


def _ranked(rng: np.random.Generator, count: int, skew: float) -> np.ndarray:
    """Weights of rank^-skew in any order, of mean 1."""
    weights = rng.permutation(np.arange(1, count + 1) ** -skew)
    return np.asarray(weights / weights.mean())
