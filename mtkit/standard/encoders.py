"""Built-in encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.conditions import Where
from mtkit.errors import WiringError
from mtkit.schema import HISTORY, ColumnKind
from mtkit.spec import Address, BuildContext, Encoder, Fraction, Name, PositiveInt


class Features(Encoder):
    """Adds an embedding per id or categorical feature and a linear map per numeric one; those of a list's values are combined.

    With `combine = "concat"` they stay side by side, each a field of `dim` entries: `fm` and `tfrs_ranking` read how fields go
    together, and hidden layers tell them apart.
    """

    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ("id", "categorical", "numeric", "list")

    combine: Literal["sum", "concat"] = Field(
        "sum",
        description="what becomes of the embeddings of the features: their sum; or all of them side by side, features x `dim` "
        "wide (`dim` again after hidden layers)",
    )
    hidden: tuple[PositiveInt, ...] = Field((), description="widths of hidden layers after that")
    id_dropout: Fraction = Field(0.1, description="share of training rows whose id is hidden: trains the unknown")
    dropout: Fraction = Field(0.0, description="dropout rate of the output")
    feature_dropout: Fraction = Field(
        0.0,
        description="share of a training row's features that are left out; the others are divided by 1 - share",
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

    @property
    def width(self) -> int:
        """`dim`, or that of all features side by side."""
        return self.dim if self.combine == "sum" or self.hidden else self.dim * len(self.reads)

    def table_rows(self, sizes: Mapping[str, int]) -> int:
        """Those of the entities whose ids it reads."""
        return sum(sizes[address.scope] for address in self.reads if address.column == "id")

    def numbers_per_row(self, sizes: Mapping[str, int]) -> int:
        """The embedding, or all features side by side."""
        return self.dim if self.combine == "sum" else self.dim * len(self.reads)

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
            combine=self.combine,
            name=context.name,
        )


class _OfPast(Encoder):
    """Options of encoders of a past."""

    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ("id", "categorical", "numeric")

    reads: tuple[Address, ...] = Field(
        min_length=1,
        description="the past that it reads (`history.item`), then columns of its events (`history.NAME`)",
    )
    where: Where | None = Field(None, description="the past events that it reads; default: all")
    length: PositiveInt = Field(512, description="how many of the last events are read")
    items: Name | None = Field(None, description="encoder whose output is added to the items' own embeddings")

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

    def _of_events(self, context: BuildContext) -> dict[str, Any]:
        """What layers are told of the past that they read."""
        past, *columns = self.reads
        known = {address: context.features[address] for address in columns}
        return {
            "entity": past.column,
            "size": context.sizes[past.column],
            "dim": self.dim,
            "length": self.length,
            "content": self.items,
            "sizes": {address: info.size for address, info in known.items() if info.size},
            "widths": {address: info.width for address, info in known.items() if info.width},
            "name": context.name,
        }


class History(_OfPast):
    """A bag of the past: the sum of the embeddings of past items, weighted by the logarithm of their counts.

    What is known of the past events may be read, too (`history.event`, `history.rating`): how much an event of a kind, or with
    a number, counts is learned, and so is what the kinds and the means of the numbers say of the user.
    """

    recency: bool = Field(False, description="whether what an event counts depends on its age, as is learned")
    dropout: Fraction = Field(0.5, description="share of items dropped from the past in training")

    def numbers_per_row(self, sizes: Mapping[str, int]) -> int:
        """A count of every item, or the embeddings of the past, whichever is less; and the columns of the events."""
        return min(sizes[self.reads[0].column], self.length * self.dim) + 2 * self.length * len(self.reads[1:])

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.History`."""
        from mtkit.layers.history import History as Layer

        return Layer(**self._of_events(context), dropout=self.dropout, recency=self.recency)


class Sequence(_OfPast):
    """A network over the past in its order: what comes next depends on what came last.

    With rows of `sequences`, it is trained on all places of a sequence at once; with others, on the last place of a row's past.
    Columns of the past events (`history.event`, `history.rating`) are added to the embeddings of their items. `block` says
    which network it is:

    `sasrec`: attention and a layer of width `dim` (Kang & McAuley, 2018). `ligr`: the same with gates and a wider layer, as
    eSASRec has it (Tikhonovich et al., 2025). `hstu`: attention by SiLU with biases by place and time (Zhai et al., 2024).
    `gru`: a gated recurrent unit, as in GRU4Rec (Hidasi et al., 2016), whose time grows with the length of sequences.
    """

    block: Literal["sasrec", "ligr", "hstu", "gru"] = Field("ligr", description="which network it is made of")
    blocks: PositiveInt = Field(2, description="how many of these, one upon another")
    heads: PositiveInt = Field(1, description="heads of the attention of each; they divide `dim`")
    length: PositiveInt = Field(50, description="how many of the last events are read")
    tied: bool = Field(
        False,
        description="whether the output of `items`, which is `dim` wide, is all that there is of an item, so that what is "
        "recommended and what was had have the same embeddings",
    )
    time: bool = Field(
        False, description="whether the spans of time between events, and until the row, are read, by their logarithm"
    )
    dropout: Fraction = Field(0.2, description="share of the numbers dropped in training, in each part of the network")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"heads = {self.heads} do not divide dim = {self.dim}; expected equal shares")
        if self.tied and self.items is None:
            raise ValueError("tied = true takes items from an encoder; expected its name in `items`")
        return self

    @property
    def reads_sequences(self) -> bool:
        """Whether it reads all events, so that places in a sequence are those of its rows."""
        return self.where is None

    def table_rows(self, sizes: Mapping[str, int]) -> int:
        """The items of the past, where they have embeddings of their own."""
        return 0 if self.tied else super().table_rows(sizes)

    def numbers_per_row(self, sizes: Mapping[str, int]) -> int:
        """States of the events and the weights of attention; of rows in sequences, of as many events as there are rows."""
        inner = {"sasrec": 12, "ligr": 24, "hstu": 12, "gru": 10}[self.block]
        return self.blocks * (inner * self.dim + self.heads * self.length)

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.Sequence`.

        Raises:
            WiringError: what `tied` takes from an encoder is of another width.
        """
        from mtkit.layers.sequence import Sequence as Layer

        if self.tied and self.items and (width := context.encoders[self.items].dim) != self.dim:
            raise WiringError(
                f"encoder.{context.name}: tied = true takes what {self.items!r} says of items as it is, {width} numbers, but "
                f"dim = {self.dim}; make them alike, or set tied = false"
            )
        options = {name: getattr(self, name) for name in ("block", "blocks", "heads", "tied", "time", "dropout")}
        return Layer(**self._of_events(context), **options)
