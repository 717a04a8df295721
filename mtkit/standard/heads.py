"""The reference heads: linear, so that what they show is what the embeddings hold."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import model_validator

from mtkit.spec import BuildContext, PredictionTask, prediction_of


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
    """A number, such as a rating: w·x + b on its inputs side by side, trained on the squared error.

    The learning rate has to carry b to the mean of the label; labels far from 0 are better scaled by the data source.
    """

    numeric: ClassVar[bool] = True

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.reference_heads.RegressionHead`."""
        from mtkit.layers.reference_heads import RegressionHead

        return RegressionHead(self.inputs, name=context.name)
