"""Social networks: questions that people read and answer, and people who follow people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa

from mtkit.schema import Column
from mtkit.synthetic.behaviors import Behavior
from mtkit.synthetic.domain import CATEGORICAL, CLASSES, TAGS, TEXT, WORDS, Chosen, Domain
from mtkit.synthetic.texts import Vocabulary
from mtkit.synthetic.words import SOCIAL
from mtkit.synthetic.world import World

_PLACES = ("home", "work", "way")
_OF_PLACE = np.array([0.0, 0.5, -0.7])
#: Friends of a user, and among how many others each is the one whose tastes are nearest.
_FRIENDS, _AMONG = 6, 30


class Social(Domain):
    """Questions that users read, answer, vote for and follow; users have friends, who are like them."""

    name: ClassVar[str] = "social"
    about: ClassVar[str] = "questions that users read, answer and vote for, in three places; users have friends"
    context: ClassVar[Mapping[str, Column]] = {"place": CATEGORICAL, "hour": CATEGORICAL}
    entities: ClassVar[Mapping[str, Mapping[str, Column]]] = {
        "user": {"town": CATEGORICAL, "field": CATEGORICAL, "friends": Column(kind="list")},
        "item": {"title": TEXT, "words": WORDS, "topic": CLASSES, "tags": TAGS, "maker": CATEGORICAL},
    }
    behaviors: ClassVar[Mapping[str, Behavior]] = {
        "answer": Behavior(0.12, steep=1.3), "upvote": Behavior(0.25), "save": Behavior(0.1),
    }  # fmt: skip
    asked: ClassVar[str] = "answer"
    vocabulary: ClassVar[Vocabulary] = SOCIAL

    def described(self) -> dict[str, pa.Table]:
        """Users, with town, field and friends; questions, with title, topic, tags, and who keeps them."""
        return {"user": self.people(), "item": pa.table(self.said_of_items())}

    def people(self) -> pa.Table:
        """Users, whose friends are those of a few others who are most like them."""
        rng, users = np.random.default_rng([self.settings.seed, 3]), len(self.world.before)
        others = rng.integers(0, users, (users, _FRIENDS, _AMONG))
        alike = np.einsum("uf,uijf->uij", self.world.before, self.world.before[others])
        alike[others == np.arange(users)[:, None, None]] = -np.inf
        friends = np.take_along_axis(others, alike.argmax(2)[:, :, None], 2)[:, :, 0]
        listed = [sorted(set(map(int, row)) - {user}) for user, row in enumerate(friends)]
        return pa.table({
            "id": np.arange(users),
            "town": self.leaning_to(0, ("Accra", "Bergen", "Cusco", "Delhi"), rng),
            "field": self.leaning_to(1, ("arts", "science", "trade", "none"), rng),
            "friends": pa.array(listed, pa.list_(pa.int64())),
        })  # fmt: skip

    def chosen(self, rng: np.random.Generator, users: np.ndarray, days: np.ndarray) -> Chosen:
        """What users read."""
        place = rng.integers(0, len(_PLACES), len(users))
        context = {"place": np.array(_PLACES, object)[place], "hour": (days % 1 * 24).astype(np.int8)}
        return Chosen(self.world.choose(rng, users, days), context, _OF_PLACE[place])


class People(Social):
    """Users who turn to users: whom they follow, and who follows back. The users are those of `social` with the same seed."""

    name: ClassVar[str] = "people"
    about: ClassVar[str] = "users who turn to other users, and whether these turn back: one entity on both sides"
    roles: ClassVar[Mapping[str, str]] = {"follower": "user", "followee": "user"}
    context: ClassVar[Mapping[str, Column]] = {}
    entities: ClassVar[Mapping[str, Mapping[str, Column]]] = {
        "user": {"town": CATEGORICAL, "field": CATEGORICAL, "friends": Column(kind="list")},
    }
    asked: ClassVar[str] = ""
    behaviors: ClassVar[Mapping[str, Behavior]] = {"back": Behavior(0.35), "message": Behavior(0.15)}

    def made(self) -> World:
        """Users, who are to others of the kind that they themselves like best."""
        users = self.settings.user_count
        world = World(self.settings.model_copy(update={"users": users, "items": users, "cold": 0.0}))
        world.kind = (world.before @ world.centers.T).argmax(1)
        return world

    def described(self) -> dict[str, pa.Table]:
        """Users."""
        return {"user": self.people()}

    def chosen(self, rng: np.random.Generator, users: np.ndarray, days: np.ndarray) -> Chosen:
        """Whom users turn to; who would turn to himself turns to the next one."""
        other = self.world.choose(rng, users, days)
        return Chosen(np.where(other == users, (other + 1) % len(self.world.kind), other))
