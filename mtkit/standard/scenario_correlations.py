"""Built-in correlations for several scenarios, such as the tabs of an app, or countries."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.errors import WiringError
from mtkit.schema import Address, ColumnKind
from mtkit.spec import Activation, BuildContext, Correlation, Name
from mtkit.standard.correlations import Widths, last


class PepNet(Correlation):
    """Gates by which the scenario scales embeddings, and who is asked the layers of the tasks' networks (Chang et al., KDD 2023).

    When the same embeddings serve several scenarios and several tasks. The scenario is an encoder of its own
    (`reads = ["context.tab"]`), so any features may say what it is; there may be many.
    """

    joined: ClassVar[bool] = False

    apply: Literal["pair"] = Field("pair", description="`on` is gated under the correlation's name")
    on: tuple[Name, ...] = Field(min_length=2, description="embeddings that it works on, those that gate among them")
    domain: tuple[Name, ...] = Field(
        min_length=1, description="embeddings of `on` that gate all others: the scenario's"
    )
    personal: tuple[Name, ...] = Field(
        min_length=1, description="embeddings of `on` that gate the layers of the tasks: those of user and item"
    )
    units: Widths = Field(
        64, description="width of each layer of a task's network; the last is that of the task states"
    )
    activation: Activation = Field("relu", description="of each layer")

    @model_validator(mode="after")
    def _gates_are_given(self) -> Self:
        for key in ("domain", "personal"):
            if missing := [name for name in getattr(self, key) if name not in self.on]:
                raise ValueError(f"{key} names {', '.join(missing)}, which `on` does not; add it there")
        if not set(self.on) - set(self.domain):
            raise ValueError("domain has all embeddings of `on`; expected others there, which it gates")
        return self

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.pepnet.PepNet`."""
        from mtkit.layers.pepnet import PepNet as Layer

        return Layer(
            tasks=len(context.tasks),
            domain=[self.on.index(name) for name in self.domain],
            personal=[self.on.index(name) for name in self.personal],
            units=self.units,
            activation=self.activation,
            name=context.name,
        )


class Star(Correlation):
    """Layers with weights of each scenario, each the product of shared weights and its own (Sheng et al., CIKM 2021).

    When there are few scenarios (tens), of which each has data enough for weights of its own. A value that training does not know
    is answered by the shared weights. With layer normalization instead of partitioned normalization.
    """

    features_kinds: ClassVar[tuple[ColumnKind, ...]] = ("categorical",)

    apply: Literal["pair"] = Field(
        "pair", description="`on`, joined, goes through the layers under the correlation's name"
    )
    scenario: Address = Field(description="the categorical column that says which scenario a row is of (`context.tab`)")
    units: Widths = Field(64, description="width of each layer")
    beside: Annotated[int, Field(ge=0)] = Field(
        8, description="width of the auxiliary network, which reads an embedding of the scenario; 0 = without"
    )
    activation: Activation = Field("relu", description="of each layer")

    @property
    def features(self) -> tuple[Address, ...]:
        """The scenario."""
        return (self.scenario,)

    def state_width(self, width: int) -> int:
        """The last of `units`."""
        return last(self.units)

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.star.Star`.

        Raises:
            WiringError: a row has several scenarios.
        """
        info = context.features[self.scenario]
        if info.listed or not info.size:
            raise WiringError(
                f"correlation.{context.name}: scenario: {self.scenario} is not one of several values in each row; expected a "
                "categorical column with a vocabulary"
            )
        from mtkit.layers.star import Star as Layer

        return Layer(
            info.size,
            self.scenario,
            units=self.units,
            beside=self.beside,
            activation=self.activation,
            name=context.name,
        )
