"""Built-in correlations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from mtkit.errors import WiringError, nearest
from mtkit.spec import Activation, BuildContext, Correlation, Name, PositiveInt

if TYPE_CHECKING:
    from mtkit.spec import TaskHead

#: The width of a network's one layer, or of each of its layers.
Widths = Annotated[
    Annotated[PositiveInt, Tag("one")] | Annotated[tuple[PositiveInt, ...], Field(min_length=1), Tag("several")],
    Discriminator(lambda given: "several" if isinstance(given, list | tuple) else "one"),
]


def last(units: int | tuple[int, ...]) -> int:
    """The width of the last layer."""
    return units if isinstance(units, int) else units[-1]


class SharedBottom(Correlation):
    """Layers that all tasks share, and that give one state for all of them (Caruana, 1997).

    When tasks are alike, or data are few: the fewest weights and the fastest step. What differs is left to the heads.
    """

    units: Widths = Field(64, description="width of each layer; the last is that of the state")
    activation: Activation = Field("relu", description="of each layer")

    def state_width(self, width: int) -> int:
        """The last of `units`."""
        return last(self.units)

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

    def state_width(self, width: int) -> int:
        """The last of `units`."""
        return last(self.units)

    def misfit(self, width: int, tasks: int) -> tuple[str, str]:
        """An input that cannot be added to the mixture."""
        if not self.residual or width == last(self.units):
            return "", ""
        units = width if isinstance(self.units, int) else [*self.units[:-1], width]
        return "units", (
            f"residual = true adds the input to the mixture, but the input is {width} wide; set units = {units}, or "
            "residual = false"
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

    def state_width(self, width: int) -> int:
        """The last of `units`."""
        return last(self.units)

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

    def state_width(self, width: int) -> int:
        """The last of `units`."""
        return last(self.units)

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


class TaskAttention(Correlation):
    """Attention across tasks: row by row, each takes from the others what its query finds (Vaswani et al., NeurIPS 2017).

    When which task helps which differs from row to row: after a correlation that gives tasks their own states.
    """

    heads: PositiveInt = Field(2, description="attention heads; divide the width of the states")
    residual: bool = Field(True, description="add what is found to the state instead of replacing it")

    def state_width(self, width: int) -> int:
        """That of its input."""
        return width

    def misfit(self, width: int, tasks: int) -> tuple[str, str]:
        """Heads that do not divide the input."""
        wrong = f"does not divide the width {width} of the input; set a divisor of it"
        return ("heads", wrong) if width % self.heads else ("", "")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.task_attention.TaskAttention`."""
        from mtkit.layers.task_attention import TaskAttention as Layer

        return Layer(tasks=len(context.tasks), heads=self.heads, residual=self.residual, name=context.name)


