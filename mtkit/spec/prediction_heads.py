"""Task heads that predict a label of their row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from mtkit.conditions import Where
from mtkit.errors import nearest
from mtkit.schema import Address
from mtkit.spec.heads import Measures, Output, Read, TaskHead, TaskMistake, Wiring

if TYPE_CHECKING:
    from mtkit.types import Part, RowTable


class PredictionTask(TaskHead):
    """A head that predicts a label of its row. Inputs may be outputs of other tasks: `task.NAME`, `task.NAME/logits`.

    The layer is a `mtkit.heads.PredictionHead`.
    """

    baseline_form: ClassVar[str] = "prediction"
    reads_predictions: ClassVar[bool] = True
    hands_on: ClassVar[tuple[Output, ...]] = ("prediction", "logits", "state")
    #: Whether its layer corrects what it predicts where only a share of the label's negatives are among the training rows
    #: (`BuildContext.kept_negatives`); others are refused there.
    corrects_negatives: ClassVar[bool] = False

    inputs: tuple[str, ...] = Field(
        min_length=1,
        description="embeddings it reads, and of other tasks `task.NAME`, `task.NAME/logits`, `task.NAME/state`",
    )
    label: str = Field(description="label of the row table (`coupon`), or of an entity (`item.department`)")
    stop_gradient: bool = Field(False, description="do not train the tasks of which it reads something")
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
            f"row table {table.name!r} has fewer rows with 0 in {lacking[0]!r} for each with 1, by which this head would predict "
            "too much; leave keep_negatives and repeat_positives out, or predict the label by a head of classes (`content`, "
            "`user_preference`)"
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
