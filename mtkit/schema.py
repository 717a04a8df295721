"""Declared columns: what each column of the interactions and of the entities is (no TensorFlow)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

ColumnKind = Literal["id", "categorical", "numeric", "text", "time", "list", "label"]

INTERACTIONS = "interactions"


class Column(BaseModel):
    """One declared column.

    Attributes:
        kind: what the values mean. `id` names a row of an entity, or groups rows (a basket) if `entity` is empty.
        entity: for `id` columns, the entity whose rows the values name.
        sources: for `label` columns, the columns of the same row from which the label was computed. None of them can
            be a feature.
        horizon: for `label` columns that look ahead, how far. A row whose time plus horizon crosses the end of its
            split has weight 0 for this label.
        classes: for `label` columns of several classes, True; a binary label is 0 or 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ColumnKind
    entity: str = ""
    sources: tuple[str, ...] = ()
    horizon: timedelta | None = None
    classes: bool = False


class Schema(BaseModel):
    """The declared columns of a data set.

    Attributes:
        interactions: columns of the interaction table; at most one has kind `time`.
        entities: entity name -> its columns; the key column is called `id` and is not listed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    interactions: Mapping[str, Column]
    entities: Mapping[str, Mapping[str, Column]]

    def of_kind(self, kind: ColumnKind, table: str = INTERACTIONS) -> tuple[str, ...]:
        """Names of the columns of `table` (an entity, or `interactions`) that have this kind."""
        columns = self.interactions if table == INTERACTIONS else self.entities[table]
        return tuple(name for name, column in columns.items() if column.kind == kind)

    @property
    def time(self) -> str | None:
        """Name of the interaction table's time column, if there is one."""
        return next(iter(self.of_kind("time")), None)

    @property
    def group(self) -> str | None:
        """Name of the column that groups interactions into one event (a basket, a session), if there is one."""
        groups = [n for n in self.of_kind("id") if not self.interactions[n].entity]
        return groups[0] if groups else None

    @property
    def roles(self) -> tuple[str, ...]:
        """The entities that interactions refer to, in the order of their columns: who acts, what is acted on, others."""
        ids = (column for column in self.interactions.values() if column.kind == "id" and column.entity)
        return tuple(dict.fromkeys(column.entity for column in ids))

    def reference(self, entity: str) -> str:
        """Name of the interaction column that holds ids of `entity`."""
        for name, column in self.interactions.items():
            if column.kind == "id" and column.entity == entity:
                return name
        raise KeyError(entity)

    def features(self) -> dict[str, Column]:
        """Every address that an encoder may read (`user.age`, `context.hour`), with its column.

        Labels, their sources, ids of other rows and the time are left out. `<entity>.id` and the history scope
        (`history.<entity>` for each entity that interactions refer to) are included.
        """
        hidden = {s for c in self.interactions.values() for s in c.sources}
        addresses: dict[str, Column] = {}
        for entity, columns in self.entities.items():
            addresses[f"{entity}.id"] = Column(kind="id", entity=entity)
            hidden_here = {s for c in columns.values() for s in c.sources}
            addresses |= {
                f"{entity}.{name}": column
                for name, column in columns.items()
                if column.kind != "label" and name not in hidden_here
            }
        for name, column in self.interactions.items():
            if column.kind == "id" and column.entity:
                addresses[f"history.{column.entity}"] = column
            elif column.kind in ("categorical", "numeric") and name not in hidden:
                addresses[f"context.{name}"] = column
        return addresses
