"""TensorFlow Recommenders tasks and layers for mtkit."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from mtkit.errors import WiringError
from mtkit.spec import Activation, BuildContext, ClassTask, PositiveFloat, PositiveInt, RetrievalTask

__all__ = ["TfrsRanking", "TfrsRetrieval"]


class TfrsRetrieval(RetrievalTask):
    """A two-tower model under `tfrs.tasks.Retrieval`: softmax over the candidates of the global batch."""

    step_matrices: ClassVar[int] = 17

    dim: PositiveInt = Field(64, description="width of query and candidate")
    hidden: tuple[PositiveInt, ...] = Field((), description="widths of the layers of each tower before the last")
    temperature: PositiveFloat = Field(1.0, description="divides the scores in the loss")
    remove_accidental_hits: bool = Field(
        True, description="other rows with the item of the row are not negatives of that row"
    )
    correct_sampling: bool = Field(
        True,
        description="correct for frequent items being negatives more often (logQ), so that scores rank by probability",
    )

    label: str = Field(
        "",
        description="a binary label of its rows: items of rows with 1 are learned, those of rows with 0, which were shown and "
        "not chosen, are negatives in the batches; default: all rows are positive",
    )

    @property
    def candidates(self) -> Literal["batch", "catalog", "drawn"]:
        """Those of the batch."""
        return "batch"

    @property
    def positive(self) -> str:
        """`label`."""
        return self.label

    def build(self, context: BuildContext) -> Any:
        """A `mtkit_tfrs.layers.TwoTower`."""
        from mtkit_tfrs.layers import TwoTower

        return TwoTower(
            query=self.query,
            candidate=self.candidate,
            dim=self.dim,
            hidden=self.hidden,
            temperature=self.temperature,
            remove_accidental_hits=self.remove_accidental_hits,
            correct_sampling=self.correct_sampling,
            name=context.name,
        )


class TfrsRanking(ClassTask):
    """A deep and cross network (Wang et al., 2021) under `tfrs.tasks.Ranking`, for a binary label."""

    cross_layers: Annotated[int, Field(ge=0)] = Field(1, description="number of cross layers")
    units: tuple[PositiveInt, ...] = Field((64,), description="widths of the layers between the crosses and the logit")
    activation: Activation = Field("relu", description="of these layers")

    def build(self, context: BuildContext) -> Any:
        """A `mtkit_tfrs.layers.DeepCross`.

        Raises:
            WiringError: the label has more than two classes.
        """
        classes = context.classes[context.name]
        if classes != 2:
            raise WiringError(
                f"task.{context.name}: tfrs_ranking predicts a binary label, but {self.label!r} has {classes} classes; "
                'use = "content" or "user_preference" predicts classes'
            )
        from mtkit_tfrs.layers import DeepCross

        return DeepCross(
            inputs=self.inputs,
            cross_layers=self.cross_layers,
            units=self.units,
            activation=self.activation,
            loss=self.loss_options(context),
            name=context.name,
        )
