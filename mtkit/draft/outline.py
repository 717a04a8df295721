"""All that a recipe is written from, once columns are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from mtkit.draft import rules
from mtkit.draft.columns import positive
from mtkit.draft.counts import Counts
from mtkit.draft.facts import Facts
from mtkit.draft.roles import Guess, Tables
from mtkit.draft.words import REGRET, tells
from mtkit.schema import INTERACTIONS


@dataclass(frozen=True)
class Draft:
    """All that a recipe is written from.

    Attributes:
        tables: which table is what.
        guesses: table (`interactions`, `user`, `item`) -> column -> what it is for.
        counts: sizes.
        texts: whether texts can be encoded.
    """

    tables: Tables
    guesses: Mapping[str, Mapping[str, Guess]]
    counts: Counts
    texts: bool = False

    def of_role(self, *roles: str, table: str = INTERACTIONS) -> list[str]:
        """Columns of a table that have one of some roles."""
        return [name for name, guess in self.guesses.get(table, {}).items() if guess.role in roles]

    def one(self, role: str) -> str:
        """The column of the interactions with a role; empty if there is none."""
        return next(iter(self.of_role(role)), "")

    @cached_property
    def labels(self) -> list[str]:
        """Labels that are predicted: of those of two values the ones with the most of the rarer value, and all others."""
        facts = self.tables.facts
        rare = {name: self._positives(facts[name]) for name in self.of_role("label")}
        enough = [name for name, count in rare.items() if count >= rules.POSITIVES or not self.counts.users]
        chosen = sorted(enough, key=lambda name: -rare[name])[: rules.LABELS]
        return [name for name in rare if name in chosen]

    @property
    def wanted(self) -> str:
        """The label by which an outcome is what is recommended; empty where no label says so, as of goods that are returned."""
        return next((name for name in self.labels if not tells(name, REGRET)), "")

    def _positives(self, one: Facts) -> float:
        found = positive(one)
        return float("inf") if found is None else float(found.mean() * self.counts.rows)

    @cached_property
    def shape(self) -> rules.Shape:
        """What kind of recipe it is."""
        return rules.shape_of(self.counts, len(self.labels))

    @property
    def text_columns(self) -> list[str]:
        """Short texts of items, if they are encoded."""
        if self.shape not in ("windows", "outcomes"):
            return []
        facts = self.tables.entities["item"].facts if "item" in self.tables.entities else {}
        short = [name for name in self.of_role("text", table="item") if facts[name].length <= rules.LONGEST_TEXT]
        return short[:2] if self.texts else []

    def features(self, entity: str) -> list[str]:
        """Addresses of what is known of users, or of items."""
        columns = self.of_role("categorical", "numeric", "list", table=entity)
        return [f"{entity}.id", *(f"{entity}.{name}" for name in columns)]

    @property
    def context(self) -> list[str]:
        """Addresses of what is known of rows."""
        return [f"context.{name}" for name in self.of_role("categorical", "numeric", "list")]

    def form(self, label: str) -> str:
        """What a label is: `binary`, `number` or `classes`."""
        one = self.tables.facts[label]
        if one.binary:
            return "binary"
        if one.numbers is not None and (one.distinct > 2 and (self.one("rating") == label or one.distinct > 20)):
            return "number"
        return "classes"
