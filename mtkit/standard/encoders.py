"""Built-in encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.conditions import Where
from mtkit.schema import HISTORY, ColumnKind
from mtkit.spec import Address, BuildContext, Encoder, Fraction, Name, PositiveInt


class Features(Encoder):
    """Adds an embedding per id or categorical feature and a linear map per numeric one; those of a list's values are combined."""

    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ("id", "categorical", "numeric", "list")

    hidden: tuple[PositiveInt, ...] = Field((), description="widths of hidden layers after the sum")
    id_dropout: Fraction = Field(0.1, description="share of training rows whose id is hidden: trains the unknown")
    dropout: Fraction = Field(0.0, description="dropout rate of the output")
    feature_dropout: Fraction = Field(
        0.0,
        description="share of a training row's features that are left out of the sum; the others are divided by 1 - share",
    )
    l2: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="weight in the loss of the squared lengths of embeddings, summed over a row's features and averaged over the "
        "rows that a step encodes: an embedding is regularized as often as it occurs. Where a step encodes a whole catalog, all "
        "its rows occur once",
    )
    l1: Annotated[float, Field(ge=0)] = Field(
        0.0, description="the same of the sums of absolute values, which makes what is not needed 0, or nearly so"
    )
    combiner: Literal["sum", "mean", "sqrtn"] = Field(
        "mean",
        description="how the embeddings of a list's values become one: their sum, by their weights; that over the sum of the "
        "weights; or over the root of the sum of their squares",
    )

    @model_validator(mode="after")
    def _reads_no_past(self) -> Self:
        for address in self.reads:
            if address.scope == HISTORY:
                raise ValueError(
                    f"reads {address!r}, which the encoder history reads; expected columns, or ids of the row"
                )
        return self

    def table_rows(self, sizes: Mapping[str, int]) -> int:
        """Those of the entities whose ids it reads."""
        return sum(sizes[address.scope] for address in self.reads if address.column == "id")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.Features`."""
        from mtkit.layers.features import Features as Layer

        known = {address: context.features[address] for address in self.reads}
        return Layer(
            sizes={address: info.size for address, info in known.items() if info.size},
            widths={address: info.width for address, info in known.items() if info.width},
            dim=self.dim,
            hidden=self.hidden,
            id_dropout=self.id_dropout,
            dropout=self.dropout,
            listed=[address for address, info in known.items() if info.listed],
            combiner=self.combiner,
            feature_dropout=self.feature_dropout,
            l2=self.l2,
            l1=self.l1,
            name=context.name,
        )


class History(Encoder):
    """A bag of the past: the sum of the embeddings of past items, weighted by the logarithm of their counts.

    What is known of the past events may be read, too (`history.event`, `history.rating`): how much an event of a kind, or with
    a number, counts is learned, and so is what the kinds and the means of the numbers say of the user.
    """

    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ("id", "categorical", "numeric")

    reads: tuple[Address, ...] = Field(
        min_length=1,
        description="the past that it reads (`history.item`), then columns of its events (`history.NAME`)",
    )
    where: Where | None = Field(None, description="the past events that it reads; default: all")
    length: PositiveInt = Field(512, description="how many of the last events are read")
    recency: bool = Field(False, description="whether what an event counts depends on its age, as is learned")
    items: Name | None = Field(None, description="encoder whose output is added to the items' own embeddings")
    dropout: Fraction = Field(0.5, description="share of items dropped from the past in training")

    @model_validator(mode="after")
    def _reads_a_past(self) -> Self:
        for address in self.reads:
            if address.scope != HISTORY:
                raise ValueError(f"reads {address!r}, expected a past, such as 'history.item'")
        if len(set(self.reads)) < len(self.reads):
            raise ValueError(f"reads {', '.join(self.reads)}, expected each once")
        return self

    @property
    def history_length(self) -> int:
        """`length`."""
        return self.length

    @property
    def history_where(self) -> Where | None:
        """`where`."""
        return self.where

    @property
    def content(self) -> tuple[str, ...]:
        """The encoder named by `items`."""
        return () if self.items is None else (self.items,)

    def table_rows(self, sizes: Mapping[str, int]) -> int:
        """The items of the past."""
        return sizes[self.reads[0].column]

    def numbers_per_row(self, sizes: Mapping[str, int]) -> int:
        """A count of every item, or the embeddings of the past, whichever is less; and the columns of the events."""
        return min(sizes[self.reads[0].column], self.length * self.dim) + 2 * self.length * len(self.reads[1:])

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.History`."""
        from mtkit.layers.history import History as Layer

        past, *columns = self.reads
        known = {address: context.features[address] for address in columns}
        return Layer(
            entity=past.column,
            size=context.sizes[past.column],
            dim=self.dim,
            length=self.length,
            content=self.items,
            dropout=self.dropout,
            sizes={address: info.size for address, info in known.items() if info.size},
            widths={address: info.width for address, info in known.items() if info.width},
            recency=self.recency,
            name=context.name,
        )
