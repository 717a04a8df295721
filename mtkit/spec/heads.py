"""Task heads: what they read on which rows, which figures they have, and what has to be right about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field, field_validator

from mtkit.conditions import Where
from mtkit.errors import nearest
from mtkit.schema import SCOPES, TASK, Address, Schema
from mtkit.spec.base import Contributions, Name, PositiveFloat, PositiveInt, Spec
from mtkit.spec.evaluation import PredictionMetric, RankingMetric
from mtkit.spec.model import BuildContext, Encoder
from mtkit.types import ROW_WEIGHT

if TYPE_CHECKING:
    from mtkit.types import Part, RowTable

LabelForm = Literal["", "count", "ordinal", "scores"]

#: Where in the task's table, as keys and indices, and what is wrong there.
TaskMistake = tuple[tuple[str | int, ...], str]


def prediction_of(name: str) -> str:
    """The task whose prediction a name in `inputs` stands for (`task.NAME`); empty if it is that of an embedding."""
    address = Address(name)
    return address.column if address.scope == TASK else ""


def mask_name(where: Where) -> str:
    """The dense column of rows that is 1 where a condition holds, and else 0."""
    return f"where {json.dumps(where.model_dump(mode='json'), sort_keys=True)}"


@dataclass(frozen=True)
class Read:
    """Something that a task reads.

    Attributes:
        key: the key of the task's table that names it.
        name: an embedding, or `task.NAME`, what another task predicts.
        rows: the row table on whose rows it is read; empty = on every row of its entity.
        trains: whether a training step reads it.
        embedded: whether its embedding is read, or else what its encoder is called with.
    """

    key: str
    name: str
    rows: str
    trains: bool = True
    embedded: bool = True


class Measures(Protocol):
    """What a recipe measures: its section `evaluate`."""

    @property
    def k(self) -> Sequence[int]:
        """Cutoffs of rankings."""

    @property
    def metrics(self) -> Mapping[str, RankingMetric]:
        """Metrics of rankings by name."""

    @property
    def prediction_metrics(self) -> Mapping[str, PredictionMetric]:
        """Metrics of predictions by name."""


class Wiring(Protocol):
    """What a head may ask of the recipe that it is in, right or not: None stands for a part that is not valid."""

    @property
    def encoder(self) -> Mapping[str, Encoder | None]:
        """Encoders by name."""

    @property
    def schema(self) -> Schema | None:
        """The declared columns; None if they cannot be told."""

    def depends(self, embedding: str, *, content: bool = False) -> frozenset[Address]:
        """Addresses of the row that an embedding depends on; with `content`, also those of the catalogs that it reads."""


class TaskHead(Spec):
    """A task: what it reads, on which rows, its loss and its figures.

    The core asks a head for all that differs from one to another: the spec for what declarations tell, the layer, a
    `mtkit.heads.Head`, for the loss, the evaluation and what is served.
    """

    kind: ClassVar[str] = "task_head"
    #: Of what form a baseline has to be (`Baseline.form`) so that it stands beside the task; empty = none does.
    baseline_form: ClassVar[str] = ""
    #: Whether the label is a number, instead of 0 or 1, or a class.
    numeric: ClassVar[bool] = False
    #: Whether any number of classes of the label applies to a row.
    multi_label: ClassVar[bool] = False
    #: What it makes of its label, for metrics (`PredictionMetric.labels`): `count`, means of numbers from 0 on; `ordinal`,
    #: classes in their order; `scores`, an order of rows and no probabilities; empty = what the label is.
    form: ClassVar[LabelForm] = ""
    #: Whether its evaluation measures baselines of its own beside the model, in the same pass (`Measured.beside`).
    brings_baselines: ClassVar[bool] = False
    #: Whether names that it reads may be predictions of other tasks, `task.NAME`.
    reads_predictions: ClassVar[bool] = False
    #: Of a head that `ranks`: how many matrices of rows and candidates, float32, a training step holds at its peak, and one
    #: of evaluation, as measured; by which memory is estimated.
    step_matrices: ClassVar[int] = 4
    score_matrices: ClassVar[int] = 2
    #: Whether an export can answer `recommend` by it: it `ranks`, and its layer is a `mtkit.heads.RetrievalHead`.
    recommends: ClassVar[bool] = False

    rows: Name = Field(description="the row table it trains on")
    weight: Annotated[float, Field(ge=0)] = Field(1.0, description="weight of its loss before balancing")
    weight_by: str | None = Field(
        None,
        description="numeric or weight column that says what a row counts in its loss, metrics and baselines: of the "
        "interaction (`price`), or of an entity that the row has (`item.price`)",
    )

    judged_by: str | None = Field(
        None,
        description="its metric by which validation tells whether it still improves, such as `auc`; default: a proper score "
        "that is measured (`log_loss`, `rmse`), else its first metric; of the task of `evaluate.main`, that",
    )
    learning_rate_factor: PositiveFloat = Field(
        1.0, description="of what it alone trains: factor of train.learning_rate"
    )
    weight_decay: Annotated[float, Field(ge=0)] | None = Field(
        None, description="of what it alone trains: decoupled weight decay; default: the optimizer's"
    )
    epochs: PositiveInt | None = Field(None, description="epochs after which it leaves; default: all")

    @property
    def of_rows(self) -> Where | None:
        """Which of its rows there are for it, in training and in evaluation; None = all."""
        return None

    @property
    def scales(self) -> tuple[str, ...]:
        """Dense columns of its rows whose product says what a row counts; of rows that lack one, it is 1."""
        mask = mask_name(self.of_rows) if self.of_rows else None
        return (ROW_WEIGHT, *filter(None, (self.weight_by, mask)))

    @property
    def evaluated_on(self) -> Name:
        """The row table it is evaluated on."""
        return self.rows

    @property
    def predicts(self) -> str:
        """The label that it predicts for each row, which other tasks may read as `task.NAME`; empty = none."""
        return ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it reads; several, each a class, where they are predicted as one."""
        return (self.predicts,) if self.predicts else ()

    @property
    def ranks(self) -> tuple[Name, ...]:
        """Embeddings of the candidates of a catalog that it ranks for each row; empty = it ranks none."""
        return ()

    def reads(self) -> tuple[Read, ...]:
        """Everything that it reads."""
        raise NotImplementedError

    def in_order(self, classes: Sequence[str]) -> Sequence[str]:
        """The classes of its label in the order of their numbers, if it has one for them; default: as they are."""
        return classes

    def columns(self, part: Part) -> tuple[str, ...]:
        """Names of columns, lists and shared columns that its layer reads of the rows to train or to be evaluated on."""
        return ()

    def metric_labels(self, measures: Measures) -> tuple[str, ...]:
        """`metric[@k]` of its figures, in the order in which they are shown."""
        raise NotImplementedError

    def judging(self, measures: Measures) -> str:
        """The label of the figure by which validation judges it, where the recipe does not say."""
        return self.metric_labels(measures)[0]

    def lower_is_better(self, metric: str, measures: Measures) -> bool:
        """Whether less of a metric is better."""
        raise NotImplementedError

    def mistakes(self, name: str, wiring: Wiring) -> Iterator[TaskMistake]:
        """What does not fit in the recipe, beside names that do not exist, which the core finds.

        Args:
            name: of the task.
            wiring: the recipe.
        """
        yield from ()

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """What its row tables lack, beside columns, which the core finds.

        Args:
            tables: row table -> part -> its rows.
        """
        yield from ()

    def describe(self) -> Iterator[str]:
        """Lines that say what it reads."""
        reads: dict[str, list[str]] = {}
        for read in self.reads():
            if read.name not in reads.setdefault(read.key, []):
                reads[read.key].append(read.name)
        yield from (f"{key} {', '.join(names)}" for key, names in reads.items())

    def build(self, context: BuildContext) -> Any:
        """A layer, a `mtkit.heads.Head`."""
        raise NotImplementedError


