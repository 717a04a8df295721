"""Base classes of the specs: what a recipe's tables become, one base per kind (no TensorFlow).

A component is a frozen *spec* (its declaration: validation, defaults, documentation, JSON schema in one) in a module that
does not import TensorFlow. `spec.build(context)` imports what it needs and returns an ordinary tf_keras layer. A plugin
offers a spec class under an entry point of the group `mtkit.<kind>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np

    from mtkit.schema import Schema
    from mtkit.types import Dataset, Events, Fold, LabeledRows, Part, Ranking, RowTable

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Address = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[A-Za-z0-9_]+$")]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Activation = Literal["relu", "gelu", "swish"]


class Spec(BaseModel):
    """A component as declared. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str]
    #: Whether a part of a model trains the same on several replicas as on one. Recipes with a part that does not are
    #: refused where there are several.
    replicable: ClassVar[bool] = True


@dataclass(frozen=True)
class FeatureInfo:
    """How an address arrives at an encoder.

    Attributes:
        size: for integer features, the number of values (0 = unknown or missing); 0 for float features.
        width: for float features, the length of the last axis; 0 for integer features.
    """

    size: int = 0
    width: int = 0


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


class DataSource(Spec):
    """Yields raw tables under a declared schema."""

    kind: ClassVar[str] = "data_source"

    def schema(self) -> Schema:  # type: ignore[override]  # pydantic's own `schema` is deprecated and of no use here
        """The declared columns, without reading the data."""
        raise NotImplementedError

    def load(self) -> Dataset:
        """The raw tables.

        Raises:
            DataError: files are missing or do not have the declared columns.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Log:
    """Interactions as a split sees them: who acted, in which group, and when.

    Attributes:
        user: int64 `[interactions]`, number of the user, 0 where the id is null; None where data have no users.
        group: int64 `[interactions]`, number of the basket or session, from 0 on, each of one user; every interaction
            is its own group where data have none. Numbers of a user follow the order of the data.
        time: int64 `[interactions]`, seconds; None where data have none.
    """

    user: np.ndarray | None
    group: np.ndarray
    time: np.ndarray | None


@dataclass(frozen=True)
class Cut:
    """What is known, and what is to be predicted: moments in seconds on a clock on which every interaction has its own.

    Attributes:
        name: `valid` or `test`.
        cut: what lies strictly before it is known: the past of what is evaluated.
        end: what lies in `[cut, end)` is evaluated; what lies after is not there.
        fit: the model is trained on what lies strictly before it; None = `cut`.
        clock: int64 `[interactions]`, the moment of each interaction; None = its time.
        about: what is evaluated, in words.
    """

    name: str
    cut: int
    end: int
    fit: int | None = None
    clock: np.ndarray | None = field(default=None, compare=False)
    about: str = ""


class Split(Spec):
    """Says which interactions train, which validate and which test: lays them on a clock, and cuts it.

    All else follows from the clock: histories, statistics and baselines know what lies strictly before their moment.
    A split by time takes the times as they are. Another one sets the clock so that, for every user, what is known lies
    before the cut and what is evaluated after it.
    """

    kind: ClassVar[str] = "split"

    refit: bool = Field(
        True,
        description="whether the model is trained anew on training and validation before the test; if not, the one "
        "that was trained for validation is tested",
    )

    def cuts(self, log: Log) -> tuple[Cut, Cut]:
        """The cuts for validation and test.

        Raises:
            DataError: a part would be empty, or the data lack what the split needs.
        """
        raise NotImplementedError

    def each(self) -> tuple[Split, ...]:
        """The splits of one run, one after another; more than one where results are means over folds."""
        return (self,)


class Rows(Spec):
    """Makes a row table of a fold, one part at a time."""

    kind: ClassVar[str] = "rows"
    #: Whether rows are drawn at random; such rows are kept in the run directory.
    drawn: ClassVar[bool] = False

    batch_size: PositiveInt = Field(description="global rows per training step")

    def make(self, fold: Fold, part: Part) -> RowTable:
        """The rows to train on, or to be evaluated on, with features as of each row.

        Raises:
            DataError: the part would be empty.
        """
        raise NotImplementedError


class Preprocessor(Spec):
    """Learns on training rows, and applies as TensorFlow ops in training and in the servable alike."""

    kind: ClassVar[str] = "preprocessor"

    columns: tuple[Address, ...] = Field(description="addresses it applies to, each for itself")

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """What is learned from raw training values of one column: JSON-able state."""
        raise NotImplementedError

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """How the column arrives at encoders once preprocessed."""
        raise NotImplementedError

    def build(self, state: Mapping[str, Any]) -> Any:
        """A tf_keras layer from raw `[rows]` (string, or float32 with nan) to int32 `[rows]` or float32 `[rows, width]`."""
        raise NotImplementedError


class Encoder(Spec):
    """Turns the features it reads into one embedding per row.

    The layer is called with a dictionary address -> tensor: exactly the addresses of `reads` and those that `derive`
    added, and for `history.<entity>` also `history.age` (float32 `[rows, n]`, days), and `catalog.<encoder>` for `content`.
    It returns `[rows, dim]`.
    """

    kind: ClassVar[str] = "encoder"

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
        """New static columns of entity tables (`item.text/NAME` -> `[rows, width]`), computed once per distinct value."""
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

    The layer's methods are those of `mtkit.heads.PredictionHead` or `mtkit.heads.RetrievalHead`.
    """

    kind: ClassVar[str] = "task_head"
    #: `prediction`: one output per row. `batch`: retrieval against the candidates of the global batch. `catalog`:
    #: retrieval against every item.
    form: ClassVar[Literal["prediction", "batch", "catalog"]]

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


