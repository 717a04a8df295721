"""The reference heads: linear, so that what they show is what the embeddings hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.spec import BuildContext, PredictionTask, prediction_of

if TYPE_CHECKING:
    from mtkit.spec import TaskMistake
    from mtkit.types import Part, RowTable


class _Linear(PredictionTask):
    """A head that is linear on its inputs side by side."""

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.reference_heads.LinearHead`."""
        from mtkit.layers.reference_heads import LinearHead

        return LinearHead(self.inputs, classes=context.classes[context.name], name=context.name)


class _OnEmbeddings(_Linear):
    """A linear head on embeddings alone."""

    @model_validator(mode="after")
    def _no_predictions(self) -> Self:
        predictions = [name for name in self.inputs if prediction_of(name)]
        if predictions:
            raise ValueError(
                f"inputs are embeddings here, but {', '.join(predictions)} is the prediction of a task; "
                "the head `recommendation` reads predictions"
            )
        return self


class UserPreference(_OnEmbeddings):
    """Whether the user prefers the item: p = sigmoid(W1·[U; C] + b1), on embeddings of the user and of the item.

    Labels that only ever say yes need negatives: its row table (`sampled_negatives`) says where they come from. With a
    label of several classes the softmax over classes takes the place of the sigmoid.
    """


class Content(_OnEmbeddings):
    """What the item is about: f = sigmoid(W2·C + b2), on embeddings of the item.

    With a label of several classes the softmax over classes takes the place of the sigmoid.
    """


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
