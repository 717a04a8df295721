"""Built-in encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.recipe.hide_checks import hides_ids
from mtkit.schema import HISTORY, ColumnKind
from mtkit.spec import BuildContext, Encoder, Fraction, PositiveFloat, PositiveInt


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
    id_dropout: Fraction | None = Field(
        None,
        description="share of training rows whose id is hidden, whichever it is: trains the unknown; default: 0.1, or 0 where "
        "`train.hide` hides the ids",
    )
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
    stddev: PositiveFloat = Field(
        0.01,
        description="standard deviation of the normal numbers that embeddings begin with; where hidden layers or experts follow "
        "and a label is rare, 0.001 may be better",
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

    def _id_dropout(self, context: BuildContext) -> float:
        if self.id_dropout is not None:
            return self.id_dropout
        ids = [address for address in self.reads if address.column == "id"]
        return 0.0 if all(hides_ids(context.hidden, address.scope) for address in ids) else 0.1

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.Features`."""
        from mtkit.layers.features import Features as Layer

        known = {address: context.features[address] for address in self.reads}
        return Layer(
            sizes={address: info.size for address, info in known.items() if info.size},
            widths={address: info.width for address, info in known.items() if info.width},
            dim=self.dim,
            hidden=self.hidden,
            id_dropout=self._id_dropout(context),
            dropout=self.dropout,
            listed=[address for address, info in known.items() if info.listed],
            combiner=self.combiner,
            feature_dropout=self.feature_dropout,
            l2=self.l2,
            l1=self.l1,
            combine=self.combine,
            stddev=self.stddev,
            name=context.name,
        )
