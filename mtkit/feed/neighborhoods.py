"""Neighborhoods of rows in a graph of past events, found and sampled on the device as steps need them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.data.graph_edges import Edges, event_edges, listed_edges
from mtkit.feed.batch import Batch
from mtkit.feed.features import gathered, padded, variable
from mtkit.feed.interface import Draw
from mtkit.schema import HISTORY, Address
from mtkit.spec import Neighborhood, Side
from mtkit.types import Fold

Kind = tuple[Side, Where | str | None]
"""Whose edges, and which: events, or a column of lists."""

#: Where in its share of a past a neighbor is taken that is not drawn.
_MIDDLE = 0.5


class Sampled(NamedTuple):
    """Neighbors of nodes.

    Attributes:
        ids: int32 `[*nodes, width]`, 0 where there is none.
        degree: int32 `[*nodes]`, how many there are of which these are some.
    """

    ids: tf.Tensor
    degree: tf.Tensor


class Neighbors(tf.Module):
    """What knows the edges of one kind, as the nodes of one role have them."""

    def degree(self, node: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """How many edges nodes have strictly before moments, int32; both of one shape, moments int64 seconds."""
        raise NotImplementedError

    def sampled(
        self, node: tf.Tensor, moment: tf.Tensor, width: int, *, drawn: bool, noise: tf.Tensor | None
    ) -> Sampled:
        """At most `width` of the neighbors that nodes have strictly before moments.

        Args:
            node: int32, of any shape.
            moment: int64 of the same shape, seconds.
            width: how many at most.
            drawn: whether they are spread over all that there are; else they are the last.
            noise: float32 `[*node.shape, width]` in [0, 1): of those that are spread, each is drawn from its share; None = it is
                the middle of that.
        """
        raise NotImplementedError


class EdgeLog(Neighbors):
    """All edges of one kind, of which those before a moment are searched.

    Args:
        edges: the edges.
        name: of its variables.
    """

    def __init__(self, edges: Edges, name: str) -> None:
        super().__init__(name="edges")
        number = np.int32 if len(edges.time) <= np.iinfo(np.int32).max else np.int64
        self.offsets = variable(f"edges.{name}.offsets", edges.offsets.astype(number))
        self.neighbor = variable(f"edges.{name}.neighbor", padded(edges.neighbor))
        self.time = variable(f"edges.{name}.time", padded(edges.time))
        self._rounds = math.ceil(math.log2(np.diff(edges.offsets).max(initial=0) + 1))

    @property
    def nodes(self) -> int:
        """How many nodes there are of the role whose edges these are."""
        return int(self.offsets.shape[0]) - 1

    def degree(self, node: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """How many edges nodes have strictly before moments."""
        begin, end = self._before(node, moment)
        return tf.cast(end - begin, tf.int32)

    def sampled(
        self, node: tf.Tensor, moment: tf.Tensor, width: int, *, drawn: bool, noise: tf.Tensor | None
    ) -> Sampled:
        """At most `width` of the neighbors that nodes have strictly before moments."""
        begin, end = self._before(node, moment)
        degree = tf.cast(end - begin, tf.int32)
        there, place = _places(degree, width, drawn=drawn, noise=noise)
        # Where nothing is there, the place may be behind all edges.
        at = tf.where(there, begin[..., None] + tf.cast(place, begin.dtype), 0)
        ids = gathered(self.neighbor, at)
        return Sampled(tf.where(there, ids, 0), degree)

    def _before(self, node: tf.Tensor, moment: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Where the edges of nodes before moments begin and end, by bisection."""
        begin, end = gathered(self.offsets, node), gathered(self.offsets, node + 1)
        low, high = begin, end
        for _ in range(self._rounds):
            middle = (low + high) // 2
            # Where nothing is left, the middle may be behind all edges; what is read instead decides nothing.
            earlier = (low < high) & (gathered(self.time, tf.minimum(middle, self.time.shape[0] - 1)) < moment)
            low, high = tf.where(earlier, middle + 1, low), tf.where(earlier, high, middle)
        return begin, low


