"""Which neighbors of a row encoders ask for: a tree of past events, from who acts or from what is acted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mtkit.conditions import Where

Side = Literal["acting", "item"]
"""Who acts, or what is acted on."""


class Branch(NamedTuple):
    """The neighbors of one kind that the nodes of another branch, or the rows themselves, have.

    Attributes:
        path: numbers of the kinds of edges from the row on.
        side: what the neighbors are.
        width: how many of them each node has at most.
    """

    path: tuple[int, ...]
    side: Side
    width: int

    @property
    def parent(self) -> tuple[int, ...]:
        """The path of the nodes whose neighbors they are; empty = the rows."""
        return self.path[:-1]

    @property
    def kind(self) -> int:
        """The number of the kind of edges."""
        return self.path[-1]

    @property
    def neighbors(self) -> str:
        """What a layer gets their ids by: int32 `[rows, w1, ..., wn]`, the widths on the path; 0 where there is none."""
        return _key("neighbors", self.path)

    @property
    def degree(self) -> str:
        """What it gets by that of how many there are these are some: int32 `[rows, w1, ..., wn-1]`."""
        return _key("degree", self.path)

    @property
    def back(self) -> str:
        """What it gets by that how many edges of the same kind each neighbor has: int32 `[rows, w1, ..., wn]`."""
        return _key("degree", (*self.path, self.kind))


def _key(what: str, path: tuple[int, ...]) -> str:
    return ".".join((what, *map(str, path)))


@dataclass(frozen=True)
class Neighborhood:
    """A tree of neighbors in a graph of who acts and what is acted on; edges are events strictly before the row's moment.

    Kinds of edges have numbers: `kinds` first, then, where there are `friends`, these. The layer is called with the `neighbors`
    of each `Branch`, and, where `degrees` are asked for, with its `degree` and `back`, too.

    Attributes:
        root: what a row's own node is.
        widths: how many neighbors of each kind a node has at most, at each distance from the row.
        kinds: conditions on events, each of which is a kind of edges; None = all events.
        friends: a column of lists of ids of who acts, which are edges between these at any moment; None = there are none.
        drawn: training draws neighbors anew in each step, and else they are spread over the past; if not, they are the last.
        degrees: whether numbers of neighbors are given, too.
    """

    root: Side
    widths: tuple[int, ...]
    kinds: tuple[Where | None, ...] = (None,)
    friends: str | None = None
    drawn: bool = False
    degrees: bool = False

    @property
    def conditions(self) -> tuple[Where, ...]:
        """Conditions by which edges are of a kind."""
        return tuple(where for where in self.kinds if where is not None)

    def branches(self) -> Iterator[Branch]:
        """All branches, each after the one that its nodes are neighbors of."""
        reached: list[tuple[tuple[int, ...], Side]] = [((), self.root)]
        for width in self.widths:
            grown = [Branch((*path, kind), other, width) for path, side in reached for kind, other in self._edges(side)]
            yield from grown
            reached = [(branch.path, branch.side) for branch in grown]

    def _edges(self, side: Side) -> list[tuple[int, Side]]:
        """Of the kinds of edges that a node has: the number, and what they lead to."""
        acts = side == "acting"
        found: list[tuple[int, Side]] = [(number, "item" if acts else "acting") for number in range(len(self.kinds))]
        return [*found, (len(self.kinds), "acting")] if self.friends and acts else found

    def nodes(self) -> int:
        """How many neighbors a row has at most, in all branches together."""
        sizes: dict[tuple[int, ...], int] = {(): 1}
        for branch in self.branches():
            sizes[branch.path] = sizes[branch.parent] * branch.width
        return sum(sizes.values()) - 1
