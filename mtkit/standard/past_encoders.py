"""Encoders of the past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.conditions import Where
from mtkit.errors import WiringError
from mtkit.schema import HISTORY, Address, ColumnKind
from mtkit.spec import Activation, BuildContext, Encoder, Fraction, Name, PositiveInt

#: A share that is neither nothing nor all.
Part = Annotated[float, Field(gt=0, lt=1)]


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
    def columns(self) -> tuple[Address, ...]:
        """The columns of events that it reads."""
        return self.reads[1:]

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
        past = self.reads[0].column
        known = {address: context.features[address] for address in self.columns}
        return {
            "entity": past,
            "size": context.sizes[past],
            "dim": self.dim,
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
        return min(sizes[self.reads[0].column], self.length * self.dim) + 2 * self.length * len(self.columns)

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.History`."""
        from mtkit.layers.history import History as Layer

        return Layer(**self._of_events(context), length=self.length, dropout=self.dropout, recency=self.recency)


class Sequence(_OfPast):
    """A network over the past in its order: what comes next depends on what came last.

    With rows of `sequences`, it is trained on all places of a sequence at once; with others, on the last place of a row's past.
    Columns of the past events (`history.event`, `history.rating`) are added to the embeddings of their items. `block` says
    which network it is:

    `sasrec`: attention and a layer of width `dim` (Kang & McAuley, 2018). `ligr`: the same with gates and a wider layer, as
    eSASRec has it (Tikhonovich et al., 2025). `hstu`: attention by SiLU with biases by place and time (Zhai et al., 2024).
    `gru`: a gated recurrent unit, as in GRU4Rec (Hidasi et al., 2016), whose time grows with the length of sequences.

    `crop`, `mask` and `reorder` change pasts in training, as CL4SRec does (Xie et al., 2022), without its contrastive loss: by
    the seed and the step. With `crop` or `reorder`, rows of `sequences` are read one by one.
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
    crop: Part | None = Field(
        None, description="training: a past is cropped to this share of its events, some in a row; default: no past is"
    )
    mask: Part | None = Field(None, description="training: the item of an event is hidden this often; default: none is")
    reorder: Part | None = Field(
        None,
        description="training: this share of the events, some in a row, are in another order; default: all are in theirs",
    )
    augmented: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5,
        description="training: share of the rows whose past is changed by `crop`, `mask` or `reorder`, each by one of these",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"heads = {self.heads} do not divide dim = {self.dim}; expected equal shares")
        if self.augmented != type(self).model_fields["augmented"].default and not self._augments:
            raise ValueError(
                f"augmented = {self.augmented} is of no use without a way to change pasts: crop, mask or reorder"
            )
        if self.tied and self.items is None:
            raise ValueError("tied = true takes items from an encoder; expected its name in `items`")
        return self

    @property
    def reads_sequences(self) -> bool:
        """Whether it reads all events in their order, so that places in a sequence are those of its rows."""
        return self.where is None and self.crop is None and self.reorder is None

    @property
    def _augments(self) -> bool:
        return any(way is not None for way in (self.crop, self.mask, self.reorder))

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
        names = (
            "length",
            "block",
            "blocks",
            "heads",
            "tied",
            "time",
            "dropout",
            "crop",
            "mask",
            "reorder",
            "augmented",
        )
        options = {name: getattr(self, name) for name in names}
        return Layer(**self._of_events(context), **options)


class TargetAttention(_OfPast):
    """The past as the row's candidate sees it: events, weighted by what they have to do with the item (DIN; Zhou et al., 2018).

    For heads that predict of a pair; a retrieval query must not depend on the candidate, and is refused. What is known of the
    past events may be read, too (`history.event`, `history.rating`). Items that are not in the data are the unknown here.
    """

    reads: tuple[Address, ...] = Field(
        min_length=2,
        description="the past that it reads and the candidate (`history.item`, `item.id`), then columns of past events "
        "(`history.NAME`)",
    )
    length: PositiveInt = Field(50, description="how many of the last events are read")
    recency: bool = Field(False, description="whether what an event counts depends on its age, too")
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
    def _reads_a_past(self) -> Self:
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
    def columns(self) -> tuple[Address, ...]:
        """What it reads behind the past and the candidate."""
        return self.reads[2:]

    def numbers_per_row(self, sizes: Mapping[str, int]) -> int:
        """Of each event its embedding, alone and times the candidate's, and the states of the unit; and its columns."""
        return self.length * (2 * self.dim + sum(self.hidden) + self.dim * len(self.columns))

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.target_attention.TargetAttention`."""
        from mtkit.layers.target_attention import TargetAttention as Layer

        options = {name: getattr(self, name) for name in ("hidden", "activation", "softmax", "dropout", "recency")}
        return Layer(**self._of_events(context), **options)
