"""Kinds that a model is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from mtkit.conditions import Where
from mtkit.schema import Address, ColumnKind
from mtkit.spec.base import FeatureInfo, Name, PositiveInt, Spec
from mtkit.spec.neighborhood import Neighborhood

if TYPE_CHECKING:
    import numpy as np


def _no_labels(task: str) -> tuple[np.ndarray, np.ndarray]:
    raise LookupError(f"there are no rows from which labels of {task!r} could be learned")


@dataclass(frozen=True)
class BuildContext:
    """What a component may know when it is built.

    Attributes:
        name: the component's name in the recipe.
        tasks: names of all tasks, in recipe order; for a correlation, of those that it runs for.
        features: address -> how it arrives; holds derived columns too.
        sizes: entity, or role -> number of rows of its table, the unknown included.
        classes: prediction task -> number of classes, 2 for binary labels.
        candidates: retrieval task -> number of rows of the table that it ranks, the unknown included.
        cache_dir: where results that depend on content alone may be kept between runs.
        column: `(entity or role, column)` -> raw values of the entity table, `[rows]` (row 0 is None); `id` for the ids.
        encoders: the encoders of the recipe by name, for heads that train one.
        labels: prediction task -> labels of its training rows as they are in the data, and what the rows count for the task,
            `[rows]` each.
        counters: numbers that end in `metrics.json` under `timing` (`texts_encoded`).
        class_names: prediction task -> names of its label's classes, in the order of their numbers; empty for labels of 0 and
            1, and for numbers.
        kept_negatives: prediction task -> which share of the negatives of its label are among its training rows, where that are
            not all: log-odds that are learned from these are too high by log(1 / share).
        roles: of interactions, in the order of their columns: who acts, what is acted on, and others.
        hidden: what training hides of some rows (`train.hide`): roles, addresses, and `encoder.NAME`.
    """

    name: str
    tasks: tuple[str, ...]
    features: Mapping[str, FeatureInfo]
    sizes: Mapping[str, int]
    classes: Mapping[str, int]
    candidates: Mapping[str, int]
    cache_dir: Path
    column: Callable[[str, str], np.ndarray]
    encoders: Mapping[str, Encoder] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kept_negatives: Mapping[str, float] = field(default_factory=dict)
    labels: Callable[[str], tuple[np.ndarray, np.ndarray]] = _no_labels
    roles: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ServingInput:
    """What a request carries for an entity that is not in the data.

    Attributes:
        dtype: name of a TensorFlow type (`int32`).
        shape: after the axis of rows; None = any length.
        about: what it holds, for those who call the servable.
    """

    dtype: str
    shape: tuple[int | None, ...] = ()
    about: str = ""


class Encoder(Spec):
    """Turns the features it reads into one embedding per row.

    The layer is called with a dictionary address -> tensor: exactly the addresses of `reads` and those that `derive`
    added, and for `history.<role>` also `history.age` (float32 `[rows, n]`, days), and `catalog.<encoder>` for `content`.
    Columns of past events (`history.rating`) are read behind `history.<role>`: int32 `[rows, n]`, or float32 `[rows, n, width]`,
    0 where it is 0. One that has a `neighborhood` gets that in the place of `history.<role>`.
    It returns `[rows, width]`. If the layer has a method `prepare`, that is called once per step with the `catalog.<encoder>`,
    and the tensors that it returns take their place. If it has a method `penalties`, that is called in training as the layer
    is, and says what each row adds to the loss, float32 `[rows]`, or None: the core adds their mean over the rows that a step
    encodes, on however many replicas, and shows it as `ENCODER.penalty`; an attribute `penalizes` that is False says that it is
    always None. (Keras' `add_loss` keeps what the last of a layer's calls in a step adds.)
    """

    kind: ClassVar[str] = "encoder"
    #: Kinds of columns that `reads` may name; empty = any.
    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ()

    reads: tuple[Address, ...] = Field(min_length=1, description="addresses of the features it reads")
    dim: PositiveInt = Field(64, description="width of the embedding")

    @property
    def width(self) -> int:
        """Of what its layer returns: `dim`, or a multiple of it where the embedding is several fields side by side."""
        return self.dim

    @property
    def content(self) -> tuple[str, ...]:
        """Names of encoders of one entity whose embeddings of the whole catalog this encoder needs as inputs."""
        return ()

    @property
    def monotone_in(self) -> tuple[Address, ...]:
        """Numbers among `reads` with each of which no entry of its output ever falls, or none ever rises; empty = none."""
        return ()

    @property
    def whole_limit(self) -> int | None:
        """The largest number of rows of its entity that a training step can encode; None = any number.

        Where there is a limit, a step encodes the rows of its batches alone, unless a head or a history needs all rows.
        """
        return None

    @property
    def history_length(self) -> int:
        """How many of the last events of a past (`history.item`) it is given for each row; 0 = it reads no past."""
        return 0

    @property
    def reads_sequences(self) -> bool:
        """Whether its layer has a method `at`: of rows that are places in sequences, it reads the past of each sequence once.

        `at(inputs, sequence, place, training=)` is called with what the layer is called with, of one row for each sequence, and
        returns `[rows, dim]`: what a call would give for the past of sequence `sequence[row]` up to its place `place[row]`.
        """
        return False

    @property
    def history_where(self) -> Where | None:
        """A condition on past events: it is given the last of those for which it holds; None = of all."""
        return None

    @property
    def neighborhood(self) -> Neighborhood | None:
        """Which neighbors of a row it is given, of a graph of past events; None = it reads no graph.

        It reads `history.<role>`, of what is acted on, too: so its embedding is of a row and its moment.
        """
        return None

    @property
    def past_conditions(self) -> tuple[Where, ...]:
        """All conditions by which it chooses among past events."""
        own = () if self.history_where is None else (self.history_where,)
        return own if self.neighborhood is None else own + self.neighborhood.conditions

    def table_rows(self, sizes: Mapping[str, int]) -> int:
        """How many rows of width `dim` its large tables of weights have, by which memory is estimated; 0 = none.

        Args:
            sizes: entity, or role -> number of rows of its table.
        """
        return 0

    def numbers_per_row(self, sizes: Mapping[str, int]) -> int:
        """How many numbers a step holds for each row that goes through it, by which memory is estimated."""
        return self.dim

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the user's that `derive` reads; a run keeps their checksums and refuses to go on with others."""
        return ()

    def derive(self, context: BuildContext) -> Mapping[str, np.ndarray]:
        """New static columns of entity tables (`item.text/NAME` -> `[rows, width]`), computed once per distinct value.

        `context.features` need not be there: metrics that compare items ask for them without a model, too.
        """
        return {}

    def derivation(self, context: BuildContext) -> Any:
        """A tf.Module, such as a tf_keras layer, that computes the columns of `derive` for entities not in the data.

        It has an attribute `inputs`, name -> `ServingInput`, and is called with name -> `[rows, *shape]`; it returns
        address -> `[rows, width]`. None: such entities cannot be served.
        """
        return None

    def string_derivation(self, context: BuildContext) -> Any:
        """As `derivation`, but texts come as strings, and become tokens in the graph; the same where there are none.

        Only asked for where `string_refusal` is empty.
        """
        return self.derivation(context)

    def string_refusal(self, context: BuildContext) -> str:
        """Why texts cannot come as strings; empty if they can, or if there are none."""
        return ""

    def build(self, context: BuildContext) -> Any:
        """A tf_keras layer."""
        raise NotImplementedError


