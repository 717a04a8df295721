"""The reference heads: linear, so that what they show is what the embeddings hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.errors import nearest
from mtkit.spec import BuildContext, ClassTask, PredictionTask, TaskMistake, prediction_of
from mtkit.spec.heads import LabelForm, Measures
from mtkit.spec.prediction_heads import unfit_label

if TYPE_CHECKING:
    from mtkit.types import Part, RowTable


class _Linear(ClassTask):
    """A head of classes that is linear on its inputs side by side."""

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.reference_heads.LinearHead`."""
        from mtkit.layers.reference_heads import LinearHead

        classes = context.classes[context.name]
        return LinearHead(self.inputs, classes, self.loss_options(context), name=context.name)


class OnEmbeddings(PredictionTask):
    """A head on embeddings alone."""

    @model_validator(mode="after")
    def _no_predictions(self) -> Self:
        predictions = [name for name in self.inputs if prediction_of(name)]
        if predictions:
            raise ValueError(
                f"inputs are embeddings here, but {', '.join(predictions)} is the prediction of a task; "
                "the head `recommendation` reads predictions"
            )
        return self


class UserPreference(OnEmbeddings, _Linear):
    """Whether the user prefers the item: p = sigmoid(W1·[U; C] + b1), on embeddings of the user and of the item.

    Labels that only ever say yes need negatives: its row table (`sampled_negatives`) says where they come from. With a
    label of several classes the softmax over classes takes the place of the sigmoid.
    """


class Content(OnEmbeddings, _Linear):
    """What the item is about: f = sigmoid(W2·C + b2), on embeddings of the item.

    With a label of several classes the softmax over classes takes the place of the sigmoid.
    """


class MultiLabel(OnEmbeddings):
    """Which of several classes apply, any number of them: p = sigmoid(W·x + b) of each class, x being its inputs side by side.

    The label is a column declared with `multi_label = true`, whose classes are those of the training rows, or of the catalog
    for labels of an entity; or several labels of 0 and 1, each a class, and rows count that have all of them. The loss is the
    mean of the classes' cross-entropies.
    """

    multi_label: ClassVar[bool] = True

    label: str | Annotated[tuple[str, ...], Field(min_length=2)] = Field(  # type: ignore[assignment]
        description='label declared with `multi_label = true`, or several labels of 0 and 1 (`["click", "like"]`)'
    )

    @property
    def predicts(self) -> str:
        """The label, or the names of several."""
        return self.label if isinstance(self.label, str) else " + ".join(self.label)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label, or several."""
        return (self.label,) if isinstance(self.label, str) else self.label

    def metric_labels(self, measures: Measures) -> tuple[str, ...]:
        """The metrics of any number of classes."""
        return tuple(name for name, metric in measures.prediction_metrics.items() if "multi_label" in metric.labels)

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """Labels that are not there, or not of any number of classes, or of which no row has a value."""
        table = tables[self.rows]["train"]
        for message in (*map(partial(self._unfit, table), self.labels), self.unfit_negatives(table)):
            if message:
                yield ("label",), message
                return
        if not (table.weights[self.predicts] > 0).any():
            yield ("label",), f"no training row of {table.name!r} has a value of {self.predicts}"

    def _unfit(self, table: RowTable, label: str) -> str:
        """Why it cannot learn a label of the table; empty if it can."""
        known, classes = f"label {label!r} of the training rows of {table.name!r}", table.classes.get(label, ())
        if label not in table.labels or (len(self.labels) > 1 and not classes):
            return unfit_label(table, label, numeric=False)
        if len(self.labels) > 1:
            return f"{known} has classes; expected labels of 0 and 1, or a single one"
        if table.labels[label].ndim == 1:
            return f"{known} has one value in a row; expected a column with multi_label = true, or several labels of 0 and 1"
        return "" if len(classes) > 1 else f"{known} has {len(classes) or 'no'} classes; expected at least two"

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.reference_heads.MultiLabelHead`."""
        from mtkit.layers.reference_heads import MultiLabelHead

        return MultiLabelHead(self.inputs, context.classes[context.name], name=context.name)


