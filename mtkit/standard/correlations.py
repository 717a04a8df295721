"""Built-in correlations."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from mtkit.spec import Activation, BuildContext, Correlation, Name, PositiveInt

#: The width of a network's one layer, or of each of its layers.
Widths = Annotated[
    Annotated[PositiveInt, Tag("one")] | Annotated[tuple[PositiveInt, ...], Field(min_length=1), Tag("several")],
    Discriminator(lambda given: "several" if isinstance(given, list | tuple) else "one"),
]


class SharedBottom(Correlation):
    """Layers that all tasks share, and that give one state for all of them (Caruana, 1997).

    When tasks are alike, or data are few: the fewest weights and the fastest step. What differs is left to the heads.
    """

    units: Widths = Field(64, description="width of each layer; the last is that of the state")
    activation: Activation = Field("relu", description="of each layer")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.shared_bottom.SharedBottom`."""
        from mtkit.layers.shared_bottom import SharedBottom as Layer

        return Layer(units=self.units, activation=self.activation, name=context.name)


class Mmoe(Correlation):
    """Shared experts, mixed for each task by a gate of its own (Ma et al., KDD 2018).

    When tasks are related and nobody knows how closely: every task chooses what it takes. The first to try.
    """

    experts: PositiveInt = Field(4, description="number of experts")
    units: Widths = Field(
        64, description="width of each layer of an expert; the last is that of the task states; one number is one layer"
    )
    activation: Activation = Field("relu", description="of the experts")
    residual: bool = Field(
        False, description="add the input to the mixture; the last of `units` is then the width of the input"
    )

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


class Ple(Correlation):
    """Experts of each task beside shared ones, on several levels (Tang et al., RecSys 2020). `levels = 1` is CGC.

    When tasks get in one another's way, so that one gains where another loses: each keeps experts that no other task trains.
    """

    levels: PositiveInt = Field(2, description="number of levels; 1 is CGC, customized gate control")
    own: PositiveInt = Field(1, description="experts of each task, on each level")
    shared: PositiveInt = Field(1, description="experts that tasks share, on each level")
    units: Widths = Field(
        64, description="width of each layer of an expert; the last is that of the task states; one number is one layer"
    )
    activation: Activation = Field("relu", description="of the experts")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.ple.Ple`."""
        from mtkit.layers.ple import Ple as Layer

        return Layer(
            tasks=len(context.tasks),
            levels=self.levels,
            own=self.own,
            shared=self.shared,
            units=self.units,
            activation=self.activation,
            name=context.name,
        )


class CrossStitch(Correlation):
    """A network for each task, which after each layer take shares of one another's states (Misra et al., CVPR 2016).

    When tasks are few and each has data enough for a network of its own: how much they share is learned layer by layer.
    """

    units: Widths = Field(64, description="width of each layer; the last is that of the task states")
    alpha: Annotated[float, Field(ge=0, le=1)] = Field(
        0.9, description="share of its own state with which a task begins; the others' are equal"
    )
    activation: Activation = Field("relu", description="of each layer")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.cross_stitch.CrossStitch`."""
        from mtkit.layers.cross_stitch import CrossStitch as Layer

        return Layer(
            tasks=len(context.tasks),
            units=self.units,
            alpha=self.alpha,
            activation=self.activation,
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
