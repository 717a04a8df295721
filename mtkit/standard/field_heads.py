"""Heads of classes in which features meet: factorization machines, and two networks side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from mtkit.spec import Activation, BuildContext, ClassTask, Encoder, Fraction, PositiveInt, TaskMistake, Wiring
from mtkit.standard.heads import OnEmbeddings

if TYPE_CHECKING:
    from mtkit.types import Part, RowTable

#: Widths of the layers of a network that has one, at least.
Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class Fm(OnEmbeddings, ClassTask):
    """A factorization machine over the fields of its inputs (Rendle, 2010), for a label of 0 and 1; with `hidden`, DeepFM.

    Logits are b + Σ_i w_i + Σ_{i<j} v_i · v_j (+ a network of all fields side by side; Guo et al., 2017). A `features` encoder
    with `combine = "concat"` has a field for each feature; any other embedding as wide as a field is one more. The first entry
    of field i is w_i, the others are v_i, and each head learns weights of its own for these entries, for tasks read the same.
    Inputs that are `rising` are no fields: Σ_j |u_j| x_j of their entries is added to the logits, beside all pairs.
    """

    field: Annotated[int, Field(ge=2)] | None = Field(
        None, description="width of a field; default: `dim` of the encoders among `inputs`"
    )
    hidden: tuple[PositiveInt, ...] = Field((), description="widths of the layers of a deep network beside the pairs")
    activation: Activation = Field("relu", description="of these layers")
    dropout: Fraction = Field(0.0, description="dropout rate of these layers")
    rising: tuple[str, ...] = Field(
        (),
        description="inputs with which the prediction never falls: encoders that are held to a direction (`monotone`)",
    )

    @model_validator(mode="after")
    def _rising_beside_fields(self) -> Self:
        for name in self.rising:
            if name not in self.inputs:
                raise ValueError(f"{name!r} is rising, and has to be one of inputs, {', '.join(self.inputs)}")
        if not self._fields:
            raise ValueError("all inputs are rising; expected others beside them, whose fields meet")
        return self

    @property
    def _fields(self) -> tuple[str, ...]:
        return tuple(name for name in self.inputs if name not in self.rising)

    @property
    def raised_by(self) -> tuple[str, ...]:
        """`rising`."""
        return self.rising

    def mistakes(self, name: str, wiring: Wiring) -> Iterator[TaskMistake]:
        """What all predictions need, and a width of fields that encoders do not tell."""
        yield from super().mistakes(name, wiring)
        if self.field or None in map(wiring.encoder.get, {*self._fields} & wiring.encoder.keys()):
            return
        widths = self._widths(wiring.encoder)
        if not widths:
            yield ("inputs",), "no input is an encoder, whose `dim` would be the width of a field; set `field`"
        elif len({*widths.values()}) > 1:
            shown = ", ".join(f"{name} of {dim}" for name, dim in widths.items())
            yield (
                ("inputs",),
                f"fields are of one width, but encoders differ ({shown}); give them one `dim`, or set `field`",
            )
        elif 1 in widths.values():
            yield ("inputs",), "fields of one entry have no vector; expected encoders with a `dim` of 2 or more"

    def _widths(self, encoders: Mapping[str, Encoder | None]) -> dict[str, int]:
        return {name: encoder.dim for name in self._fields if (encoder := encoders.get(name))}

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """What all classes need of a label, and more than two of them."""
        mistakes = [*super().unfit(tables)]
        yield from mistakes
        if not mistakes and (classes := tables[self.rows]["train"].classes.get(self.label, ())):
            message = f"label {self.label!r} has {len(classes)} classes; expected 0 and 1; the head `final_mlp` predicts classes"
            yield ("label",), message

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.factorization_machine.FactorizationMachine`."""
        from mtkit.data.label_statistics import thresholds
        from mtkit.layers.factorization_machine import FactorizationMachine

        return FactorizationMachine(
            inputs=self._fields,
            rising=self.rising,
            field=self.field or next(iter(self._widths(context.encoders).values())),
            hidden=self.hidden,
            activation=self.activation,
            dropout=self.dropout,
            bias=-thresholds(*context.labels(context.name), 2)[0],
            loss=self.loss_options(context),
            name=context.name,
        )


class FinalMlp(ClassTask):
    """Two networks over all inputs, each of which chooses what it reads, fused by products of their outputs (Mao et al., 2023).

    What a network reads of the inputs is decided entry by entry by a gate: by embeddings that `first_gate` and `second_gate`
    name, such as the user's for one and the item's for the other, or else by a learned vector. `features` encoders with
    `combine = "concat"` let gates tell features apart. With a label of several classes the softmax over classes takes the
    place of the sigmoid.
    """

    first: Widths = Field((128, 128), description="widths of the layers of the first network")
    second: Widths = Field((128,), description="the same of the second")
    heads: PositiveInt = Field(
        8, description="parts of the outputs of which products are taken; divides both last widths"
    )
    first_gate: tuple[str, ...] = Field(
        (), description="inputs that decide what the first network reads; empty = none does"
    )
    second_gate: tuple[str, ...] = Field((), description="the same of the second network")
    gate_hidden: tuple[PositiveInt, ...] = Field((64,), description="widths of the hidden layers of such gates")
    activation: Activation = Field("relu", description="of hidden layers")
    dropout: Fraction = Field(0.0, description="dropout rate of the layers of both networks")

    @model_validator(mode="after")
    def _parts_and_gates(self) -> Self:
        for units in (self.first, self.second):
            if units[-1] % self.heads:
                raise ValueError(
                    f"heads = {self.heads} divides the last widths of both networks, but one is {units[-1]}"
                )
        for gate in (*self.first_gate, *self.second_gate):
            if gate not in self.inputs:
                raise ValueError(f"{gate!r} decides a gate, and has to be one of inputs, {', '.join(self.inputs)}")
        return self

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.final_mlp.FinalMlpHead`."""
        from mtkit.layers.final_mlp import FinalMlpHead

        return FinalMlpHead(
            inputs=self.inputs,
            classes=context.classes[context.name],
            first=self.first,
            second=self.second,
            heads=self.heads,
            gates=(self.first_gate, self.second_gate),
            gate_hidden=self.gate_hidden,
            activation=self.activation,
            dropout=self.dropout,
            loss=self.loss_options(context),
            name=context.name,
        )
