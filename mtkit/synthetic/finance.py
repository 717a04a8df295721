"""Finance: products that are offered, customers with a risk band, and who accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa

from mtkit.schema import Column
from mtkit.synthetic.behaviors import Behavior
from mtkit.synthetic.domain import CATEGORICAL, CLASSES, NUMERIC, TEXT, WORDS, Chosen, Domain
from mtkit.synthetic.texts import Vocabulary
from mtkit.synthetic.words import FINANCE
from mtkit.synthetic.world import KINDS

_CHANNELS = ("letter", "call", "app")
#: What a channel, and a share of payments that were late, add to the log-odds that an offer is accepted.
_OF_CHANNEL, _OF_LATE = np.array([-0.5, 0.3, 0.2]), -4.0
BANDS = 5
#: What a band too many takes from the leaning to offer a product.
_TOO_RISKY = 1.0


class Finance(Domain):
    """Offers of products, most of them within the customer's risk band."""

    name: ClassVar[str] = "finance"
    about: ClassVar[str] = (
        "offers of a bank's products, accepted or not; customers with a risk band, products with a risk"
    )
    context: ClassVar[Mapping[str, Column]] = {"channel": CATEGORICAL}
    entities: ClassVar[Mapping[str, Mapping[str, Column]]] = {
        "user": {
            "age": NUMERIC, "income": NUMERIC, "job": CATEGORICAL, "late_share": NUMERIC, "experience": CATEGORICAL,
            "band": CLASSES, "limit": NUMERIC, "branch": CATEGORICAL,
        },
        "item": {"title": TEXT, "words": WORDS, "class": CLASSES, "maker": CATEGORICAL, "risk": NUMERIC, "margin": NUMERIC},
    }  # fmt: skip
    behaviors: ClassVar[Mapping[str, Behavior]] = {
        "accepted": Behavior(0.25, steep=1.2),
        "cancelled": Behavior(0.3, given="accepted"),
    }
    target: ClassVar[str] = "accepted"
    vocabulary: ClassVar[Vocabulary] = FINANCE

    def described(self) -> dict[str, pa.Table]:
        """Customers, with what they are like and their band; products, with title, class, risk and margin.

        `limit` is the band as a number: what a filter compares the products' `risk` with.
        """
        world = self.world
        rng, users = world.rng, len(world.before)
        items = self.said_of_items()
        items["class"] = items.pop("topic")
        del items["tags"]
        self._late = rng.beta(1, 6, users)
        age, income = np.clip(rng.normal(45, 14, users), 18, 90), np.exp(rng.normal(10.3, 0.5, users))
        experience = rng.integers(0, 3, users)
        self._risk_of_kind = np.clip(np.arange(KINDS) * BANDS // KINDS + 1, 1, BANDS)
        risk = np.clip(
            self._risk_of_kind[world.kind] + rng.integers(-1, 2, len(world.kind)) * (rng.random(len(world.kind)) < 0.3),
            1,
            BANDS,
        )
        score = 0.8 * (45 - age) / 14 + 1.2 * (np.log(income) - 10.3) / 0.5 + 1.2 * (experience - 1)
        self.bands = _bands(score)
        drawn = (rng.random(users)[:, None] > np.cumsum(self.bands, 1)).sum(1).clip(0, BANDS - 1) + 1
        self._band = drawn
        return {
            "user": pa.table({
                "id": np.arange(users),
                "age": self.some(rng, age.round(0)), "income": self.some(rng, income.round(0)),
                "job": self.leaning_to(2, ("clerk", "farmer", "retired", "student", "manager")),
                "late_share": self._late.round(3),
                "experience": np.array(("none", "some", "much"), object)[experience],
                "band": [f"band {band}" for band in drawn], "limit": drawn,
                "branch": [f"branch {n}" for n in rng.integers(0, max(2, users // 8), users)],
            }),
            "item": pa.table({**items, "risk": risk, "margin": (10 * np.exp(0.5 * rng.normal(size=len(risk)))).round(2)}),
        }  # fmt: skip

    def chosen(self, rng: np.random.Generator, users: np.ndarray, days: np.ndarray) -> Chosen:
        """What the bank offers."""
        channel = rng.integers(0, len(_CHANNELS), len(users))
        items = self.world.choose(rng, users, days, self.caution(users))
        added = _OF_CHANNEL[channel] + _OF_LATE * self._late[users]
        return Chosen(items, {"channel": np.array(_CHANNELS, object)[channel]}, added)

    def facts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The band of each customer, and the probabilities from which it was drawn."""
        return {"band": (self._band - 1, self.bands)}

    def expected(self, users: np.ndarray) -> np.ndarray:
        """float64 `[users, items]`: how often each item is offered in the test, as a share."""
        return self.world.expected(users, self.caution(users))

    def caution(self, users: np.ndarray) -> np.ndarray:
        """float64 `[n, KINDS]`: how much less what is above a customer's band is offered."""
        above = np.maximum(self._risk_of_kind - self._band[users][:, None], 0)
        return np.asarray(-_TOO_RISKY * above, np.float32)


def _bands(score: np.ndarray) -> np.ndarray:
    """Probabilities `[n, BANDS]` of an ordered logit, steep enough to be learned."""
    edges = np.quantile(score, np.linspace(0, 1, BANDS + 1)[1:-1])
    below = 1 / (1 + np.exp(-4 * (edges - score[:, None])))
    return np.diff(np.concatenate([np.zeros((len(score), 1)), below, np.ones((len(score), 1))], 1), axis=1)
