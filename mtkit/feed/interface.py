"""Where the batches of a step come from: rows in, columns out. All that the model knows of the data, it asks here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.feed.batch import Batch
from mtkit.schema import Address
from mtkit.spec import Neighborhood

Draw = Callable[[str, tf.Tensor], tf.Tensor]
"""What draws numbers in [0, 1), float32 of a shape, int32 `[n]`; others for each name."""


@dataclass(frozen=True)
class Past:
    """Which events of a row's past an encoder is given.

    Attributes:
        length: how many, the last ones; 0 = it reads no past.
        where: of those for which a condition holds; None = of all.
        around: the neighborhood that it is given instead, of a graph of all pasts.
        draw: what numbers are drawn by in training; None = nothing is drawn.
    """

    length: int
    where: Where | None = None
    around: Neighborhood | None = None
    draw: Draw | None = None


class Feed(Protocol):
    """What holds the rows of tables and the features of entities, and gives the columns of some of them.

    `mtkit.feed.device_tables.DeviceTables`, which has everything on the device, is the first implementation. Tables of
    evaluation rows have the name of `evaluation_of(table)`.
    """

    def size(self, table: str) -> int:
        """How many rows a table has; where they are drawn in sequences, how many of these."""

    @property
    def streamed(self) -> bool:
        """Whether rows are read from files: steps should find theirs `read` on the host then, ahead of time."""

    def read(self, rows: Mapping[str, tf.Tensor]) -> Mapping[str, Any]:
        """Of tables that are streamed, the columns of the rows of a step, which `batch` takes in the place of their numbers."""

    def batch(self, table: str, rows: Any) -> Batch:
        """The columns of rows, int64 `[batch]`; where a number is -1, `present` and all weights are 0.

        Where rows are drawn in sequences, numbers are of these, and a batch has the rows of each, one after another.
        """

    def has_lists(self, table: str) -> bool:
        """Whether rows of a table have lists, or lie in sequences, so that the shapes of columns depend on values."""

    def share(self, table: str, role: str, ids: tf.Tensor) -> tf.Tensor:
        """How frequent ids are among the rows of a table, or among their targets, float32 of the shape of `ids`."""

    def cumulative(self, table: str, role: str, power: float) -> tf.Tensor:
        """Shares of ids among the rows of a table to a power, each divided by the sum of all and added to those of smaller ids.

        float64, one for each row of the role's entity; the last is 1, and the first, of the unknown, 0.
        """

    def entity_rows(self, scope: str) -> int:
        """How many rows an entity has, by its own name or that of a role, the unknown included."""

    def feature(self, address: Address, batch: Batch, past: Past) -> Mapping[str, tf.Tensor]:
        """What an encoder is called with for an address that it reads, for the rows of a batch.

        Args:
            address: the address.
            batch: the rows, or those of an entity alone.
            past: the events that it is given of a past.
        """

    def last_events(self, history: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The last events of pasts, the latest first: ids int32 and times int64 seconds, `[rows, n]`, 0 where there are none.

        Args:
            history: int64 `[rows, 2]`, as in a batch.
            count: a scalar; n is the length of the longest past if that is less.
        """

    def as_of(self, moment: int) -> Feed:
        """What requests are answered from, all at one moment, in seconds: no rows, and of graphs what is known then."""

    def state(self) -> Sequence[tf.Module]:
        """What an export has to hold so that batches of requests can be made, without rows."""


def evaluation_of(table: str) -> str:
    """The name of the evaluation rows of a table, beside its training rows."""
    return f"{table}/eval"


def table_of(name: str) -> str:
    """The row table of training rows or of evaluation rows."""
    return name.removesuffix("/eval")
