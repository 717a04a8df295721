"""The built-in encoder that is held to a direction."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from mtkit.errors import WiringError
from mtkit.schema import HISTORY, Address, ColumnKind
from mtkit.spec import BuildContext, Encoder, PositiveInt


class Monotone(Encoder):
    """Features of which no entry of the embedding falls with some numbers, nor rises with others, whatever is learned.

    A network of layers with weights of one sign (Runje & Shankaranarayana, 2023). What it says goes to a task by the option
    `rising` of its head, so that a prediction never falls with what is `rising` here, and never rises with what is
    `falling`. Other features that it reads may change how much these numbers matter, and never the direction. Numbers that are
    missing are held to nothing.
    """

    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ("id", "categorical", "numeric", "list")

    dim: PositiveInt = Field(8, description="width of the embedding")
    rising: tuple[Address, ...] = Field((), description="numbers among `reads` with which no entry falls")
    falling: tuple[Address, ...] = Field((), description="numbers among `reads` with which no entry rises")
    hidden: tuple[PositiveInt, ...] = Field((16,), description="widths of the layers before the last one")

    @model_validator(mode="after")
    def _of_what_it_reads(self) -> Self:
        if not self.monotone_in:
            raise ValueError("holds no number to a direction; name some of `reads` in `rising` or `falling`")
        for address in self.reads:
            if address.scope == HISTORY:
                raise ValueError(f"reads {address!r}, which the encoder history reads; expected columns of the row")
        for address in self.monotone_in:
            if address not in self.reads:
                raise ValueError(f"{address!r} is not among `reads`, {', '.join(self.reads)}")
            if self.monotone_in.count(address) > 1:
                raise ValueError(f"{address!r} is held to a direction twice; expected each number once")
        return self

    @property
    def monotone_in(self) -> tuple[Address, ...]:
        """`rising` and `falling`."""
        return (*self.rising, *self.falling)

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.monotone.MonotoneFeatures`.

        Raises:
            WiringError: a number that is held to a direction has been cut into ranges.
        """
        from mtkit.layers.monotone import MonotoneFeatures

        known = {address: context.features[address] for address in self.reads}
        for address in self.monotone_in:
            if not known[address].width:
                raise WiringError(
                    f"encoder.{context.name}: {address} comes as ranges, which have no direction; give it a preprocessor that "
                    "scales it (`standardize`, `quantile`)"
                )
        return MonotoneFeatures(
            directions={address: 1 if address in self.rising else -1 for address in map(str, self.monotone_in)},
            sizes={address: info.size for address, info in known.items() if info.size},
            widths={address: info.width for address, info in known.items() if info.width},
            dim=self.dim,
            hidden=self.hidden,
            listed=[address for address, info in known.items() if info.listed],
            name=context.name,
        )
