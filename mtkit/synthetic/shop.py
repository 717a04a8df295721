"""Shops: baskets, what comes again, coupons and returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa

from mtkit.schema import Column
from mtkit.synthetic.behaviors import Behavior
from mtkit.synthetic.domain import CATEGORICAL, CLASSES, NUMERIC, TAGS, TEXT, WORDS, Chosen, Domain
from mtkit.synthetic.texts import Vocabulary
from mtkit.synthetic.words import SHOP

_CHANNELS = ("web", "app", "store")
#: What a channel adds to the log-odds of coupons and returns.
_OF_CHANNEL = np.array([0.0, 0.6, -0.6])
#: Products that a customer comes back to, the share of purchases that are of them, and lines of a basket on average.
_OWN, _AGAIN, _LINES = 6, 0.35, 3


class Shop(Domain):
    """Purchases in baskets, a part of them of what the customer always buys."""

    name: ClassVar[str] = "shop"
    about: ClassVar[str] = "purchases in baskets: what comes again, coupons and returns, in three channels"
    context: ClassVar[Mapping[str, Column]] = {
        "basket": Column(kind="id"), "channel": CATEGORICAL, "price": NUMERIC,
    }  # fmt: skip
    entities: ClassVar[Mapping[str, Mapping[str, Column]]] = {
        "user": {"household": CATEGORICAL, "income": CATEGORICAL},
        "item": {
            "title": TEXT, "words": WORDS, "department": CLASSES, "tags": TAGS, "maker": CATEGORICAL, "list_price": NUMERIC,
        },
    }  # fmt: skip
    behaviors: ClassVar[Mapping[str, Behavior]] = {"coupon": Behavior(0.15), "returned": Behavior(0.2)}
    vocabulary: ClassVar[Vocabulary] = SHOP

    def described(self) -> dict[str, pa.Table]:
        """Customers, with household and income; products, with title, department, tags, maker and price."""
        world, items = self.world, self.said_of_items()
        items["department"] = items.pop("topic")
        self._price = 5 * np.exp(0.5 * world.rng.normal(size=len(world.kind)))
        users = np.repeat(np.arange(len(world.before)), _OWN)
        always = world.choose(world.rng, users, np.zeros(len(users)))
        self._own = always.reshape(-1, _OWN)
        return {
            "user": pa.table({
                "id": np.arange(len(world.before)),
                "household": self.leaning_to(0, ("single", "couple", "family")),
                "income": self.leaning_to(1, ("low", "middle", "high")),
            }),
            "item": pa.table({**items, "list_price": self._price.round(2)}),
        }  # fmt: skip

    def acting(self, rng: np.random.Generator, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lines of one basket are of one customer and one moment."""
        self._basket = np.sort(rng.integers(0, max(1, len(days) // _LINES), len(days)))
        first = np.searchsorted(self._basket, self._basket)
        return self.world.users_at(rng, len(days))[first], days[first]

    def chosen(self, rng: np.random.Generator, users: np.ndarray, days: np.ndarray) -> Chosen:
        """Products of the customer's own, and others."""
        items = self.world.choose(rng, users, days)
        again, which = rng.random(len(users)) < _AGAIN, rng.integers(0, _OWN, len(users))
        items = np.where(again, self._own[users, which], items)
        first = np.searchsorted(self._basket, self._basket)
        channel = rng.integers(0, len(_CHANNELS), len(users))[first]
        context = {
            # The moment of its first line and the customer tell a basket.
            "basket": (np.rint(days * 86_400).astype(np.int64) << 24) + users,
            "channel": np.array(_CHANNELS, object)[channel],
            "price": (self._price[items] * rng.uniform(0.8, 1.0, len(users))).round(2),
        }
        return Chosen(items, context, _OF_CHANNEL[channel])

    def expected(self, users: np.ndarray) -> np.ndarray:
        """float64 `[users, items]`: how often each item is chosen in the test, as a share."""
        chances = (1 - _AGAIN) * self.world.expected(users)
        np.add.at(chances, (np.arange(len(users))[:, None], self._own[users]), _AGAIN / _OWN)
        return chances