class Recommendation(_Linear):
    """Whether to recommend: r = sigmoid(W3·[U; f] + b3), on embeddings of the user and predictions f of other tasks.

    f is a probability, or one per class. With a label of several classes the softmax over classes takes the place of
    the sigmoid.
    """

    @model_validator(mode="after")
    def _a_prediction(self) -> Self:
        if not any(map(prediction_of, self.inputs)):
            raise ValueError(
                f"inputs need the prediction of another task, `task.NAME`, but are {list(self.inputs)}; "
                "the head `user_preference` reads embeddings alone"
            )
        return self


class Regression(PredictionTask):
    """A number, such as a rating or a duration: w·x + b on its inputs side by side, trained on the squared error.

    The error is on a scale of the label that follows from the training rows, so that numbers of any size train at the
    learning rates of the other tasks, with losses of their size. Predictions, metrics and what is served are in the unit
    of the data; heads that read `task.NAME` read the number on the scale, of mean 0 and standard deviation 1 or so.
    Predictions are means, also of `log`, which corrects for the logarithm by Duan's smearing estimate on the training
    rows; those of `rank` are about medians. `log` suits labels whose spread grows with their size; where many are 0, and how
    many depends on the features, its correction is too coarse, and `standard` has the smaller error.
    """

    numeric: ClassVar[bool] = True

    target: Literal["standard", "log", "rank", "none"] = Field(
        "standard",
        description="scale of the loss: (y - mean) / std, the same of log(1 + y) for y >= 0, the rank among the training "
        "rows, or y itself",
    )

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """What all predictions need of a label, and one below 0 that has no logarithm."""
        mistakes = [*super().unfit(tables)]
        yield from mistakes
        if self.target != "log" or mistakes:
            return
        rows = tables[self.rows]["train"]
        values = rows.labels[self.label][rows.weights[self.label] > 0]
        if (least := values.min()) < 0:
            yield (
                ("target",),
                (
                    f'label {self.label!r} of the training rows of {self.rows!r} is {least:g} in some, and "log" is for labels '
                    'from 0 on; set target = "standard", or "rank"'
                ),
            )

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.reference_heads.RegressionHead`."""
        from mtkit.data.label_statistics import label_statistics
        from mtkit.layers.reference_heads import RegressionHead

        statistics = {} if self.target == "none" else label_statistics(self.target, *context.labels(context.name))
        return RegressionHead(self.inputs, self.target, statistics, name=context.name)


class Count(PredictionTask):
    """A count or an amount, 0 or more, such as plays, sales or seconds: exp(w·x + b) times the mean of the training rows.

    Its loss is the Poisson deviance, or a Tweedie deviance (`power`) for amounts that are often 0 and vary the more, the
    larger they are; over that of the mean, so that it is of unit size whatever the unit. Predictions are means in the unit of
    the data, never below 0; labels need not be whole numbers. Where rows were observed for different times, give the label per
    time, and the time to `weight_by`. Heads that read `task.NAME` read the logarithm.
    """

    numeric: ClassVar[bool] = True
    form: ClassVar[LabelForm] = "count"

    power: Annotated[float, Field(ge=1, lt=2)] = Field(
        1.0,
        description="p of the variance, which grows as mean^p: 1 is Poisson, above it Tweedie (compound Poisson-gamma)",
    )

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """What all predictions need of a label, and one below 0."""
        mistakes = [*super().unfit(tables)]
        yield from mistakes
        rows = tables[self.rows]["train"]
        if not mistakes and (least := rows.labels[self.label][rows.weights[self.label] > 0].min()) < 0:
            message = f"label {self.label!r} of the training rows of {self.rows!r} is {least:g} in some, and counts are 0 or more"
            yield ("label",), f"{message}; the head `regression` is for all numbers"

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.count_head.CountHead`."""
        from mtkit.data.label_statistics import count_statistics
        from mtkit.layers.count_head import CountHead

        statistics = count_statistics(self.power, *context.labels(context.name))
        return CountHead(self.inputs, self.power, statistics, name=context.name)


class Ordinal(ClassTask):
    """One of several classes in an order, such as stars or grades: one number w·x for each row, and thresholds between classes.

    P(class <= k) = sigmoid(threshold_k - w·x) (proportional odds): what moves a row up moves it past all thresholds alike, so
    that neighbors of a class learn from it. Classes that are numbers are in the order of numbers; others, in that of `order`.
    """

    form: ClassVar[LabelForm] = "ordinal"

    order: tuple[str, ...] = Field(
        (), description='classes from the lowest to the highest (`["low", "middle", "high"]`); default: that of numbers'
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.order)) < len(self.order):
            raise ValueError(f"order has classes twice: {', '.join(self.order)}")
        return self

    def in_order(self, classes: Sequence[str]) -> Sequence[str]:
        """The classes as `order` says, or as numbers; as they are where neither has all of them."""
        if self.order:
            return sorted(classes, key=self.order.index) if set(classes) <= set(self.order) else classes
        return sorted(classes, key=float) if all(map(_is_number, classes)) else classes

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """What all classes need of a label, and an order that does not have them."""
        mistakes = [*super().unfit(tables)]
        yield from mistakes
        if not mistakes:
            yield from self._unfit_order(tables[self.rows]["train"].classes.get(self.label, ()))

    def _unfit_order(self, classes: tuple[str, ...]) -> Iterator[TaskMistake]:
        shown = f"label {self.label!r}"
        if len(classes) < 3:
            yield ("label",), f"{shown} has two classes, which need no order; the head `content` predicts them"
        elif self.order and (lacking := [name for name in classes if name not in self.order]):
            yield ("order",), f"{shown} has the class {lacking[0]!r}, too; {nearest(lacking[0], self.order)}"
        elif not self.order and not all(map(_is_number, classes)):
            message = f"classes of {shown} are no numbers ({', '.join(classes[:3])}), so their order is not known"
            yield ("order",), f'{message}; say it, from the lowest to the highest: order = ["{classes[0]}", ...]'
        elif tuple(self.in_order(classes)) != classes:
            yield ("order",), f"another task orders the classes of {shown} otherwise; give both the same order"

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.ordinal_head.OrdinalHead`."""
        from mtkit.data.label_statistics import thresholds
        from mtkit.layers.ordinal_head import OrdinalHead

        classes = context.classes[context.name]
        begin = thresholds(*context.labels(context.name), classes)
        return OrdinalHead(self.inputs, classes, begin, self.loss_options(context), name=context.name)


