"""The encoder of users and items by their neighborhoods in a graph of past events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.errors import WiringError
from mtkit.schema import HISTORY, Address, ColumnKind
from mtkit.spec import (
    Activation,
    BuildContext,
    Encoder,
    Fraction,
    Name,
    Neighborhood,
    PositiveInt,
    Where,
)


class UserItemGraph(Encoder):
    """A user, or an item, by its neighbors in the graph of users and items, as it was at the row's moment.

    With `reads = ["history.item", "user.id"]` the graph is seen from the row's user: items of its past, users who had these
    before the row's moment, and so on, as far as `neighbors` says; the user's own id may be left out. With
    `reads = ["item.id", "history.item"]` it is seen from the row's item, for heads that predict of a pair: candidates of a
    ranking have no moment of their own. Edges are events strictly before the row's moment, so what is to be predicted is none.
    """

    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ("id",)

    reads: tuple[Address, ...] = Field(
        min_length=1,
        max_length=2,
        description="the past, and the user where its own id is read, too (`history.item`, `user.id`); or the item and the past "
        "(`item.id`, `history.item`)",
    )
    neighbors: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(
        (20, 10), description="how many neighbors of a node are read, for each distance from the row's own node"
    )
    sample: Literal["last", "drawn"] = Field(
        "last",
        description="which: the last ones; or, where there are more, one drawn from each of as many equal parts of the past, "
        "anew in each step, and outside of training the one in its middle",
    )
    edges: tuple[Where, ...] = Field(
        (),
        description="conditions on events, or names of `[events]`, each a kind of edges with weights of its own; default: all",
    )
    friends: Name | None = Field(
        None,
        description="column of the user's table with lists of ids of users, which are edges to these at any moment",
    )
    convolution: Literal["lightgcn", "gat_v2"] = Field(
        "lightgcn", description="sums of neighbors, without weights between distances, or attention over them"
    )
    normalize: Literal["symmetric", "mean"] = Field(
        "symmetric",
        description="of `lightgcn`: a neighbor counts 1 / root of the product of the numbers of edges of both; or all alike",
    )
    heads: PositiveInt = Field(4, description="of the attention; divide `dim`")
    activation: Activation = Field("relu", description="of what `gat_v2` makes of a node and its messages")
    items: Name | None = Field(
        None,
        description="encoder whose output is the embedding of an item, so that what is recommended and what was had are alike; "
        "default: items have embeddings of their own here",
    )
    dropout: Fraction = Field(0.0, description="share of edges that are left out in training")
    id_dropout: Fraction = Field(0.1, description="share of training rows whose own id is hidden: trains the unknown")

    @model_validator(mode="after")
    def _reads_a_graph(self) -> Self:
        pasts = [address for address in self.reads if address.scope == HISTORY]
        if len(pasts) != 1:
            raise ValueError(
                f"reads {', '.join(self.reads)}, expected one past, such as 'history.item', and the id of a user behind it, or "
                "of an item before it"
            )
        own = [address for address in self.reads if address.scope != HISTORY]
        if own and own[0].column != "id":
            raise ValueError(f"reads {own[0]!r}, expected an id of the row, such as 'user.id'")
        if (self.reads[0] != pasts[0]) != (own == [Address.of(pasts[0].column, "id")]):
            raise ValueError(
                f"reads {', '.join(self.reads)}, expected the past and then the id of who acts; or the item's id, "
                f"'{pasts[0].column}.id', and then the past"
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.convolution == "gat_v2" and self.dim % self.heads:
            raise ValueError(f"heads = {self.heads} do not divide dim = {self.dim}; expected equal shares")
        return self

    @property
    def item(self) -> str:
        """The role of what is acted on."""
        return next(address.column for address in self.reads if address.scope == HISTORY)

    @property
    def own(self) -> Address | None:
        """The address of the row's own id, if that is read."""
        return next((address for address in self.reads if address.scope != HISTORY), None)

    @property
    def neighborhood(self) -> Neighborhood:
        """As far as `neighbors` says, along `edges` and `friends`."""
        return Neighborhood(
            root="acting" if self.reads[0].scope == HISTORY else "item",
            widths=self.neighbors,
            kinds=self.edges or (None,),
            friends=self.friends,
            drawn=self.sample == "drawn",
            degrees=self.convolution == "lightgcn" and self.normalize == "symmetric",
        )

    @property
    def content(self) -> tuple[str, ...]:
        """The encoder named by `items`."""
        return () if self.items is None else (self.items,)

    def table_rows(self, sizes: Mapping[str, int]) -> int:
        """Who acts, and what is acted on where that has embeddings here; the entities are told by their sizes alone."""
        acting = max((size for role, size in sizes.items() if role != self.item), default=0)
        return acting + (0 if self.items else sizes[self.item])

    def numbers_per_row(self, sizes: Mapping[str, int]) -> int:
        """The states of all nodes, and as many messages."""
        return 2 * self.dim * (self.neighborhood.nodes() + 1)

    def build(self, context: BuildContext) -> Any:
        """A `mtkit_tfgnn.user_item_graph.UserItemGraph`.

        Raises:
            WiringError: what `items` names is of another width, or `friends` is no column of who acts with ids.
        """
        from mtkit_tfgnn.user_item_graph import UserItemGraph as Layer

        if self.items and (width := context.encoders[self.items].width) != self.dim:
            raise WiringError(
                f"encoder.{context.name}: items = {self.items!r} takes what that says of items as it is, {width} numbers, but "
                f"dim = {self.dim}; make them alike, or leave `items` out"
            )
        acting = context.roles[0]
        around = self.neighborhood
        return Layer(
            root=around.root,
            widths=around.widths,
            kinds=len(around.kinds),
            friends=around.friends is not None,
            own=self.own,
            sizes={"acting": context.sizes[acting], "item": context.sizes[self.item]},
            labels={"acting": f"{acting}.id", "item": f"{self.item}.id"},
            dim=self.dim,
            convolution=self.convolution,
            normalize=self.normalize,
            heads=self.heads,
            activation=self.activation,
            content=self.items,
            dropout=self.dropout,
            id_dropout=self.id_dropout,
            name=context.name,
        )
