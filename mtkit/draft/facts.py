"""What the values of a column are like, by a sample of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.column_values import UnfitError, no_value_to_null
from mtkit.data.times import read_times
from mtkit.draft.tables import Table
from mtkit.draft.words import LIST, TEXT, TIME, tells

#: Times before 1990 and after 2100 are numbers of something else.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
#: Values of which the words are counted.
_READ = 2_000
#: Share of the rows that have several values, if a column is one of lists.
_SEVERAL = 0.3
#: Ranges such as `[10,100)` are no lists.
_BRACKETS = frozenset("[](){}<>")
#: A list's values come so often on average; words of texts do not.
_OFTEN = 4


@dataclass(frozen=True)
class Facts:
    """A column of a table.

    Attributes:
        name: its plain name.
        hint: what the header says of it (`token`, ...), if it says anything.
        column: values of the sample as they come, blanks of text as nulls.
    """

    name: str
    hint: str
    column: pa.ChunkedArray

    @property
    def known(self) -> int:
        """Rows of the sample with a value."""
        return int(len(self.column) - self.column.null_count)

    @cached_property
    def distinct(self) -> int:
        """Different values in the sample."""
        return 0 if self.nested else pc.count_distinct(self.column).as_py()

    @property
    def unique(self) -> bool:
        """Whether each row has a value of its own."""
        return bool(self.distinct == len(self.column) > 1)

    @property
    def nested(self) -> bool:
        """Whether values are lists or structures."""
        return bool(pa.types.is_nested(self.column.type))

    @property
    def lists(self) -> bool:
        """Whether values are lists of strings or integers."""
        kind = self.column.type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            return False
        return bool(pa.types.is_string(kind.value_type) or pa.types.is_integer(kind.value_type))

    @property
    def text(self) -> bool:
        """Whether values are strings."""
        return bool(pa.types.is_string(self.column.type))

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """The values as float64, nan where there is none; None where they are something else."""
        kind = self.column.type
        if pa.types.is_boolean(kind):
            return np.asarray(self.column.cast(pa.int8()).cast(pa.float64()).to_numpy())
        if not self.known or self.nested or pa.types.is_temporal(kind) or pa.types.is_binary(kind):
            return None
        try:
            trimmed = pc.utf8_trim_whitespace(self.column) if self.text else self.column
            return np.asarray(trimmed.cast(pa.float64()).to_numpy())
        except pa.ArrowInvalid:
            return None

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers."""
        if self.numbers is None:
            return False
        numbers = self.numbers[np.isfinite(self.numbers)]
        return bool((numbers == np.floor(numbers)).all())

    @cached_property
    def binary(self) -> bool:
        """Whether all are 0 or 1, and both occur."""
        return self.numbers is not None and set(np.unique(self.numbers[~np.isnan(self.numbers)])) == {0.0, 1.0}

    @cached_property
    def time(self) -> str:
        """How the values are read as times; empty if they are none."""
        if self.nested or not self.known:
            return ""
        named = tells(self.name, TIME)
        if self.numbers is not None and not named and self.hint != "float":
            return ""
        try:
            times = read_times(self.column[:_READ] if self.text and self.numbers is None else self.column)
        except (UnfitError, pa.ArrowException, ValueError, OverflowError):
            return ""
        seconds = times.seconds[times.known]
        if not len(seconds) or not _EARLIEST < np.median(seconds) < _LATEST:
            return ""
        return times.read_as.partition(",")[0] or "timestamps"

    @cached_property
    def separator(self) -> str:
        """What is between the values of a list that comes as text; empty if it is none."""
        if not self.text:
            return ""
        texts: list[str] = self.column.drop_null()[:_READ].to_pylist()
        usual = ["|", ";", ","] + [" "] * (self.hint == "token_seq" or tells(self.name, LIST))
        return next((between for between in usual if _is_list(texts, between)), "")

    @cached_property
    def length(self) -> float:
        """Mean number of words."""
        if not self.text or not self.known:
            return 0.0
        counts = [len(text.split()) for text in self.column.drop_null()[:_READ].to_pylist()]
        return float(np.mean(counts))

    @property
    def reads_as_text(self) -> bool:
        """Whether it is prose: words that differ from row to row."""
        if not self.text or self.numbers is not None or self.separator or 2 * self.distinct < self.known:
            return False
        return self.length >= (1.5 if tells(self.name, TEXT) or self.hint == "token_seq" else 2)

    @cached_property
    def common(self) -> list[str]:
        """The most frequent values as text, at most 40."""
        counts = pc.value_counts(self.column.drop_null()).to_pylist()
        counts.sort(key=lambda entry: -entry["counts"])
        return [str(entry["values"]) for entry in counts[:40]]


@cache
def facts_of(table: Table) -> Mapping[str, Facts]:
    """Plain name -> what the column of a table is like."""
    return {name: Facts(name, table.hints.get(name, ""), _plain(table.sample[name])) for name in table.columns}


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values without dictionaries and wide or blank strings."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    return no_value_to_null(values) if pa.types.is_string(values.type) else values


def _is_list(texts: list[str], separator: str) -> bool:
    """Whether texts are lists: some have several parts, which are short and come again and again."""
    several = [text for text in texts if separator in text and not _BRACKETS & set(text)]
    if not several or len(several) < _SEVERAL * len(texts):
        return False
    parts = Counter(part for text in texts for part in _parts(text, separator))
    short = np.mean([len(part.split()) for part in parts]) <= 3
    return bool(short and parts.total() >= _OFTEN * len(parts))


def _parts(text: str, separator: str) -> Iterator[str]:
    return (part.strip() for part in text.split(separator) if part.strip())