class PredictionTask(TaskHead):
    """A head that predicts a label of its row. Inputs may be predictions of other tasks, `task.NAME`.

    The layer is a `mtkit.heads.PredictionHead`.
    """

    baseline_form: ClassVar[str] = "prediction"
    reads_predictions: ClassVar[bool] = True
    #: Whether its layer corrects what it predicts where only a share of the label's negatives are among the training rows
    #: (`BuildContext.kept_negatives`); others are refused there.
    corrects_negatives: ClassVar[bool] = False

    inputs: tuple[str, ...] = Field(min_length=1, description="embeddings it reads, and `task.NAME` for predictions")
    label: str = Field(description="label of the row table (`coupon`), or of an entity (`item.department`)")
    stop_gradient: bool = Field(False, description="do not train the tasks whose predictions it reads")
    where: Where | None = Field(
        None,
        description="which of its rows there are for it and its baselines, to train and to be evaluated on (those that were "
        "clicked): a condition, or the name of `[events.NAME]`; default: all",
    )
    calibrate: Literal["temperature", "isotonic", "none"] | None = Field(
        None,
        description="how validation corrects its probabilities; default: `temperature` for labels of 0 and 1, or of one class "
        "a row",
    )

    @field_validator("calibrate")
    @classmethod
    def _of_probabilities(cls, calibrate: str | None) -> str | None:
        if calibrate not in (None, "none") and not cls._one_label():
            raise ValueError(
                "is for labels of 0 and 1, or of one class a row, which this head does not predict; leave it out"
            )
        return calibrate

    @classmethod
    def _one_label(cls) -> bool:
        return not (cls.numeric or cls.multi_label or cls.form == "scores")

    @property
    def calibration(self) -> Literal["temperature", "isotonic"] | None:
        """How its probabilities are calibrated; None = they are not, or there are none."""
        use = self.calibrate or ("temperature" if self._one_label() else "none")
        return None if use == "none" else use

    @property
    def of_rows(self) -> Where | None:
        """`where`."""
        return self.where

    @property
    def predicts(self) -> str:
        """The label."""
        return self.label

    def reads(self) -> tuple[Read, ...]:
        """Its inputs."""
        return tuple(Read("inputs", name, self.rows) for name in self.inputs)

    def metric_labels(self, measures: Measures) -> tuple[str, ...]:
        """The names of the metrics of predictions."""
        return tuple(measures.prediction_metrics)

    def judging(self, measures: Measures) -> str:
        """A proper score: of overconfident predictions, the order may still improve when their numbers are of no use."""
        labels, metrics = self.metric_labels(measures), measures.prediction_metrics
        fitting = [name for name in labels if ("numeric" in metrics[name].labels) == self.numeric] or [*labels]
        return next((name for name in fitting if metrics[name].proper), fitting[0])

    def lower_is_better(self, metric: str, measures: Measures) -> bool:
        """What the metric says."""
        return metric in measures.prediction_metrics and measures.prediction_metrics[metric].lower_is_better

    def mistakes(self, name: str, wiring: Wiring) -> Iterator[TaskMistake]:
        """A label that the entity does not have; those of rows are known when rows are made."""
        if (schema := wiring.schema) is None:
            return
        known = [Address.of(entity, c) for entity in schema.entities for c in schema.of_kind("label", entity)]
        for label in map(Address, self.labels):
            if label.scope and label not in known:
                yield ("label",), f"no entity has a label {label!r}; {nearest(label, known)}"

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """A label that is not there, has no values, or not those that the head can learn, or that can be calibrated."""
        table = tables[self.rows]["train"]
        message = unfit_label(table, self.label, numeric=self.numeric) or self.unfit_negatives(table)
        if message:
            yield ("label",), message
        elif self.calibration == "isotonic" and (classes := table.classes.get(self.label, ())):
            message = f'is for labels of 0 and 1, and {self.label!r} has {len(classes)} classes; set "temperature"'
            yield ("calibrate",), message

    def unfit_negatives(self, table: RowTable) -> str:
        """Why it cannot learn a label of the table of which not all negatives are there; empty if it can."""
        lacking = [label for label in self.labels if label in table.kept]
        if self.corrects_negatives or not lacking:
            return ""
        return (
            f"row table {table.name!r} keeps a share of the rows with 0 in {lacking[0]!r}, by which this head would predict too "
            "much; leave keep_negatives out, or predict the label by a head of classes (`content`, `user_preference`)"
        )

    def describe(self) -> Iterator[str]:
        """The label, and the inputs."""
        yield f"label {self.predicts}"
        yield from super().describe()