class Balancer(Spec):
    """Combines the losses of the tasks.

    The layer is called with a dictionary task -> scalar loss (global, weighted by the task's `weight`) and returns the
    scalar to minimize.
    """

    kind: ClassVar[str] = "balancer"

    def build(self, context: BuildContext) -> Any:
        """A tf_keras layer."""
        raise NotImplementedError


class RankingMetric(Spec):
    """A metric over the top of a ranking, or over all of it."""

    kind: ClassVar[str] = "ranking_metric"
    #: Whether less is better.
    lower_is_better: ClassVar[bool] = False
    #: Whether it is over the top k; one that is not is over the whole ranking, reads `Ranking.targets`, and has no `@k`.
    cutoff: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[Address, ...]:
        """Addresses of the item columns that it needs in `Ranking.vectors`."""
        return ()

    def keys(self, name: str, k: Sequence[int]) -> dict[str, int]:
        """`name[@k]` -> cutoff, for the cutoffs of a recipe."""
        return {f"{name}@{cutoff}": cutoff for cutoff in k} if self.cutoff else {name: max(k)}

    @property
    def by_row(self) -> bool:
        """Whether it is the mean of `per_row`, so that users can be drawn anew and compared."""
        return type(self).per_row is not RankingMetric.per_row

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` at cutoff `k` (at most `ranking.items.shape[1]`)."""
        raise NotImplementedError

    def value(self, ranking: Ranking, k: int) -> float:
        """The metric: the mean over rows, unless it is defined over all rows together; nan where no row was ranked."""
        values = self.per_row(ranking, k)
        return float(values.mean()) if len(values) else float("nan")


Contributions = tuple["np.ndarray", "np.ndarray"]
"""Values and weights of rows, as `PredictionMetric.contributions` gives them."""


class PredictionMetric(Spec):
    """A metric over predictions and labels."""

    kind: ClassVar[str] = "prediction_metric"
    #: Some of `binary`, `classes` and `numeric`.
    labels: ClassVar[frozenset[str]]
    #: Whether less is better.
    lower_is_better: ClassVar[bool] = False

    def value(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float:
        """The metric over rows.

        Args:
            labels: `[rows]`, 0/1 or class numbers.
            predictions: probabilities, `[rows]` for binary labels, `[rows, classes]` otherwise.
            weights: float32 `[rows]`, positive.

        Returns:
            The value; nan where it is undefined (AUC with one class).
        """
        raise NotImplementedError

    def contributions(self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Contributions | None:
        """Values and weights, float64 `[rows]` each: the metric is the mean of the values by the weights.

        From their sums by user come intervals and tests. A mean, or a ratio, has the values and weights that it consists
        of. For other metrics the values are the metric plus the influence of the row, so that changes of weights change it
        to first order. None: it has no such values, or is undefined on these rows.

        Args:
            labels: as for `value`.
            predictions: as for `value`.
            weights: as for `value`.
        """
        return None


class GroupedMetric(PredictionMetric):
    """A metric within groups of rows; it is given the group of each row, which is its user."""

    def value(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
    ) -> float:
        """As for other metrics; `groups` are integers `[rows]`."""
        raise NotImplementedError

    def contributions(
        self, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
    ) -> Contributions | None:
        """As for other metrics; `groups` are integers `[rows]`."""
        return None


class Baseline(Spec):
    """Something simple that a model has to beat; fits on the same rows and scores the same candidates."""

    kind: ClassVar[str] = "baseline"
    #: `retrieval` baselines implement `rank`, `prediction` baselines implement `predict`.
    form: ClassVar[Literal["retrieval", "prediction"]]
    #: Whether a `prediction` baseline can predict numbers, too; `LabeledRows.classes` is 0 then.
    numeric: ClassVar[bool] = False

    def grid(self) -> Sequence[Baseline]:
        """The settings tried on validation, from which the best is taken; itself alone if nothing is tuned."""
        return (self,)

    def rank(self, events: Events, cut: int, items: int) -> Callable[[np.ndarray], np.ndarray] | None:
        """A scorer of the catalog; None where the baseline does not apply (a catalog too large for it).

        Args:
            events: all events; only those strictly before `cut` may be used.
            cut: seconds.
            items: number of rows of the item table, the unknown included.

        Returns:
            A function from users int32 `[rows]` to scores, floats `[rows, items]`.
        """
        raise NotImplementedError

    def predict(self, train: LabeledRows, rows: LabeledRows) -> np.ndarray | None:
        """Probabilities, `[rows]` or `[rows, classes]`; None where the baseline does not fit the task (no text to read)."""
        raise NotImplementedError


class Exporter(Spec):
    """Writes what serves the trained model."""

    kind: ClassVar[str] = "exporter"

    @property
    def strings(self) -> bool:
        """Whether requests may bring texts as strings, which encoders then have to take (`Encoder.string_derivation`)."""
        return False

    def export(self, pipeline: Any, directory: Path) -> Path:
        """Writes into a new version directory under `directory`, whole or not at all, and returns it."""
        raise NotImplementedError


BASES: Mapping[str, type[Spec]] = {
    base.kind: base
    for base in (
        DataSource, Split, Rows, Preprocessor, Encoder, Correlation, TaskHead, Balancer,
        RankingMetric, PredictionMetric, Baseline, Exporter,
    )
}  # fmt: skip