class EdgesAsOf(Neighbors):
    """What an `EdgeLog` says at one moment, without it: for requests, all of which are asked then.

    Args:
        log: the edges.
        moment: seconds.
        asked: how many neighbors, and whether they are spread over all, for each encoder and distance that asks.
        name: of its variables.
    """

    def __init__(self, log: EdgeLog, moment: int, asked: Iterable[tuple[int, bool]], name: str) -> None:
        super().__init__(name="edges")
        node = tf.range(log.nodes)
        when = tf.fill([log.nodes], tf.constant(moment, tf.int64))
        self._degree = variable(f"edges.{name}.degree", log.degree(node, when).numpy())
        self._neighbors = {
            f"{width}_{drawn}": variable(
                f"edges.{name}.{width}{'.spread' if drawn else ''}",
                log.sampled(node, when, width, drawn=drawn, noise=None).ids.numpy(),
            )
            for width, drawn in asked
        }

    def degree(self, node: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """How many edges nodes have."""
        return gathered(self._degree, node)

    def sampled(
        self, node: tf.Tensor, moment: tf.Tensor, width: int, *, drawn: bool, noise: tf.Tensor | None
    ) -> Sampled:
        """At most `width` of the neighbors of nodes."""
        return Sampled(gathered(self._neighbors[f"{width}_{drawn}"], node), self.degree(node, moment))


class Neighborhoods:
    """The edges of a graph, and what lies around the rows of a batch.

    Args:
        roles: who acts, and what is acted on.
        edges: whose edges, and which -> what knows them.
        asked: what encoders ask for.
    """

    def __init__(
        self, roles: Mapping[Side, str], edges: Mapping[Kind, Neighbors], asked: Iterable[Neighborhood]
    ) -> None:
        self._roles, self._edges, self._asked = dict(roles), dict(edges), tuple(asked)

    @property
    def held(self) -> list[tf.Module]:
        """What holds the edges on the device."""
        return list(self._edges.values())

    @classmethod
    def of(cls, fold: Fold, asked: Iterable[Neighborhood]) -> Neighborhoods:
        """With all edges of a fold that are asked for."""
        asked, (acting, item) = tuple(asked), list(fold.events.ids)[:2]
        roles: dict[Side, str] = {"acting": acting, "item": item}
        kinds = dict.fromkeys(kind for neighborhood in asked for kind, _ in _steps(neighborhood))
        edges = {
            (side, which): EdgeLog(_edges(fold, roles[side], which), _name(number))
            for number, (side, which) in enumerate(kinds)
        }
        return cls(roles, edges, asked)

    def as_of(self, moment: int) -> Neighborhoods:
        """The same as of a moment, in seconds, without the log: as many neighbors of each node as are asked for."""
        asked: dict[Kind, dict[tuple[int, bool], None]] = {kind: {} for kind in self._edges}
        for neighborhood in self._asked:
            for kind, width in _steps(neighborhood):
                if width:
                    asked[kind][width, neighborhood.drawn] = None
        edges = {
            kind: EdgesAsOf(log, moment, asked[kind], _name(number))
            for number, (kind, log) in enumerate(self._edges.items())
            if isinstance(log, EdgeLog)
        }
        return Neighborhoods(self._roles, edges, self._asked)

    def around(self, batch: Batch, asked: Neighborhood, draw: Draw | None) -> dict[str, tf.Tensor]:
        """What a layer is told of the neighborhoods of a batch's rows.

        Args:
            batch: the rows, which have moments; those of requests may bring their past along.
            asked: which neighborhoods.
            draw: what numbers are drawn by; None = nothing is drawn.
        """
        assert batch.known is not None, "who has a past has a moment"
        nodes: dict[tuple[int, ...], tuple[Side, tf.Tensor]] = {(): (asked.root, batch.ids[self._roles[asked.root]])}
        past = batch.given.get(Address.of(HISTORY, self._roles["item"])) if asked.root == "acting" else None
        found: dict[str, tf.Tensor] = {}
        for branch in asked.branches():
            side, node = nodes[branch.parent]
            shape = tf.concat([tf.shape(node), [branch.width]], 0)
            noise = draw(branch.neighbors, shape) if draw and asked.drawn else None
            if past is not None and len(branch.path) == 1 and branch.side == "item":
                own = _of_kind(past, batch, asked.kinds[branch.kind])
                sampled = _of_given(own, branch.width, drawn=asked.drawn, noise=noise)
            else:
                edges, moment = self._edges[_kind(asked, side, branch.kind)], _spread(batch.known, node)
                sampled = edges.sampled(node, moment, branch.width, drawn=asked.drawn, noise=noise)
            nodes[branch.path] = branch.side, sampled.ids
            found |= {branch.neighbors: sampled.ids, branch.degree: sampled.degree}
            if asked.degrees:
                back = self._edges[_kind(asked, branch.side, branch.kind)]
                found[branch.back] = back.degree(sampled.ids, _spread(batch.known, sampled.ids))
        return found


def _places(degree: tf.Tensor, width: int, *, drawn: bool, noise: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Which of the `width` neighbors there are, bool `[..., width]`, and the places of those that are taken, int32.

    Args:
        degree: int32 `[...]`, how many there are.
        width: how many are taken, in the order of time; where there are less, what is not there comes first.
        drawn: whether they are spread over all, each in a share of its own; else they are the last.
        noise: float32 `[..., width]`, where in its share each is.
    """
    slot, degree = tf.range(width), degree[..., None]
    last = degree - width + slot
    there = last >= 0
    if drawn:
        share = tf.cast(degree, tf.float32) / width
        place = (tf.cast(slot, tf.float32) + (_MIDDLE if noise is None else noise)) * share
        spread = tf.minimum(tf.cast(place, tf.int32), degree - 1)
        last = tf.where(degree > width, spread, last)
    return there, tf.maximum(last, 0)


def _of_kind(past: tf.Tensor, batch: Batch, where: Where | None) -> tf.Tensor:
    """The items of a past that comes with a request, int32 `[rows, n]`, 0 where an event is of another kind."""
    return past if where is None else tf.where(batch.holding[where], past, 0)


def _of_given(past: tf.Tensor, width: int, *, drawn: bool, noise: tf.Tensor | None) -> Sampled:
    """Some of the items of a past, int32 `[rows, n]`, oldest first, 0 = nothing."""
    held = tf.cast(past > 0, tf.int32)
    degree = tf.reduce_sum(held, 1)
    there, place = _places(degree, width, drawn=drawn, noise=noise)
    order = tf.argsort(held, 1, stable=True)
    # A past of no length has nothing to gather from.
    order, past = (tf.pad(values, [[0, 0], [0, 1]]) for values in (order, past))
    place = tf.where(there, tf.shape(past)[1] - 1 - degree[:, None] + place, 0)
    chosen = tf.gather(order, place, batch_dims=1)
    return Sampled(tf.where(there, tf.gather(past, chosen, batch_dims=1), 0), degree)


def _spread(moment: tf.Tensor, node: tf.Tensor) -> tf.Tensor:
    """The moment of each row, int64 `[rows]`, for all nodes of its tree."""
    shape = tf.concat([tf.shape(moment), tf.ones([tf.rank(node) - 1], tf.int32)], 0)
    return tf.broadcast_to(tf.reshape(moment, shape), tf.shape(node))


def _steps(asked: Neighborhood) -> Iterable[tuple[Kind, int]]:
    """The kinds of edges that a neighborhood goes along, and how many neighbors of a node; 0 where only degrees are read."""
    sides: dict[tuple[int, ...], Side] = {(): asked.root}
    for branch in asked.branches():
        sides[branch.path] = branch.side
        yield _kind(asked, sides[branch.parent], branch.kind), branch.width
        if asked.degrees:
            yield _kind(asked, branch.side, branch.kind), 0


def _kind(asked: Neighborhood, side: Side, number: int) -> Kind:
    return side, asked.kinds[number] if number < len(asked.kinds) else asked.friends


def _edges(fold: Fold, role: str, which: Where | str | None) -> Edges:
    return listed_edges(fold.catalog(role), which) if isinstance(which, str) else event_edges(fold, role, which)


def _name(number: int) -> str:
    return f"kind{number}"
