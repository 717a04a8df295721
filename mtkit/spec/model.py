"""Kinds that a model is made of, and what writes it for serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mtkit.schema import ColumnKind
from mtkit.spec.base import Address, Contributions, FeatureInfo, Name, PositiveInt, Spec

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BuildContext:
    """What a component may know when it is built.

    Attributes:
        name: the component's name in the recipe.
        tasks: names of all tasks, in recipe order.
        features: address -> how it arrives; holds derived columns too.
        sizes: entity -> number of rows of its table, the unknown included.
        classes: prediction task -> number of classes, 2 for binary labels.
        candidates: retrieval task -> number of rows of the table that it ranks, the unknown included.
        cache_dir: where results that depend on content alone may be kept between runs.
        column: `(entity, column)` -> raw values of the entity table, `[rows]` (row 0 is None); `id` for the ids.
        encoders: the encoders of the recipe by name, for heads that train one.
        counters: numbers that end in `metrics.json` under `timing` (`texts_encoded`).
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
    added, and for `history.<entity>` also `history.age` (float32 `[rows, n]`, days), and `catalog.<encoder>` for `content`.
    It returns `[rows, dim]`. If the layer has a method `prepare`, that is called once per step with the `catalog.<encoder>`,
    and the tensors that it returns take their place.
    """

    kind: ClassVar[str] = "encoder"
    #: Kinds of columns that `reads` may name; empty = any.
    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ()

    reads: tuple[Address, ...] = Field(min_length=1, description="addresses of the features it reads")
    dim: PositiveInt = Field(64, description="width of the embedding")

    @property
    def content(self) -> tuple[str, ...]:
        """Names of encoders of one entity whose embeddings of the whole catalog this encoder needs as inputs."""
        return ()

    @property
    def whole_limit(self) -> int | None:
        """The largest number of rows of its entity that a training step can encode; None = any number.

        Where there is a limit, a step encodes the rows of its batches alone, unless a head or a history needs all rows.
        """
        return None

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

    The layer takes `[rows, dim]` (one state shared by all tasks) or `[rows, tasks, dim]` and returns `[rows, tasks, dim]`.
    With `apply = "each"` every named embedding gets a layer of its own, so that what depends on the user alone still does.
    With `apply = "pair"` the embeddings of `on` are concatenated, and the result has the component's name; it may be one
    state for all tasks again, `[rows, dim]`.
    """

    kind: ClassVar[str] = "correlation"
    #: Whether a pair's layer takes the embeddings of `on` concatenated, or as a list.
    joined: ClassVar[bool] = True

    apply: Literal["each", "pair"] = Field("each", description="each embedding for itself, or all of `on` joined")
    on: tuple[Name, ...] = Field((), description="embeddings it works on; empty = all")

    def build(self, context: BuildContext) -> Any:
        """A tf_keras layer."""
        raise NotImplementedError


class TaskHead(Spec):
    """A task: what it reads, on which rows, and its loss.

    The layer's methods are those of `mtkit.heads.base.PredictionHead`, `RetrievalHead` or `SelfSupervisedHead`.
    """

    kind: ClassVar[str] = "task_head"
    #: `prediction`: one output per row. `batch`: retrieval against the candidates of the global batch. `catalog`:
    #: retrieval against every item. `self_supervised`: an encoder against what it reads.
    form: ClassVar[Literal["prediction", "batch", "catalog", "self_supervised"]]

    rows: Name = Field(description="the row table it trains on")
    weight: Annotated[float, Field(ge=0)] = Field(1.0, description="weight of its loss before balancing")

    def build(self, context: BuildContext) -> Any:
        """A tf_keras layer."""
        raise NotImplementedError


class PredictionTask(TaskHead):
    """A head that predicts a label of its row. Inputs may be predictions of other tasks, `task.NAME`."""

    form: ClassVar[Literal["prediction"]] = "prediction"
    #: Whether the label is a number, instead of 0 or 1, or a class.
    numeric: ClassVar[bool] = False

    inputs: tuple[str, ...] = Field(min_length=1, description="embeddings it reads, and `task.NAME` for predictions")
    label: str = Field(description="label of the row table (`coupon`), or of an entity (`item.department`)")
    stop_gradient: bool = Field(False, description="do not train the tasks whose predictions it reads")


class RetrievalTask(TaskHead):
    """A head that ranks a catalog: a query that does not depend on the candidate, and candidates."""

    query: tuple[Name, ...] = Field(min_length=1, description="embeddings of the query side")
    candidate: tuple[Name, ...] = Field(min_length=1, description="embeddings of the candidate's entity")
    evaluate: Name | None = Field(None, description="row table with targets to evaluate on; default: `rows`")


class SelfSupervisedTask(TaskHead):
    """A head that trains an encoder on what the encoder itself reads, without labels, and measures itself.

    No other task reads it, and a servable does not answer it.
    """

    form: ClassVar[Literal["self_supervised"]] = "self_supervised"
    #: Metric -> whether less of it is better.
    metrics: ClassVar[Mapping[str, bool]]

    encoder: Name = Field(description="the encoder that it trains, of one entity that the rows have")

    def refusal(self, encoder: Encoder) -> str:
        """Why it cannot train an encoder, as far as declarations tell; empty if it can."""
        return ""

    def values(self, means: Mapping[str, Contributions]) -> dict[str, float]:
        """Metric -> value, from values and weights of rows, float64 `[rows]` each; nan where weights are 0.

        Default: the means of what the head measures. Other metrics, such as functions of them, are added here.
        """
        import numpy as np

        totals = {name: (np.dot(values, weights), weights.sum()) for name, (values, weights) in means.items()}
        return {name: float(total / weight) if weight else float("nan") for name, (total, weight) in totals.items()}


class Balancer(Spec):
    """Combines the losses of the tasks.

    The layer is called with a dictionary task -> scalar loss (global, weighted by the task's `weight`) and returns the
    scalar to minimize.
    """

    kind: ClassVar[str] = "balancer"

    def build(self, context: BuildContext) -> Any:
        """A tf_keras layer."""
        raise NotImplementedError


class Exporter(Spec):
    """Writes what serves the trained model, or a part of it that others take up."""

    kind: ClassVar[str] = "exporter"
    #: Whether `mtkit recommend` can ask what it writes.
    servable: ClassVar[bool] = True

    @property
    def strings(self) -> bool:
        """Whether requests may bring texts as strings, which encoders then have to take (`Encoder.string_derivation`)."""
        return False

    def refusal(self, encoders: Mapping[str, Encoder | None]) -> str:
        """Why there would be nothing to write, as far as declarations tell; empty if there is something.

        Args:
            encoders: the recipe's encoders by name; None = one that is not valid.
        """
        return ""

    def export(self, pipeline: Any, directory: Path) -> Path:
        """Writes into a new version directory under `directory`, whole or not at all, and returns it."""
        raise NotImplementedError
