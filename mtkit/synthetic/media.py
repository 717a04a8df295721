"""Media: videos that are shown, and what viewers do with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa
from scipy.special import ndtr

from mtkit.schema import Column
from mtkit.synthetic.behaviors import Behavior
from mtkit.synthetic.domain import CATEGORICAL, CLASSES, LABEL, NUMERIC, TAGS, TEXT, WORDS, Chosen, Columns, Domain
from mtkit.synthetic.texts import Vocabulary
from mtkit.synthetic.words import MEDIA

_TABS = ("home", "friends", "search")
#: What a tab adds to the log-odds that something is clicked.
_OF_TAB = np.array([0.0, 0.8, -0.8])
#: How far ratings lie around what tastes say.
_SPREAD = 0.7


class Media(Domain):
    """Videos that are shown: clicked, watched for long, liked, rated."""

    name: ClassVar[str] = "media"
    about: ClassVar[str] = "videos that are shown, clicked, watched for long, liked and rated, in three tabs"
    context: ClassVar[Mapping[str, Column]] = {"tab": CATEGORICAL, "hour": CATEGORICAL, "rating": LABEL}
    entities: ClassVar[Mapping[str, Mapping[str, Column]]] = {
        "user": {"age": CATEGORICAL, "country": CATEGORICAL},
        "item": {
            "title": TEXT, "words": WORDS, "genre": CLASSES, "tags": TAGS, "maker": CATEGORICAL, "length": NUMERIC,
        },
    }  # fmt: skip
    behaviors: ClassVar[Mapping[str, Behavior]] = {
        "click": Behavior(0.3),
        "long_view": Behavior(0.5, given="click"),
        "like": Behavior(0.15, given="click", steep=1.3),
    }
    target: ClassVar[str] = "click"
    vocabulary: ClassVar[Vocabulary] = MEDIA

    def described(self) -> dict[str, pa.Table]:
        """Viewers, with age and country; videos, with title, genre, tags, maker and length in seconds."""
        users, items = len(self.world.before), self.said_of_items()
        items["genre"] = items.pop("topic")
        length = 30 * np.exp(0.3 * self.world.rng.normal(size=len(self.world.kind)) + 0.05 * self.world.kind)
        return {
            "user": pa.table({
                "id": np.arange(users),
                "age": self.leaning_to(0, ("under 20", "20 to 35", "36 to 60", "over 60")),
                "country": self.leaning_to(1, ("Chile", "Ghana", "India", "Japan", "Norway")),
            }),
            "item": pa.table({**items, "length": length.round(1)}),
        }  # fmt: skip

    def chosen(self, rng: np.random.Generator, users: np.ndarray, days: np.ndarray) -> Chosen:
        """What the app shows."""
        tab = rng.integers(0, len(_TABS), len(users))
        context = {"tab": np.array(_TABS, object)[tab], "hour": (days % 1 * 24).astype(np.int8)}
        return Chosen(self.world.choose(rng, users, days), context, _OF_TAB[tab])

    def further(self, rng: np.random.Generator, part: Columns, labels: Columns) -> tuple[Columns, Columns]:
        """Ratings, 1 to 5, of what was clicked, and their means."""
        match = self.world.match(part["user"], self.world.kind[part["item"]], part["day"])
        mean = 3 + 0.5 * self.settings.signal * match
        rating = np.clip(np.rint(mean + _SPREAD * rng.normal(size=len(mean))), 1, 5)
        rating[labels["click"] == 0] = np.nan
        above = ndtr((mean[:, None] - np.arange(1.5, 5)) / _SPREAD)
        return {"rating": rating}, {"rating": 1 + above.sum(1)}
