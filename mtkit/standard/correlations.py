"""Built-in correlations."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mtkit.spec import BuildContext, Correlation, PositiveInt


class Mmoe(Correlation):
    """Shared experts, mixed for each task by a gate of its own (Ma et al., KDD 2018)."""

    experts: PositiveInt = Field(4, description="number of experts")
    units: PositiveInt = Field(64, description="width of an expert, and of the task states it gives")
    residual: bool = Field(False, description="add the input to the mixture; `units` is then the width of the input")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.mmoe.Mmoe`."""
        from mtkit.layers.mmoe import Mmoe as Layer

        return Layer(
            tasks=len(context.tasks),
            experts=self.experts,
            units=self.units,
            residual=self.residual,
            name=context.name,
        )
