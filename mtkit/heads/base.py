"""What the core asks the layer of a task for, and what the layer may ask the core for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mtkit.backend import keras, tf
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.user_sums import Measured
from mtkit.feed.batch import Batch
from mtkit.spec import PredictionMetric, ServingInput
from mtkit.types import RowTable

Tensors = Mapping[str, tf.Tensor]


class TaskPass(Protocol):
    """A forward pass as one task sees it, on the rows of a batch. What several tasks read is computed once.

    Attributes:
        spec: the task's declaration.
        batch: the rows.
        training: whether dropout is on.
        compiled: whether XLA compiles training steps.
    """

    spec: Any
    batch: Batch
    training: bool
    compiled: bool

    def beside(self, task: str) -> TaskPass:
        """The same pass on the same rows, as another task sees it."""

    def embeddings(self, names: Sequence[str]) -> dict[str, tf.Tensor]:
        """Name -> `[rows, dim]`, in the state of the task; for `task.NAME`, what that task predicts.

        `task.NAME/logits` and `task.NAME/state` are what its loss is computed from, and what its last layer reads.
        """

    def catalog(self, names: Sequence[str]) -> dict[str, tf.Tensor]:
        """Name -> `[entity rows, dim]` for every row of the embedding's entity, row i = id i, row 0 = the unknown."""

    def entity(self, name: str) -> str:
        """The entity, or role, on which alone an embedding depends."""

    def catalog_ids(self, name: str) -> tf.Tensor:
        """The ids of all rows of an embedding's entity, int32."""

    def of_ids(self, names: Sequence[str], ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Name -> `[n, dim]` for rows of the embedding's entity, `ids` int32 `[n]`; no others are encoded for it."""

    def share(self, role: str, ids: tf.Tensor) -> tf.Tensor:
        """How frequent ids are among the training rows of the task, or among their targets."""

    def cumulative(self, role: str, power: float) -> tf.Tensor:
        """For draws by frequency: shares of all ids among the training rows to a power, added up; see `Feed.cumulative`."""

    def stream(self) -> tf.Tensor:
        """The seed of what the task draws in a step, int64 `[2]`, for `tf.random.stateless_*`.

        It follows from the run's seed, the task and the number of updates that there were: it is the same on all replicas, and
        in a run that was taken up again.
        """

    def encoder(self, name: str) -> tuple[Mapping[str, tf.Tensor], Any]:
        """What an encoder's layer is called with for the rows, and the layer itself."""


class TaskEvaluation(Protocol):
    """The evaluation rows of one task.

    Attributes:
        name: the task.
        spec: its declaration.
        table: the rows; `weights` of labels, and the dense column `row_weight` where there is one, are as the task weighs them.
        protocol: how rankings are judged.
        metrics: name -> metric of predictions.
        slices: slice -> which of the rows belong to it, bool `[rows]`.
        block: rows of a training step, for what is as large as one.
    """

    name: str
    spec: Any
    table: RowTable
    protocol: RankingProtocol
    metrics: Mapping[str, PredictionMetric]
    slices: Mapping[str, np.ndarray]
    block: int

    def answers(self) -> np.ndarray:
        """What `Head.answers` gives for every row, in the order of the table; tasks on the same rows share one pass."""

    def whole(self, function: Callable[[TaskPass], Any]) -> Any:
        """A function of what does not depend on rows, traced and called once."""

    def of_rows(
        self, function: Callable[..., Any], *, training_rows: bool = False, given: Sequence[tf.TensorSpec] = ()
    ) -> Callable[..., Any]:
        """A function of a pass as one of row numbers int64 `[n]`, traced once, however many there are.

        One that is equal to an earlier one (the same method of the same head) is not traced again in a later evaluation of
        the model: what may have changed since belongs in `given`, not in a closure.

        Args:
            function: of a pass on the rows, and of what else is `given`.
            training_rows: whether the numbers are those of training rows.
            given: what it is called with beside the numbers.
        """

    def blocks(self, *, training_rows: bool = False) -> Sequence[np.ndarray]:
        """The numbers of all rows, `block` at most at once."""


class Question(Protocol):
    """A part of a request: inputs by name, and the batch that they stand for; `a | b` asks for both."""

    inputs: Mapping[str, ServingInput]

    def batch(self, given: Tensors) -> Batch:
        """The batch of what is given."""

    def __or__(self, other: Question) -> Question:
        """Both parts; of columns that both have, those of the other."""


class TaskServing(Protocol):
    """What the signatures of a task are made of.

    Attributes:
        name: the task.
        spec: its declaration.
        roles: the entities, or roles, that its rows have; the first is who acts.
        classes: names of its label's classes; empty where there are none.
    """

    name: str
    spec: Any
    roles: Sequence[str]
    classes: Sequence[str]

    def known(self, role: str, name: str = "") -> Question:
        """Ids of the data, an input `<role>_id` or of another name."""

    def context(self) -> Question:
        """Raw context features that the task reads."""

    def new(self, role: str) -> Mapping[str, Question]:
        """What is not in the data, by its raw features: ending of the signature's name -> question; empty if that cannot be."""

    def task_pass(self, batch: Batch) -> TaskPass:
        """A forward pass on a request."""

    def signature(
        self,
        about: str,
        question: Question,
        outputs: Mapping[str, str],
        answer: Callable[[Tensors], Tensors],
    ) -> Any:
        """A named function of the servable.

        Args:
            about: what it answers.
            question: its inputs.
            outputs: name -> what it is.
            answer: from the inputs to the outputs.
        """


class Head(keras.layers.Layer):
    """The layer of a task. A pass says on which rows, and what the task's declaration is."""

    #: Whether its answers need something of all training rows as they are predicted now: `summary`, and then `settle`.
    settles = False

    def losses(self, rows: TaskPass) -> tuple[tf.Tensor, tf.Tensor]:
        """Losses and weights of the batch's rows, `[rows]` each; a weight of 0 says that there is nothing to learn.

        The core masks rows that are not there, multiplies the weights by what rows count (columns of kind `weight`,
        `weight_by`) and normalizes. Losses may couple rows; then they see all rows of the
        global batch (`mtkit.distribute.gather_rolled`), so that one replica and several train the same.
        """
        raise NotImplementedError

    def answers(self, rows: TaskPass) -> tf.Tensor | None:
        """What Keras' `predict` gives for each row; None where there is nothing to give."""
        return None

    def handed_on(self, rows: TaskPass) -> tf.Tensor | None:
        """What other tasks read as `task.NAME`, `[rows]` or `[rows, n]`: its answers, unless they are of another scale."""
        return self.answers(rows)

    def parts(self, rows: TaskPass) -> Tensors:
        """Other probabilities that its answers are made of, name -> `[rows]`, which signatures give beside them."""
        return {}

    def logits(self, rows: TaskPass) -> tf.Tensor:
        """What other tasks read as `task.NAME/logits`, `[rows]` or `[rows, n]`: what its loss is computed from."""
        raise NotImplementedError

    def state(self, rows: TaskPass) -> tf.Tensor:
        """What other tasks read as `task.NAME/state`, `[rows, n]`: what its last layer reads."""
        raise NotImplementedError

    def summary(self, rows: TaskPass) -> tf.Tensor:
        """Of a head that `settles`: sums over training rows, which the core adds up after each epoch."""
        raise NotImplementedError

    def settle(self, total: np.ndarray) -> None:
        """Of a head that `settles`: keeps what follows from the sums in weights that do not train."""
        raise NotImplementedError

    def evaluate(self, rows: TaskEvaluation) -> Measured:
        """`task/[slice/]metric[@k]` -> value, with sums by user and counts."""
        raise NotImplementedError

    def signatures(self, serving: TaskServing) -> Mapping[str, Any]:
        """Name -> signature of what the task answers alone, beside `recommend` and `rank`, which the core makes."""
        return {}
