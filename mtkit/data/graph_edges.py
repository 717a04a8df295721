"""Edges of a graph of who acts and what is acted on: of each node its neighbors, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.conditions import Where
from mtkit.data.conditions import events_where
from mtkit.types import Entity, Fold


@dataclass(frozen=True)
class Edges:
    """Edges of one kind, as the nodes of one role have them.

    Attributes:
        offsets: int64 `[nodes + 1]`; those of node i are `offsets[i]:offsets[i + 1]`.
        neighbor: int32 `[edges]`, whom they lead to.
        time: int64 `[edges]`, seconds, ascending within a node.
    """

    offsets: np.ndarray
    neighbor: np.ndarray
    time: np.ndarray


def event_edges(fold: Fold, role: str, where: Where | None) -> Edges:
    """Events as edges from one of the two roles, who acts or what is acted on, to the other.

    They lead to what the model knows, and the unknown has none. Guests have theirs, as they have a past.

    Args:
        fold: the events.
        role: whose edges.
        where: the events that are edges; None = all.
    """
    events = events_where(fold.events, where, fold.schema.interactions)
    roles = list(events.ids)[:2]
    other = roles[1 - roles.index(role)]
    own, neighbor = events.ids[role], events.ids[other]
    kept = np.flatnonzero((own > 0) & (neighbor > 0) & (neighbor < fold.catalog(other).known))
    order = kept[np.lexsort((events.time[kept], own[kept]))]
    return Edges(_offsets(own[order], len(fold.catalog(role))), neighbor[order], events.time[order])


def listed_edges(entity: Entity, column: str) -> Edges:
    """Edges between rows of an entity that a column of lists of ids names; they are there at any moment.

    Ids that the model does not know, and those of the row itself, are left out.
    """
    lists = entity.columns[column].combine_chunks()
    own, named = pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists)
    named = pc.struct_field(named, "value") if pa.types.is_struct(named.type) else named
    ids = pa.array(entity.ids[1 : entity.known].astype(str).tolist(), pa.string())
    neighbor = pc.index_in(named, value_set=ids).fill_null(-1).to_numpy() + 1
    kept = np.flatnonzero((neighbor > 0) & (neighbor != own))
    earliest = np.full(len(kept), np.iinfo(np.int64).min)
    return Edges(_offsets(own[kept], len(entity)), neighbor[kept].astype(np.int32), earliest)


def _offsets(own: np.ndarray, nodes: int) -> np.ndarray:
    return np.append(0, np.cumsum(np.bincount(own, minlength=nodes)))
