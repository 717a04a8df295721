"""What domains share: interactions in parts that are drawn for themselves, and tables of users and items."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from mtkit.schema import Column, Schema
from mtkit.synthetic.behaviors import Behavior, Behaviors
from mtkit.synthetic.settings import Settings
from mtkit.synthetic.texts import Vocabulary, Written, written
from mtkit.synthetic.world import DAYS, START, STYLES, World

#: Rows that are drawn, and written, at once.
PART = 1 << 18
SECONDS = 86_400

Columns = dict[str, np.ndarray]
CATEGORICAL, NUMERIC, TEXT = Column(kind="categorical"), Column(kind="numeric"), Column(kind="text")
LABEL, CLASSES = Column(kind="label"), Column(kind="label", classes=True)
TAGS = Column(kind="label", multi_label=True)
WORDS = Column(kind="list", separator=" ")


@dataclass(frozen=True)
class Chosen:
    """What a domain draws of the rows of a part.

    Attributes:
        items: int64 `[rows]`.
        columns: context: name -> values `[rows]`.
        added: what the row adds to the log-odds of its behaviors.
    """

    items: np.ndarray
    columns: Columns = field(default_factory=dict)
    added: np.ndarray | float = 0.0


@dataclass(frozen=True)
class Part:
    """Consecutive interactions, in the order of time.

    Attributes:
        table: as it is written.
        users: int64 `[rows]`.
        items: int64 `[rows]`.
        days: float64 `[rows]`, since the first.
        chances: label -> what the planted model says of it, float64 `[rows]`.
    """

    table: pa.Table
    users: np.ndarray
    items: np.ndarray
    days: np.ndarray
    chances: Mapping[str, np.ndarray]


class Domain(ABC):
    """A domain: what its tables look like, and what happens in it.

    Args:
        settings: sizes and knobs.
    """

    #: What it is called, and what it is, in a line.
    name: ClassVar[str]
    about: ClassVar[str]
    #: Roles of the two ids of a row, and their entities.
    roles: ClassVar[Mapping[str, str]] = {"user": "user", "item": "item"}
    #: Columns of the interactions beside ids and time, and of the entities.
    context: ClassVar[Mapping[str, Column]] = {}
    entities: ClassVar[Mapping[str, Mapping[str, Column]]]
    behaviors: ClassVar[Mapping[str, Behavior]] = {}
    #: The behavior that makes an item a target of what is ranked; empty = every interaction.
    target: ClassVar[str] = ""
    #: The behavior of which it is asked who does it with an item; empty = none.
    asked: ClassVar[str] = ""
    #: The words of the items' texts.
    vocabulary: ClassVar[Vocabulary]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.world = self.made()
        self.acts = Behaviors(self.world, self.behaviors)
        self.texts: Written = written(
            self.world.rng, self.vocabulary, self.world.topic, self.world.kind % STYLES, settings.text_noise
        )
        self.tables = self.described()

    @classmethod
    def schema(cls, settings: Settings, acts: str = "") -> Schema:
        """The declared columns.

        Args:
            settings: of which it depends how many numbers say nothing.
            acts: the role that comes first; default: as the domain has them.
        """
        roles = sorted(cls.roles, key=lambda role: role != acts)
        entities = [(role, cls.roles[role]) for role in roles]
        ids = {role: Column(kind="id", entity=entity, role="" if role == entity else role) for role, entity in entities}
        noise = {f"noise_{number}": NUMERIC for number in range(settings.noise_columns)}
        return Schema(
            interactions={
                **ids,
                "time": Column(kind="time"),
                **cls.context,
                **dict.fromkeys(cls.behaviors, LABEL),
                **noise,
            },
            entities=cls.entities,
        )

    def made(self) -> World:
        """Users and items."""
        return World(self.settings)

    @abstractmethod
    def described(self) -> dict[str, pa.Table]:
        """Entity -> its table, whose ids are called `id`."""

    @abstractmethod
    def chosen(self, rng: np.random.Generator, users: np.ndarray, days: np.ndarray) -> Chosen:
        """What users choose, `[rows]`."""

    def facts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Classes of users: label -> the number of each user's class `[users]`, and what is known of it `[users, classes]`."""
        return {}

    def expected(self, users: np.ndarray) -> np.ndarray:
        """float64 `[users, items]`: how often each item is chosen in the test, as a share."""
        return self.world.expected(users)

    def further(self, rng: np.random.Generator, part: Columns, labels: Columns) -> tuple[Columns, Columns]:
        """Labels that are no behaviors, and what the planted model says of them: name -> `[rows]`."""
        return {}, {}

    def parts(self) -> Iterator[Part]:
        """All interactions in the order of time."""
        for number in range(-(-self.settings.rows // PART)):
            yield self.part(number)

    def part(self, number: int) -> Part:
        """The interactions of a part; each is drawn from a seed of its own."""
        settings, rows = self.settings, self.settings.rows
        begin, end = number * PART, min((number + 1) * PART, rows)
        rng = np.random.default_rng([settings.seed, 2, number])
        days = np.sort(rng.uniform(DAYS * begin / rows, DAYS * end / rows, end - begin))
        days = np.minimum(np.floor(days * SECONDS), DAYS * SECONDS - 1) / SECONDS
        users, days = self.acting(rng, days)
        found = self.chosen(rng, users, days)
        chances = self.acts.chances(users, found.items, days, found.added)
        labels = self.acts.drawn(rng, chances, days)
        other, said = self.further(rng, {"user": users, "item": found.items, "day": days}, labels)
        columns: dict[str, pa.Array] = {
            **dict(zip(self.roles, map(pa.array, (users, found.items)), strict=True)),
            "time": pa.array((START + np.rint(days * SECONDS)).astype("datetime64[s]")),
            **{name: pa.array(values) for name, values in found.columns.items()},
            **{name: self.some(rng, values) for name, values in {**labels, **other}.items()},
            **{
                f"noise_{n}": pa.array(rng.normal(size=len(days)).astype(np.float32))
                for n in range(settings.noise_columns)
            },
        }
        order = list(self.schema(settings).interactions)
        return Part(pa.table(columns).select(order), users, found.items, days, chances | said)

    def acting(self, rng: np.random.Generator, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Who acts, and when: days in order."""
        return self.world.users_at(rng, len(days)), days

    def some(self, rng: np.random.Generator, values: np.ndarray) -> pa.Array:
        """The values, a share of them as nulls; of numbers that are no number, too."""
        gone = rng.random(len(values)) < self.settings.missing
        if values.dtype.kind == "f":
            gone |= np.isnan(values)
        return pa.array(values, mask=gone)

    def leaning_to(self, factor: int, names: tuple[str, ...], rng: np.random.Generator | None = None) -> pa.Array:
        """An attribute of users that says something of a factor of their tastes: names, some of them null."""
        rng = rng or self.world.rng
        value = self.world.before[:, factor] + 0.5 * rng.normal(size=len(self.world.before))
        edges = np.quantile(value, np.linspace(0, 1, len(names) + 1)[1:-1])
        return self.some(rng, np.array(names, object)[np.searchsorted(edges, value)])

    def said_of_items(self) -> dict[str, pa.Array]:
        """Title, words, topic, tags and maker of the items."""
        rng, topic, tags = self.world.rng, np.array(list(self.vocabulary.topics), object), self.texts.tags
        names = np.array(self.vocabulary.tags, object)
        listed = [list(names[row]) for row in tags]
        return {
            "id": pa.array(np.arange(len(tags))),
            "title": pa.array(self.texts.texts),
            "words": pa.array([re.sub(r"[^a-z -]", "", text.lower()) for text in self.texts.texts]),
            "topic": pa.array(topic[self.world.topic]),
            "tags": pa.array(listed, pa.list_(pa.string())),
            "maker": pa.array([f"maker {n}" for n in rng.integers(0, max(2, len(tags) // 4), len(tags))]),
        }
