"""Built-in correlations."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from mtkit.spec import Activation, BuildContext, Correlation, Name, PositiveInt


class Mmoe(Correlation):
    """Shared experts, mixed for each task by a gate of its own (Ma et al., KDD 2018)."""

    experts: PositiveInt = Field(4, description="number of experts")
    units: PositiveInt = Field(64, description="width of an expert, and of the task states it gives")
    activation: Activation = Field("relu", description="of the experts")
    residual: bool = Field(False, description="add the input to the mixture; `units` is then the width of the input")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.mmoe.Mmoe`."""
        from mtkit.layers.mmoe import Mmoe as Layer

        return Layer(
            tasks=len(context.tasks),
            experts=self.experts,
            units=self.units,
            activation=self.activation,
            residual=self.residual,
            name=context.name,
        )


class Fusion(Correlation):
    """Fuses embeddings of the same row, such as text, image and id of an item, into one.

    `concatenate` projects them side by side. `gated` weighs every entry by gates that see all of them (Arevalo et al.,
    2017). `attention` takes their mean, weighted row by row (Yang et al., 2016). `cascade` fuses one after another, in the
    order of `on` (after Majumder et al., 2018).
    """

    joined: ClassVar[bool] = False

    apply: Literal["pair"] = Field("pair", description="`on` is fused under the correlation's name")
    on: tuple[Name, ...] = Field(min_length=2, description="embeddings that are fused, in the order of a cascade")
    method: Literal["concatenate", "gated", "attention", "cascade"] = Field("gated", description="how they are fused")
    dim: PositiveInt = Field(64, description="width of the result")

    def build(self, context: BuildContext) -> Any:
        """One of `mtkit.layers.fusion.FUSIONS`."""
        from mtkit.layers.fusion import FUSIONS

        return FUSIONS[self.method](self.dim, name=context.name)