class Aitm(Correlation):
    """Tasks that follow one another, such as click, cart, purchase: each takes over from the one before (Xi et al., KDD 2021).

    When tasks are the steps of a funnel, and later ones have few positives. The calibrator is a loss of its own, by which a step
    is at most as probable as the one before it; they are of labels of 0 and 1, on the same rows.
    """

    order: tuple[Name, ...] = Field(description="tasks that follow one another, first to last")
    units: Widths = Field(
        64, description="width of each layer of a task's network; the last is that of the task states"
    )
    calibrator: Annotated[float, Field(ge=0)] = Field(
        0.6, description="weight of the calibrator in what is minimized; 0 = without"
    )
    activation: Activation = Field("relu", description="of each layer")

    @field_validator("order")
    @classmethod
    def _once(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(order)) < len(order):
            raise ValueError(f"names a task twice: {', '.join(order)}")
        return order

    @property
    def auxiliary(self) -> Mapping[str, float]:
        """The calibrator."""
        return {"calibrator": self.calibrator} if self.calibrator and len(self.order) > 1 else {}

    def mistakes(self, tasks: Mapping[str, TaskHead | None]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Tasks that there are not, or that the calibrator cannot compare."""
        for index, name in enumerate(self.order):
            if name not in tasks:
                yield ("order", index), f"no task is called {name!r}; {nearest(name, tasks)}"
        if self.calibrator:
            for index, (before, name) in enumerate(pairwise(self.order), 1):
                if message := _not_compared(before, tasks.get(before), name, tasks.get(name)):
                    yield ("order", index), f"{message}; set calibrator = 0, or leave it out"

    def among(self, tasks: Sequence[str]) -> Aitm:
        """The order of these tasks."""
        return self.model_copy(update={"order": tuple(task for task in self.order if task in tasks)})

    def state_width(self, width: int) -> int:
        """The last of `units`."""
        return last(self.units)

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.aitm.Aitm`.

        Raises:
            WiringError: the calibrator would compare tasks of labels of several classes.
        """
        order = [task for task in self.order if task in context.tasks]
        for task in order if self.auxiliary else ():
            if context.classes[task] > 2:
                raise WiringError(
                    f"correlation.{context.name}: order: the calibrator compares probabilities of labels of 0 and 1, and "
                    f"{task!r} predicts {context.classes[task]} classes; set calibrator = 0, or leave it out"
                )
        from mtkit.layers.aitm import Aitm as Layer

        return Layer(context.tasks, order, units=self.units, activation=self.activation, name=context.name)


def _not_compared(before: str, one: TaskHead | None, name: str, other: TaskHead | None) -> str:
    """Why predictions of two tasks cannot be compared row by row; empty if they can, or if a task is not known."""
    if one is None or other is None:
        return ""
    for task, head in ((before, one), (name, other)):
        if not head.predicts or head.numeric or head.multi_label or head.form:
            return f"the calibrator compares probabilities of labels of 0 and 1, which {task!r} does not predict"
    if one.rows != other.rows:
        rows = f"they train on {one.rows!r} and {other.rows!r}"
        return f"the calibrator compares {before!r} and {name!r} on the same rows, and {rows}"
    return ""


class Stem(Correlation):
    """Embeddings of each task beside shared ones, which all tasks see and only their own trains (Su et al., AAAI 2024).

    When tasks disagree about what ids mean, so that sharing their embeddings costs: encoders are made wider, by `own` entries for
    each task behind those that are shared (`dim = 32` for two tasks with `own = 8`, of which 16 are shared). Encoders without
    `hidden` layers keep the parts apart. Parts follow the order of the tasks: begin with weights of a run of the same ones alone.
    """

    joined: ClassVar[bool] = False

    own: PositiveInt = Field(16, description="width of a task's part of each embedding; what is left is shared")
    experts: PositiveInt = Field(1, description="experts of each task")
    shared: PositiveInt = Field(1, description="experts that tasks share")
    units: Widths = Field(
        64, description="width of each layer of an expert; the last is that of the task states; one number is one layer"
    )
    activation: Activation = Field("relu", description="of the experts")

    def state_width(self, width: int) -> int:
        """The last of `units`."""
        return last(self.units)

    def misfit(self, width: int, tasks: int) -> tuple[str, str]:
        """Embeddings that are too narrow to be divided."""
        if width > (needed := tasks * self.own):
            return "", ""
        return "own", (
            f"takes {needed} numbers for {tasks} tasks, and an embedding has {width}, of which some have to be shared; set its "
            f"`dim` to {needed + self.own}, or a smaller `own`"
        )

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.stem.Stem`."""
        from mtkit.layers.stem import Stem as Layer

        return Layer(
            tasks=len(context.tasks),
            own=self.own,
            experts=self.experts,
            shared=self.shared,
            units=self.units,
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

    def state_width(self, width: int) -> int:
        """`dim`."""
        return self.dim

    def build(self, context: BuildContext) -> Any:
        """One of `mtkit.layers.fusion.FUSIONS`."""
        from mtkit.layers.fusion import FUSIONS

        return FUSIONS[self.method](self.dim, name=context.name)
