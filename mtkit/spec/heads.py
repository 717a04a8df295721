"""Task heads: what they read on which rows, which figures they have, and what has to be right about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field

from mtkit.conditions import Where
from mtkit.schema import TASK, Address, Schema
from mtkit.spec.base import Name, PositiveFloat, PositiveInt, Spec
from mtkit.spec.evaluation import PredictionMetric, RankingMetric
from mtkit.spec.model import BuildContext, Encoder
from mtkit.types import ROW_WEIGHT

if TYPE_CHECKING:
    from mtkit.types import Part, RowTable

LabelForm = Literal["", "count", "ordinal", "scores", "grades"]

#: Where in the task's table, as keys and indices, and what is wrong there.
TaskMistake = tuple[tuple[str | int, ...], str]


#: What a task that predicts hands on beside its prediction, as `task.NAME/OUTPUT`: what its loss is computed from, and what its
#: last layer reads.
Output = Literal["prediction", "logits", "state"]


def prediction_of(name: str) -> str:
    """The task whose prediction, logits or state a name in `inputs` stands for; empty if it is that of an embedding."""
    address = Address(name)
    return address.column.partition("/")[0] if address.scope == TASK else ""


def output_of(name: str) -> str:
    """Which output of a task a name in `inputs` stands for: `logits` of `task.NAME/logits`, `prediction` of `task.NAME`."""
    return name.partition("/")[2] or "prediction"


def mask_name(where: Where) -> str:
    """The dense column of rows that is 1 where a condition holds, and else 0."""
    return f"where {json.dumps(where.model_dump(mode='json'), sort_keys=True)}"


def repeats_name(power: float) -> str:
    """The dense column that says what a row counts if n alike ones count n to a power together."""
    return f"repeats**{power:g}"


def query_column(by: str) -> str:
    """The dense column of rows that has the number of each row's query, by what makes one (`TaskHead.query_by`)."""
    return f"query {by}".rstrip()


@dataclass(frozen=True)
class Read:
    """Something that a task reads.

    Attributes:
        key: the key of the task's table that names it.
        name: an embedding, or `task.NAME`, what another task predicts (`task.NAME/logits`, `task.NAME/state`).
        rows: the row table on whose rows it is read; empty = on every row of its entity.
        trains: whether a training step reads it.
        embedded: whether its embedding is read, or else what its encoder is called with.
        some: of what is read of an entity, whether a training step reads some of its rows alone, which the head chooses.
    """

    key: str
    name: str
    rows: str
    trains: bool = True
    embedded: bool = True
    some: bool = False

    @property
    def whole(self) -> bool:
        """Whether a training step reads it on every row of its entity."""
        return self.trains and not self.rows and not self.some


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
    def task(self) -> Mapping[str, TaskHead | None]:
        """Tasks by name."""

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
    #: classes in their order; `scores`, an order of rows and no probabilities; `grades`, such an order by numbers of how relevant
    #: rows are; empty = what the label is.
    form: ClassVar[LabelForm] = ""
    #: Whether its evaluation measures baselines of its own beside the model, in the same pass (`Measured.beside`).
    brings_baselines: ClassVar[bool] = False
    #: Whether names that it reads may be outputs of other tasks, `task.NAME` or `task.NAME/logits`.
    reads_predictions: ClassVar[bool] = False
    #: If it predicts: what other tasks may read of it.
    hands_on: ClassVar[tuple[Output, ...]] = ("prediction",)
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
    def query_by(self) -> str | None:
        """What its rows have in common that belong to one query, whose rows come into a step together: a role, or a column.

        Empty = who acts. None = rows are drawn one by one.
        """
        return None

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

    @property
    def below_popularity(self) -> str:
        """Of a head that `ranks`: what its loss may have done where one order for everyone is better; empty = nothing."""
        return ""

    def reads(self) -> tuple[Read, ...]:
        """Everything that it reads."""
        raise NotImplementedError

    def parts(self, name: str) -> Mapping[str, str]:
        """What its layer's `parts` gives beside its answers: name -> what it is.

        Args:
            name: of the task.
        """
        return {}

    def in_order(self, classes: Sequence[str]) -> Sequence[str]:
        """The classes of its label in the order of their numbers, if it has one for them; default: as they are."""
        return classes

    @property
    def equally_wide(self) -> tuple[Name, ...]:
        """Embeddings that it reads and that have to be equally wide, as they are added up or multiplied; empty = any widths."""
        return ()

    @property
    def raised_by(self) -> tuple[Name, ...]:
        """Embeddings with whose entries what it predicts never falls, whatever it learns; empty = none."""
        return ()

    def candidates_of_step(self, rows: int, items: int) -> int:
        """Of a head that `ranks`: how many candidates each row of a step is ranked against, of a catalog of `items`."""
        return items if any(read.whole for read in self.reads()) else rows

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
