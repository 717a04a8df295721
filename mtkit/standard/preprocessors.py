"""Preprocessors: vocabularies and hashes of categories; statistics of what was known before a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.durations import Duration
from mtkit.errors import nearest
from mtkit.schema import HISTORY, Address, Column, ColumnKind, Schema
from mtkit.spec import FeatureInfo, Key, KeyNumbers, PositiveFloat, PositiveInt, Preprocessor, RowStatistics

if TYPE_CHECKING:
    import numpy as np

    from mtkit.data.target_statistics import TargetPast
    from mtkit.types import Fold, RowTable


class Vocabulary(Preprocessor):
    """Strings to integers from 1 on, in sorted order; 0 = missing, rare, or never seen. Of lists, each value."""

    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ("categorical", "list")

    min_count: PositiveInt = Field(1, description="training rows in which a value must occur")
    max_size: PositiveInt | None = Field(
        None, description="how many values it has at most, the most frequent ones; default: all"
    )
    rare: Literal["unknown", "own"] = Field(
        "unknown",
        description="what values are that are rare or were never seen: `unknown`, as if they were missing; or one value of "
        "their `own`, the last, which is learned by the rare ones",
    )

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """The sorted values: `{"values": [...]}`; of lists, beside whether these are `weighted`."""
        from collections import Counter

        listed, weighted = values.ndim == 2, values.dtype.names is not None
        counts = Counter((values["value"] if weighted else values).ravel().tolist())
        frequent = sorted((-n, v) for v, n in counts.items() if v not in (None, "") and n >= self.min_count)
        known = sorted(v for _, v in frequent[: self.max_size])
        return {"values": known, "weighted": weighted} if listed else {"values": known}

    def extended(self, state: Mapping[str, Any], values: np.ndarray) -> Mapping[str, Any]:
        """The values that are there, and behind them, sorted, those that are new and frequent, as far as there is room."""
        known = state["values"]
        more = sorted(set(self.fit(values)["values"]) - set(known))
        room = None if self.max_size is None else max(self.max_size - len(known), 0)
        return {**state, "values": [*known, *more[:room]]}

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """An integer feature, or several of a row."""
        return FeatureInfo(size=len(state["values"]) + 1 + (self.rare == "own"), listed="weighted" in state)

    def values(self, state: Mapping[str, Any]) -> Sequence[str]:
        """The values; the empty string stands for all rare ones."""
        return [*state["values"], ""] if self.rare == "own" else state["values"]

    def build(self, state: Mapping[str, Any]) -> Any:
        """A layer from strings to int32 of their shape, `[rows]` or `[rows, n]`."""
        from mtkit.layers.preprocessing import ListVocabulary
        from mtkit.layers.preprocessing import Vocabulary as Layer

        layer = ListVocabulary if "weighted" in state else Layer
        return layer(**state, rare=self.rare == "own")


class Hashing(Preprocessor):
    """Strings to several hashes of each, for values without number, or that training has not seen; 0 = missing.

    A table of embeddings has `size` rows for each hash, and a value is the mean of those of its hashes, or what else the
    encoder's `combiner` is: two values are alike only if all their hashes are (Bloom embeddings; Serra & Karatzoglou, 2017).
    Nothing is learned of the column. Hash embeddings (Svenstrup et al., 2017) have several hashes, too, but into the same rows,
    and learn for each value what each of its hashes counts, which is left out here.
    """

    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ("categorical", "list")

    size: Annotated[int, Field(ge=1, le=2**27)] = Field(description="rows of the table for each hash")
    hashes: Annotated[int, Field(ge=1, le=8)] = Field(
        2, description="how many hashes a value has; of columns of past events (`history.NAME`) one alone"
    )

    @model_validator(mode="after")
    def _pasts_have_one(self) -> Self:
        if self.hashes > 1 and (past := [address for address in self.columns if address.scope == HISTORY]):
            raise ValueError(
                f"hashes = {self.hashes} make several numbers of {past[0]}, and pasts have one of each event; set hashes = 1"
            )
        return self

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """Nothing; of lists, whether these are `weighted`."""
        return {"weighted": values.dtype.names is not None} if values.ndim == 2 else {}

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """Several integers of a row, or one."""
        return FeatureInfo(size=1 + self.hashes * self.size, listed=self.hashes > 1 or "weighted" in state)

    def build(self, state: Mapping[str, Any]) -> Any:
        """A `mtkit.layers.preprocessing.Hashes`."""
        from mtkit.layers.preprocessing import Hashes

        return Hashes(self.size, self.hashes, listed="weighted" in state, **state)


class TargetStatistics(RowStatistics):
    """What became of earlier events with the same user, item, author, ...: how many there were, and the mean of each label.

    Encoders read them as `known.NAME`, for each key log(1 + events) and the means, (sum + smoothing * m) / (n + smoothing), where
    m is the mean of all events known by then. They count what was known strictly before the row's own basket or moment: not the
    row itself, nor what is of the same second, nor a label with a horizon that was not over. Rows that are evaluated, and
    requests, get what was known at the cut. Values that are missing, or new, have no events.
    """

    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ("id", "categorical")

    columns: tuple[Address, ...] = Field((), description="keys of one address each: ids, or categorical columns")
    together: tuple[Annotated[tuple[Address, ...], Field(min_length=2)], ...] = Field(
        (), description='keys of several addresses, as in `[["user.id", "item.category"]]`'
    )
    labels: tuple[str, ...] = Field(
        min_length=1,
        description="labels of the interactions, of 0 and 1 or of numbers, or other numbers of past interactions",
    )
    smoothing: PositiveFloat = Field(20, description="events with the mean of all that are added to those of a key")
    half_life: Duration | None = Field(None, description="age at which an event counts half; default: all count alike")

    @property
    def keys(self) -> Sequence[Key]:
        """Those of one address, then those of several."""
        return (*((address,) for address in self.columns), *self.together)

    @property
    def width(self) -> int:
        """A count and a mean of each label, for each key."""
        return len(self.keys) * (1 + len(self.labels))

    def mistakes(self, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """No keys, and labels that are no numbers, or are not known later either."""
        if not self.keys:
            yield ("columns",), "there is no key; expected ids or categorical columns, here or in `together`"
        known = [name for name, column in schema.interactions.items() if _is_number(column)]
        for index, name in enumerate(self.labels):
            if name not in known:
                found = schema.interactions.get(name)
                what = f"is {_shown_kind(found)}" if found else "is no column of the interactions"
                yield ("labels", index), f"{name!r} {what}; expected numbers: {nearest(name, known)}"
            elif schema.interactions[name].kind == "numeric" and (message := schema.known_later(name)):
                yield ("labels", index), message

    def of_rows(self, fold: Fold, table: RowTable) -> np.ndarray:
        """The statistics of each row."""
        return self._past(fold).of_rows(table, self.keys)

    def by_key(self, fold: Fold) -> Sequence[KeyNumbers]:
        """The statistics as of the cut."""
        return tuple(self._past(fold).by_key(self.keys))

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """Means and standard deviations of the training rows' numbers: `{"means": [...], "stds": [...]}`."""
        deviations = values.std(axis=0, dtype="float64").tolist()
        means: list[float] = values.mean(axis=0, dtype="float64").tolist()
        return {"means": means, "stds": [deviation or 1.0 for deviation in deviations]}

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """Floats."""
        return FeatureInfo(width=len(state["means"]))

    def build(self, state: Mapping[str, Any]) -> Any:
        """A layer from float32 `[rows, width]` to the same, standardized."""
        from mtkit.layers.preprocessing import StandardizeEach as Layer

        return Layer(**state)

    def _past(self, fold: Fold) -> TargetPast:
        from mtkit.data.target_statistics import TargetPast

        half_life = None if self.half_life is None else self.half_life.total_seconds()
        return TargetPast(fold, self.labels, self.smoothing, half_life)


def _is_number(column: Column) -> bool:
    return column.kind == "numeric" or (column.kind == "label" and not column.classes and not column.multi_label)


def _shown_kind(column: Column) -> str:
    classes = column.kind == "label" and (column.classes or column.multi_label)
    return "a label of several classes" if classes else f"declared as {column.kind}"