class Pairwise(PredictionTask):
    """An order of a user's rows: scores w·x, of which those of rows with label 1 shall be above those with 0.

    The loss of a row with 1 is the mean over the rows with 0 of the same user in the batch of log(1 + exp(other - own)); other
    rows are in no pair and have none. So batches have to hold several rows of a user: use a large `batch_size`, by whose square
    its memory grows. Scores are no probabilities, and only metrics of order are measured (`auc`, `pr_auc`, `gauc`).
    """

    form: ClassVar[LabelForm] = "scores"
    #: An order of rows is the same with some of the negatives.
    corrects_negatives: ClassVar[bool] = True

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """What all predictions need of a label, one of several classes, and rows without pairs."""
        mistakes = [*super().unfit(tables)]
        yield from mistakes
        if mistakes:
            return
        table = tables[self.rows]["train"]
        if len(classes := table.classes.get(self.label, ())) > 2:
            yield (
                ("label",),
                f"label {self.label!r} has {len(classes)} classes; expected 0 and 1, to tell which rows are above",
            )
        elif not _has_pairs(table, self.label):
            message = (
                f"no {next(iter(table.ids), 'user')} has rows of {self.rows!r} with 0 and with 1 in {self.label!r}"
            )
            yield (
                ("label",),
                f"{message}, so there are no pairs; the head `user_preference` looks at each row for itself",
            )

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.pairwise_head.PairwiseHead`."""
        from mtkit.layers.pairwise_head import PairwiseHead

        return PairwiseHead(self.inputs, name=context.name)


def _is_number(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def _has_pairs(table: RowTable, label: str) -> bool:
    """Whether who acts has training rows of both kinds, in one case at least."""
    import numpy as np

    if not table.ids:
        return False
    there = table.weights[label] > 0
    acting, positive = next(iter(table.ids.values()))[there], table.labels[label][there] > 0
    return bool(np.intersect1d(acting[positive], acting[~positive]).size)
