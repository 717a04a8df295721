"""What heads of classes have in common: options of their loss, and what does not fit the label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.errors import nearest
from mtkit.spec.base import PositiveFloat
from mtkit.spec.heads import TaskMistake
from mtkit.spec.model import BuildContext
from mtkit.spec.prediction_heads import PredictionTask

if TYPE_CHECKING:
    import numpy as np

    from mtkit.types import Part, RowTable

#: What the classes of a label of 0 and 1 are called.
BINARY = ("0", "1")


class ClassTask(PredictionTask):
    """A head of a label of two or more classes. Its layer has a `mtkit.layers.losses.ClassLoss` of `loss_options`.

    The options change the loss alone: nothing that is measured or baselines learn from counts otherwise. Probabilities follow
    the weights of classes, so with `positive_weight` they are higher than what is observed.
    """

    corrects_negatives: ClassVar[bool] = True

    class_weights: Literal["balanced"] | Mapping[str, PositiveFloat] | None = Field(
        None,
        description="what rows of a class count in the loss: `{class = weight}`, 1 for classes that it does not name; or "
        '`"balanced"`, by which all classes count alike in the training rows, and rows 1 on average',
    )
    positive_weight: PositiveFloat | None = Field(
        None, description="what rows of 1 count in the loss, for a label of 0 and 1; those of 0 count 1"
    )
    focal: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="gamma of the focal loss (Lin et al., 2017): a row counts (1 - p)^gamma, p being the probability of its "
        "class, so that rows that are right already count little; 0 = cross-entropy",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of each label that is spread evenly over all classes (Szegedy et al., 2016)"
    )

    @model_validator(mode="after")
    def _one_weight(self) -> Self:
        if self.class_weights is not None and self.positive_weight is not None:
            raise ValueError("class_weights and positive_weight both say what rows of 1 count; leave one of them out")
        return self

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """What all predictions need of a label, and weights of classes that it does not have."""
        mistakes = [*super().unfit(tables)]
        yield from mistakes
        if not mistakes:
            yield from self._unfit_weights(tables[self.rows]["train"].classes.get(self.label, BINARY))

    def _unfit_weights(self, classes: tuple[str, ...]) -> Iterator[TaskMistake]:
        if self.positive_weight is not None and len(classes) > 2:
            yield (
                ("positive_weight",),
                (
                    f"label {self.label!r} has {len(classes)} classes, none of which is the positive one; weigh them by "
                    "class_weights"
                ),
            )
        if isinstance(self.class_weights, Mapping):
            for name in self.class_weights:
                if name not in classes:
                    message = f"label {self.label!r} has no class {name!r}; {nearest(name, classes)}"
                    yield ("class_weights",), message

    def loss_options(self, context: BuildContext) -> dict[str, Any]:
        """The arguments of a `mtkit.layers.losses.ClassLoss` beside the number of classes, JSON-able; those set alone."""
        found: dict[str, Any] = {
            "weights": self._weights(context),
            "focal": self.focal,
            "smoothing": self.label_smoothing,
        }
        found["kept_negatives"] = context.kept_negatives.get(context.name)
        return {name: value for name, value in found.items() if value}

    def _weights(self, context: BuildContext) -> list[float]:
        """What rows of each class count; empty where all count 1."""
        if self.positive_weight is not None:
            return [1.0, self.positive_weight]
        if self.class_weights == "balanced":
            return _balanced(*context.labels(context.name), context.classes[context.name])
        if self.class_weights is None:
            return []
        assert isinstance(self.class_weights, Mapping)
        names = context.class_names.get(context.name) or BINARY
        return [float(self.class_weights.get(name, 1.0)) for name in names]


def _balanced(labels: np.ndarray, weights: np.ndarray, classes: int) -> list[float]:
    """The weight of all rows over that of each class, times the number of classes; 1 of a class without any."""
    import numpy as np

    weight = np.bincount(labels.astype(int), weights.astype(np.float64), minlength=classes)
    there = weight > 0
    return [float(value) for value in np.where(there, weight.sum() / (there.sum() * np.where(there, weight, 1)), 1)]
