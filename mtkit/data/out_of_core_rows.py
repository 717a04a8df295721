"""Row tables of a fold that is in files, made of the events of a range of users at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtkit.data.column_files import ColumnWriter, writing_columns
from mtkit.data.out_of_core import common_note, parts_of
from mtkit.data.prepared_rows import add_rows, read_rows
from mtkit.data.row_builders import sample
from mtkit.data.row_tables import some_rows
from mtkit.errors import NoRowsError
from mtkit.files import remove
from mtkit.recipe.loader import Recipe
from mtkit.types import Fold, Part, RowTable

_TAKEN = 1 << 18
"""Rows that are copied at once."""


@dataclass(frozen=True)
class OutOfCore:
    """Makes the rows of a fold whose events are mapped.

    Attributes:
        recipe: the resolved recipe.
        fold: the fold, which says what classes its labels have.
        rows: how many events are worked on at once.
        scratch: a directory for what is not in its order yet.
    """

    recipe: Recipe
    fold: Fold
    rows: int
    scratch: Path

    def write(self, writer: ColumnWriter, name: str, part: Part) -> None:
        """Writes the rows of a part of a table.

        Raises:
            NoRowsError: there are none.
        """
        spec = self.recipe.rows[name]
        if spec.of_share(1.0) is None:
            add_rows(writer, some_rows(self.recipe, self.fold, name, spec, part))
            return
        drawn = "sample" if part == "train" else "eval_sample"
        size = getattr(spec, drawn, None)
        spec = spec if size is None else spec.model_copy(update={drawn: None})
        made = self._made(lambda fold: some_rows(self.recipe, fold, name, spec, part))
        holds = spec.holds(self.fold.schema)
        if size is not None or (holds and holds.targets):
            self._in_order(writer, made, size, getattr(spec, "seed", 0))
        else:
            _added(writer, made)

    def _made(self, make: Callable[[Fold], RowTable]) -> Iterator[tuple[RowTable, int]]:
        lacking: NoRowsError | None = None
        found = False
        for fold, base in parts_of(self.fold, self.rows):
            try:
                table = make(fold)
            except NoRowsError as error:
                lacking = error
                continue
            found = True
            yield table, base
        if not found and lacking is not None:
            raise lacking

    def _in_order(
        self, writer: ColumnWriter, made: Iterator[tuple[RowTable, int]], size: int | None, seed: int
    ) -> None:
        """Writes rows that are sorted by their moment, the latest first, and then by who acts; or draws some of all."""
        remove(self.scratch)
        tables, notes, left_out = [], list[str](), dict[str, int]()
        for number, (table, base) in enumerate(made):
            with writing_columns(self.scratch / f"{number}") as piece:
                add_rows(piece, table, base)
            tables.append(_nameless(read_rows(self.scratch / f"{number}", self.fold)))
            _count(table, notes, left_out)
        runs = list(_runs(tables))
        total, begin = sum(len(rows) for _, rows in runs), 0
        chosen, note = np.arange(total), common_note(notes)
        if size is not None:
            chosen = sample(chosen, size, seed)
            note = f"{note}; at most {size:,} of {total:,}, drawn uniformly (seed {seed})"
        for table, rows in runs:
            low, high = np.searchsorted(chosen, (begin, begin + len(rows)))
            kept, begin = rows[chosen[low:high] - begin], begin + len(rows)
            for first in range(0, len(kept), _TAKEN):
                add_rows(writer, table.take(kept[first : first + _TAKEN]))
        writer.about |= {"note": note, "left_out": left_out}
        remove(self.scratch)


def _added(writer: ColumnWriter, made: Iterator[tuple[RowTable, int]]) -> None:
    notes, left_out = list[str](), dict[str, int]()
    for table, base in made:
        add_rows(writer, table, base)
        _count(table, notes, left_out)
    writer.about |= {"note": common_note(notes), "left_out": left_out}


def _count(table: RowTable, notes: list[str], left_out: dict[str, int]) -> None:
    notes.append(table.note)
    for why, count in table.left_out.items():
        left_out[why] = left_out.get(why, 0) + count


def _nameless(table: RowTable) -> RowTable:
    """The table with no more of its context than its names: it is not written, and would be read when rows are taken."""
    return replace(table, context=dict.fromkeys(table.context, np.zeros(len(table), bool)))


def _runs(tables: Sequence[RowTable]) -> Iterator[tuple[RowTable, np.ndarray]]:
    """Tables and rows of them, one after another."""
    if tables[0].event is not None:
        yield from ((table, np.arange(len(table))) for table in tables)
        return
    moments = np.unique(np.concatenate([np.unique(table.time) for table in tables]))
    for moment in moments[::-1]:
        for table in tables:
            if len(rows := np.flatnonzero(table.time == moment)):
                yield table, rows
