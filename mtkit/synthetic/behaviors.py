"""What users do with what they chose: labels of 0 and 1, and numbers, whose probabilities are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mtkit.synthetic.world import DAYS, FACTORS, KINDS, World

#: Days until which labels may be wrong (2024-03-01).
FAULTY = 60
#: Rows by which a label is made as frequent as it is to be.
_PILOT = 20_000


@dataclass(frozen=True)
class Behavior:
    """A label of 0 and 1.

    Attributes:
        rate: how often it is 1, of a behavior that is given another if that were always there. As the same tastes decide on
            both, it is more frequent where the other is there.
        given: the behavior without which it does not happen; empty = none.
        steep: factor of how much tastes decide.
    """

    rate: float
    given: str = ""
    steep: float = 1.0


class Behaviors:
    """Behaviors of the users of a world.

    The log-odds of one are a constant, tastes, and what the row adds. Of the tastes `correlation` is the share (of variance)
    that all behaviors have in common, and that chooses items, too; the rest is of factors of the behavior's own.

    Args:
        world: the users and the items.
        behaviors: name -> behavior, those that others are given first.
    """

    def __init__(self, world: World, behaviors: Mapping[str, Behavior]) -> None:
        self.world, self.behaviors = world, behaviors
        draw = world.rng.normal
        users = world.settings.user_count
        self._own = {
            name: (draw(size=(users, FACTORS)).astype(np.float32), draw(size=(KINDS, FACTORS)).astype(np.float32))
            for name in behaviors
        }
        self._offset = self._offsets()

    def chances(
        self, users: np.ndarray, items: np.ndarray, days: np.ndarray, added: np.ndarray | float = 0.0
    ) -> dict[str, np.ndarray]:
        """Behavior -> probability float64 `[n]` that the row's label is 1, all that it is given included.

        Args:
            users: int64 `[n]`.
            items: int64 `[n]`.
            days: float64 `[n]`.
            added: what the row adds to the log-odds, of all behaviors that are given nothing.
        """
        found, common = dict[str, np.ndarray](), self.world.match(users, self.world.kind[items], days)
        for name, behavior in self.behaviors.items():
            logit = self._offset[name] + self._taste(name, users, items, common) + (0.0 if behavior.given else added)
            found[name] = _sigmoid(logit) * found.get(behavior.given, 1.0)
        return found

    def drawn(
        self, rng: np.random.Generator, chances: Mapping[str, np.ndarray], days: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Behavior -> label int8 `[n]`; before day `FAULTY` a share `wrong` of them is turned around."""
        labels = dict[str, np.ndarray]()
        for name, behavior in self.behaviors.items():
            there = labels.get(behavior.given, np.ones(len(days), bool))
            chance = chances[name] / np.maximum(chances.get(behavior.given, 1.0), 1e-12)
            labels[name] = there & (rng.random(len(days)) < chance)
        turned = {name: (rng.random(len(days)) < self.world.settings.wrong) & (days < FAULTY) for name in labels}
        return {name: (label ^ turned[name]).astype(np.int8) for name, label in labels.items()}

    def matrix(self, name: str, users: np.ndarray, day: float) -> np.ndarray:
        """float64 `[users, items]`: the probability of a behavior with each item, at a day, in hindsight of nothing added."""
        kinds = np.tile(np.arange(KINDS), len(users))
        first = np.array([np.argmax(self.world.kind == kind) for kind in range(KINDS)])
        chance = self.chances(np.repeat(users, KINDS), first[kinds], np.full(len(kinds), day))[name]
        return np.asarray(chance.reshape(len(users), KINDS)[:, self.world.kind])

    def _taste(self, name: str, users: np.ndarray, items: np.ndarray, common: np.ndarray) -> np.ndarray:
        settings, kinds = self.world.settings, self.world.kind[items]
        mine, theirs = self._own[name]
        own = np.einsum("nf,nf->n", mine[users], theirs[kinds]) / np.float32(np.sqrt(FACTORS))
        mixed = np.sqrt(settings.correlation) * common + np.sqrt(1 - settings.correlation) * own
        return np.asarray(settings.signal * self.behaviors[name].steep * mixed)

    def _offsets(self) -> dict[str, float]:
        """Constants by which behaviors are as frequent as they are to be."""
        world, rng = self.world, np.random.default_rng([self.world.settings.seed, 1])
        users, days = world.users_at(rng, _PILOT), np.sort(rng.uniform(0, DAYS, _PILOT))
        items = world.choose(rng, users, days)
        common = world.match(users, world.kind[items], days)
        return {
            name: _constant(self._taste(name, users, items, common), behavior.rate * world.settings.rare)
            for name, behavior in self.behaviors.items()
        }


def _constant(logits: np.ndarray, rate: float) -> float:
    """What is to be added to logits so that the mean of their probabilities is a rate: by bisection."""
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(logits + middle).mean() < rate else (low, middle)
    return low


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits)))