class Correlation(Spec):
    """Lets tasks inform one another: task states in, task states out.

    The layer takes `[rows, dim]` (one state shared by all tasks) or `[rows, tasks, dim]` and returns `[rows, tasks, dim]`, or
    one state for all tasks again, `[rows, dim]`, or a `mtkit.layers.task_states.TaskStates`, which says more. The axis has the
    tasks of its `BuildContext`.
    With `apply = "each"` every named embedding gets a layer of its own, so that what depends on the user alone still does; with
    `share` they go through one layer, each for itself. With `apply = "pair"` the embeddings of `on` are concatenated, and the
    result has the component's name; the layer may read `features` of the row beside them.

    A layer whose spec has `auxiliary` losses has a method of that name: of the tasks that train on a row table it gets task ->
    prediction, as other tasks read it, and returns name -> what each row costs, float32 `[rows]`. The core adds their weighted
    means over the rows of a step to what is minimized, beside the balanced losses of the tasks.
    """

    kind: ClassVar[str] = "correlation"
    #: Whether a pair's layer takes the embeddings of `on` concatenated, or as a list.
    joined: ClassVar[bool] = True
    #: Whether the layer is called with `shared=`, the state that the correlation before it handed on beside those of the
    #: tasks (`mtkit.layers.task_states.TaskStates`), None from the first.
    takes_shared: ClassVar[bool] = False
    #: Kinds of columns that `features` may name; empty = any.
    features_kinds: ClassVar[tuple[ColumnKind, ...]] = ()

    apply: Literal["each", "pair"] = Field("each", description="each embedding for itself, or all of `on` joined")
    on: tuple[Name, ...] = Field((), description="embeddings it works on; empty = all")
    tasks: Literal["all", "reading"] = Field(
        "all",
        description="tasks that it runs for: all, or those that read the embedding, as do then those after it",
    )
    share: bool = Field(
        False, description="one layer for all embeddings of `on`, which are equally wide, instead of one for each"
    )

    @field_validator("share")
    @classmethod
    def _shares_between_embeddings(cls, share: bool, info: ValidationInfo) -> bool:
        if share and info.data.get("apply") == "pair":
            raise ValueError('share = true is one layer for several embeddings; expected apply = "each" with it')
        if share and info.data.get("tasks") == "reading":
            raise ValueError('share = true is one layer for the same tasks; expected tasks = "all" with it')
        return share

    @property
    def features(self) -> tuple[Address, ...]:
        """Of a pair: features of the row, or of its entities, that the layer is called with, `features=`: address -> tensor.

        They come as encoders are called with them. Not of past events, nor of what was known before.
        """
        return ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the user's that `build` reads; a run keeps their checksums and refuses to go on with others."""
        return ()

    @property
    def auxiliary(self) -> Mapping[str, float]:
        """Losses that the layer adds to those of the tasks: name -> weight."""
        return {}

    def state_width(self, width: int) -> int | None:
        """How wide the states are that it hands on, of an input so wide; None where that is told by its layer alone."""
        return None

    def misfit(self, width: int, tasks: int) -> tuple[str, str]:
        """Why it cannot take an input so wide: the key of its table, and what is wrong; both empty if it can.

        Args:
            width: of the input; of a pair whose layer takes a list, of each part of it.
            tasks: how many it runs for.
        """
        return "", ""

    def mistakes(self, tasks: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What does not fit the tasks of the recipe: keys and indices, and what is wrong there.

        Args:
            tasks: name -> `TaskHead`; None stands for one that is not valid.
        """
        yield from ()

    def among(self, tasks: Sequence[str]) -> Correlation:
        """The same where there are these tasks alone, in a recipe that was made for more; of those it names, these."""
        return self

    def build(self, context: BuildContext) -> Any:
        """A tf_keras layer."""
        raise NotImplementedError


class Balancer(Spec):
    """Combines the losses of the tasks.

    The layer is called with a dictionary task -> scalar loss (global, weighted by the task's `weight`) and returns the
    scalar to minimize. One that works on gradients is a `mtkit.layers.training_step.TrainingStep` instead.
    """

    kind: ClassVar[str] = "balancer"

    def build(self, context: BuildContext) -> Any:
        """A tf_keras layer."""
        raise NotImplementedError