def unfit_label(table: RowTable, label: str, *, numeric: bool) -> str:
    """Why no task can learn a label of the table; empty if one can."""
    import numpy as np

    if label not in table.labels:
        return f"row table {table.name!r} has no label {label!r}; {nearest(label, table.labels)}"
    values = np.unique(table.labels[label][table.weights[label] > 0])
    known = f"label {label!r} of the training rows of {table.name!r}"
    if not len(values):
        return (
            f"{known} is null in all {len(table):,}, or looks ahead of the end of training (`horizon`); expected some with a "
            "value"
        )
    classes = table.classes.get(label, ())
    several = table.labels[label].ndim > 1
    if classes and (numeric or several):
        shown = f"the classes {', '.join(classes[:3])} and so on; expected numbers"
        return f"{known} has {'any number of classes in a row, which the head `multi_label` predicts' if several else shown}"
    if not numeric and not classes and (other := values[(values != 0) & (values != 1)]).size:
        return (
            f"{known} has the value {other[0]:g}; expected 0 or 1, a column declared with several classes, or a head of "
            "numbers (`regression`)"
        )
    if len(values) == 1:
        value = repr(classes[int(values[0])]) if classes else f"{values[0]:g}"
        return f"{known} is {value} in all that have one; expected at least two values to tell apart"
    return ""


