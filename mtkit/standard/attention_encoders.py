"""Encoders of the past that attend to the candidate of the row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from mtkit.conditions import Where
from mtkit.schema import HISTORY, Address, ColumnKind
from mtkit.spec import Activation, BuildContext, Encoder, Fraction, Name, PositiveInt


class TargetAttention(Encoder):
    """The past as the row's candidate sees it: events, weighted by what they have to do with the item (DIN; Zhou et al., 2018).

    For heads that predict of a pair; a retrieval query must not depend on the candidate, and is refused. What is known of the
    past events may be read, too (`history.event`, `history.rating`). Items that are not in the data are the unknown here.
    """

    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ("id", "categorical", "numeric")

    reads: tuple[Address, ...] = Field(
        min_length=2,
        description="the past that it reads and the candidate (`history.item`, `item.id`), then columns of past events "
        "(`history.NAME`)",
    )
    where: Where | None = Field(None, description="the past events that it reads; default: all")
    length: PositiveInt = Field(50, description="how many of the last events are read")
    recency: bool = Field(False, description="whether what an event counts depends on its age, too")
    items: Name | None = Field(None, description="encoder whose output is added to the items' own embeddings")
    hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(
        (64, 32), description="widths of the layers of the unit that weighs an event"
    )
    activation: Activation = Field("relu", description="of these layers")
    softmax: bool = Field(
        False,
        description="weights are shares of 1; else they are not normalized, and a past with more of a kind says more",
    )
    dropout: Fraction = Field(0.0, description="share of events dropped from the past in training")

    @model_validator(mode="after")
    def _reads_a_past_and_a_candidate(self) -> Self:
        past, candidate, *columns = self.reads
        if past.scope != HISTORY:
            raise ValueError(f"reads {past!r} first, expected a past, such as 'history.item'")
        if candidate != Address.of(past.column, "id"):
            raise ValueError(f"reads {candidate!r} after {past!r}, expected the candidate, '{past.column}.id'")
        for address in columns:
            if address.scope != HISTORY:
                raise ValueError(f"reads {address!r}, expected a column of past events, such as 'history.event'")
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
        """Of each event its embedding, alone and times the candidate's, and the states of the unit; and its columns."""
        return self.length * (2 * self.dim + sum(self.hidden) + self.dim * len(self.reads[2:]))

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.target_attention.TargetAttention`."""
        from mtkit.layers.target_attention import TargetAttention as Layer

        past, _, *columns = self.reads
        known = {address: context.features[address] for address in columns}
        return Layer(
            entity=past.column,
            size=context.sizes[past.column],
            dim=self.dim,
            hidden=self.hidden,
            activation=self.activation,
            softmax=self.softmax,
            content=self.items,
            dropout=self.dropout,
            sizes={address: info.size for address, info in known.items() if info.size},
            widths={address: info.width for address, info in known.items() if info.width},
            recency=self.recency,
            name=context.name,
        )
