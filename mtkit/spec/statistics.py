"""Preprocessors that make numbers of their own: of what was known before a row, by the values of some of its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtkit.schema import Address
from mtkit.spec.data import Preprocessor

if TYPE_CHECKING:
    import numpy as np

    from mtkit.schema import Schema
    from mtkit.types import Fold, RowTable

Key = tuple[Address, ...]
"""Addresses of single values, which together are one: events and rows that have the same are of one kind."""


@dataclass(frozen=True)
class KeyColumn:
    """The values of an address as numbers, 0 = missing, or not known.

    Attributes:
        address: of ids, or of a categorical column of an entity or of the row itself.
        size: how many numbers there are, 0 included.
        values: what the numbers from 1 on stand for; None = the address is of ids, which are rows of their catalog.
        rows: int64 `[rows]`, the number of each row of the entity's catalog; None = the row itself has the value.
    """

    address: Address
    size: int
    values: tuple[str, ...] | None
    rows: np.ndarray | None


@dataclass(frozen=True)
class KeyNumbers:
    """What requests are told by a key: the numbers of each of its values, as of the cut.

    Attributes:
        columns: the addresses of the key.
        codes: int64 `[values]`, ascending: numbers of the columns, the last one fastest, as `code_of` has them.
        numbers: float32 `[values, width]`.
        unknown: float32 `[width]`, of all other values.
    """

    columns: tuple[KeyColumn, ...]
    codes: np.ndarray
    numbers: np.ndarray
    unknown: np.ndarray


class RowStatistics(Preprocessor):
    """Makes numbers of what was known strictly before a row's moment, and before the cut; encoders read `known.NAME`.

    What it is named by is its name in the recipe. Addresses that it looks at keep the preprocessing that they have.
    """

    @property
    def keys(self) -> Sequence[Key]:
        """By what it looks at the past; rows that lack one of the addresses have no such numbers."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        raise NotImplementedError

    def mistakes(self, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What does not fit the data, beside addresses, which the core checks: (path within its table, message)."""
        yield from ()

    def of_rows(self, fold: Fold, table: RowTable) -> np.ndarray:
        """The numbers of rows that have moments, float32 `[rows, width]`.

        Nothing may follow from events at or after `RowTable.known` of the row, or `Fold.cut`.
        """
        raise NotImplementedError

    def by_key(self, fold: Fold) -> Sequence[KeyNumbers]:
        """For each of `keys`, what `of_rows` says of rows after the cut; side by side these are their numbers."""
        raise NotImplementedError