class RetrievalTask(TaskHead):
    """A head that ranks a catalog: a query that does not depend on the candidate, and candidates.

    The layer is a `mtkit.heads.RetrievalHead`.
    """

    baseline_form: ClassVar[str] = "retrieval"
    recommends: ClassVar[bool] = True
    #: Against what a training step ranks: the candidates of the global `batch`, or every item of the `catalog`.
    candidates: ClassVar[Literal["batch", "catalog"]]

    query: tuple[Name, ...] = Field(min_length=1, description="embeddings of the query side")
    candidate: tuple[Name, ...] = Field(min_length=1, description="embeddings of the candidate's entity")
    evaluate: Name | None = Field(None, description="row table with targets to evaluate on; default: `rows`")

    @property
    def positive(self) -> str:
        """The label of a row's candidate, if rows have one: those with 0 are candidates of others, and no positives."""
        return ""

    @property
    def evaluated_on(self) -> Name:
        """The table of `evaluate`, or that it trains on."""
        return self.evaluate or self.rows

    @property
    def ranks(self) -> tuple[Name, ...]:
        """The candidate's embeddings."""
        return self.candidate

    def reads(self) -> tuple[Read, ...]:
        """The query on the rows it is evaluated and trained on, the candidate in the batch, or on the whole catalog."""
        tables = dict.fromkeys((self.evaluated_on, self.rows))
        query = [Read("query", name, table) for table in tables for name in self.query]
        if self.candidates == "batch":
            query += [Read("candidate", name, self.rows) for name in self.candidate]
        whole = [Read("candidate", name, "", trains=self.candidates == "catalog") for name in self.candidate]
        return (*query, *whole)

    def columns(self, part: Part) -> tuple[str, ...]:
        """Lists of targets, where they are what rankings are judged by."""
        return ("target",) if part == "eval" else ()

    def metric_labels(self, measures: Measures) -> tuple[str, ...]:
        """The metrics of rankings at their cutoffs."""
        return tuple(key for name, metric in measures.metrics.items() for key in metric.keys(name, measures.k))

    def lower_is_better(self, metric: str, measures: Measures) -> bool:
        """What the metric says."""
        return metric in measures.metrics and measures.metrics[metric].lower_is_better

    def mistakes(self, name: str, wiring: Wiring) -> Iterator[TaskMistake]:
        """Towers that are not factorized."""
        if wiring.schema is None:
            return
        candidate = {n: wiring.depends(n, content=True) for n in self.candidate}
        scopes = {a.scope for addresses in candidate.values() for a in addresses}
        if len(scopes) > 1 or not scopes <= wiring.schema.scopes.keys():
            read = "; ".join(f"{n!r} depends on {', '.join(sorted(a))}" for n, a in candidate.items())
            message = f"a candidate must depend on the features of one entity and nothing else, but {read}"
            yield ("candidate",), message
            return
        if not scopes <= wiring.schema.roles.keys():
            roles, (scope,) = " and ".join(wiring.schema.roles), scopes
            yield (
                ("candidate",),
                f"interactions are of {roles}; read the candidate's features as theirs, not as {scope!r}",
            )
            return
        for index, embedding in enumerate(self.query):
            if of_candidate := sorted(a for a in wiring.depends(embedding) if a.scope in scopes):
                message = (
                    f"a query must not depend on the candidate of the row, but {embedding!r} depends on "
                    f"{', '.join(of_candidate)}; items of the past are read by history.{of_candidate[0].scope}"
                )
                yield ("query", index), message

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """No targets to evaluate on, or no label that says which candidates are positive."""
        if self.positive and (message := unfit_label(tables[self.rows]["train"], self.positive, numeric=False)):
            yield ("label",), message
        if "target" not in tables[self.evaluated_on]["eval"].lists:
            message = f"row table {self.evaluated_on!r} has no targets to evaluate on; set `evaluate` to one that has (`windows`)"
            yield ("rows",), message


class SelfSupervisedTask(TaskHead):
    """A head that trains an encoder on what the encoder itself reads, without labels, and measures itself.

    No other task reads it, and a servable does not answer it. The layer is a `mtkit.heads.SelfSupervisedHead`.
    """

    brings_baselines: ClassVar[bool] = True
    #: Metric -> whether less of it is better.
    metrics: ClassVar[Mapping[str, bool]]

    encoder: Name = Field(description="the encoder that it trains, of one entity that the rows have")

    def reads(self) -> tuple[Read, ...]:
        """What its encoder reads."""
        return (Read("encoder", self.encoder, self.rows, embedded=False),)

    def metric_labels(self, measures: Measures) -> tuple[str, ...]:
        """Its own metrics."""
        return tuple(self.metrics)

    def lower_is_better(self, metric: str, measures: Measures) -> bool:
        """What it says of its metrics."""
        return self.metrics[metric]

    def mistakes(self, name: str, wiring: Wiring) -> Iterator[TaskMistake]:
        """An encoder that it cannot train."""
        encoder = wiring.encoder.get(self.encoder)
        if encoder is None:
            return
        scopes = sorted({Address(address).scope for address in encoder.reads})
        if len(scopes) > 1 or scopes[0] in SCOPES:
            yield ("encoder",), f"{self.encoder!r} reads {' and '.join(scopes)}; expected an encoder of one entity"
        elif message := self.refusal(encoder):
            yield ("encoder",), message

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
