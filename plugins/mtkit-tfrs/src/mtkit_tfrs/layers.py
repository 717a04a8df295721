"""Task heads whose losses are those of TensorFlow Recommenders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.heads import Batch, Candidates, PredictionHead, RetrievalHead
from mtkit.layers.dense_stack import tower
from mtkit.layers.joined import joined
from mtkit.layers.losses import ClassLoss
from mtkit.optimizers import precision_scope

# isort: split
# TFRS looks at the version of Keras when it is imported, so the backend has to come first.
import tensorflow_recommenders as tfrs


def _in_float32(task: keras.layers.Layer) -> keras.layers.Layer:
    """The task, computing in the types it is given.

    TFRS's tasks take no dtype, and as layers they would cast the first argument alone to the type of a mixed policy.
    """
    task._autocast = False  # noqa: SLF001
    return task


#: Of TFRS, only the retrieval task needs AutoGraph, which takes a tenth of a second to rewrite each of the others.
_as_written = tf.autograph.experimental.do_not_convert


@keras.saving.register_keras_serializable(package="mtkit_tfrs")
class TwoTower(RetrievalHead):
    """Query and candidate towers, trained by `tfrs.tasks.Retrieval`.

    A tower is its embeddings side by side, hidden layers with ReLU, and a linear layer. Without hidden layers, and with
    embeddings of width `dim`, the linear layer begins as their sum, and a score as the inner product of two sums: items
    whose texts are like those of the past are then near to a query from the start, be they new to training.

    The loss couples rows: row i is ranked against the candidates of all rows of the global batch that have a positive
    weight.

    Source: Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, RecSys 2019.
    Deviation: the probability that an item is in a batch is its share of the training rows, not estimated as they pass.

    Args:
        query: names in the view of the query tower.
        candidate: names in the view of the candidate tower.
        dim: width of query and candidate.
        hidden: widths of the hidden layers of each tower.
        temperature: divides the scores in the loss.
        remove_accidental_hits: whether another row with the same item is no negative of a row.
        correct_sampling: whether the loss takes into account that frequent items are negatives more often, so that
            scores rank by probability; without it they rank by how much likelier an item is than it is in general.
    """

    def __init__(
        self,
        query: Sequence[str],
        candidate: Sequence[str],
        *,
        dim: int = 64,
        hidden: Sequence[int] = (),
        temperature: float = 1.0,
        remove_accidental_hits: bool = True,
        correct_sampling: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.query_names, self.candidate_names = tuple(query), tuple(candidate)
        self.dim, self.hidden = dim, tuple(hidden)
        self.temperature, self.remove_accidental_hits = temperature, remove_accidental_hits
        self.correct_sampling = correct_sampling
        self.query_tower = tower(dim, hidden, "query")
        # A bias of the candidates would move all scores of a query alike, which a softmax does not see.
        self.candidate_tower = tower(dim, hidden, "candidate", use_bias=False)
        self.task = _in_float32(
            tfrs.tasks.Retrieval(
                loss=keras.losses.CategoricalCrossentropy(from_logits=True, reduction="none"),
                temperature=temperature,
                remove_accidental_hits=remove_accidental_hits,
            )
        )

    def query(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Query embeddings `[rows, dim]`."""
        return tf.cast(self.query_tower(joined(view, self.query_names), training=training), tf.float32)

    def candidate(self, view: Mapping[str, tf.Tensor], ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Candidate embeddings `[candidates, dim]`."""
        return tf.cast(self.candidate_tower(joined(view, self.candidate_names), training=training), tf.float32)

    def loss(self, query: tf.Tensor, candidates: Candidates, batch: Batch, training: bool = False) -> tf.Tensor:
        """Softmax cross-entropy `[rows]` of candidate i for row i among the candidates that exist."""
        # A row's own positive always stays, so that the loss of a removed row, too, is of ordinary size.
        positive = tf.eye(tf.shape(query)[0], tf.shape(candidates.ids)[0], dtype=tf.bool)
        # The task makes layers while it is called, of the precision that holds at that moment.
        with precision_scope("float32"):
            return self.task(
                query,
                candidates.embeddings,
                candidate_ids=candidates.ids,
                candidate_sampling_probability=candidates.shares if self.correct_sampling else None,
                compute_metrics=False,
                score_mask=positive | (candidates.weights > 0),
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "query": list(self.query_names),
            "candidate": list(self.candidate_names),
            "dim": self.dim,
            "hidden": list(self.hidden),
            "temperature": self.temperature,
            "remove_accidental_hits": self.remove_accidental_hits,
            "correct_sampling": self.correct_sampling,
        }


@keras.saving.register_keras_serializable(package="mtkit_tfrs")
class DeepCross(PredictionHead):
    """Cross layers, then dense layers, then one logit, trained by `tfrs.tasks.Ranking`.

    Source: Wang et al., DCN V2: Improved Deep & Cross Network, WWW 2021, figure 1a (stacked) and equation 1.

    Args:
        inputs: names in the view.
        cross_layers: number of cross layers.
        units: widths of the dense layers.
        activation: of the dense layers.
        loss: options of the `mtkit.layers.losses.ClassLoss`.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        cross_layers: int = 1,
        units: Sequence[int] = (64,),
        activation: str = "relu",
        loss: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.inputs, self.units = tuple(inputs), tuple(units)
        self.crosses = [tfrs.layers.dcn.Cross() for _ in range(cross_layers)]
        self.activation = keras.activations.get(activation)
        self.dense = [keras.layers.Dense(width, activation) for width in units]
        self.logit = keras.layers.Dense(1)
        self.binary = ClassLoss(**(loss or {}))
        self.task = _in_float32(tfrs.tasks.Ranking(loss=lambda y_true, y_pred, **_weights: self.binary(y_pred, y_true)))

    @_as_written
    def call(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits float32 `[rows]`."""
        return tf.cast(self.logit(self.state_of(view))[:, 0], tf.float32)

    def state_of(self, view: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """What the last dense layer gives, `[rows, units]`."""
        first = state = joined(view, self.inputs)
        for cross in self.crosses:
            state = cross(first, state)
        for layer in self.dense:
            state = layer(state)
        return state

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Sigmoid cross-entropy `[rows]`."""
        return _as_written(self.task)(labels, outputs, compute_metrics=False)

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities `[rows]`."""
        return self.binary.probabilities(outputs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "inputs": list(self.inputs),
            "cross_layers": len(self.crosses),
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
            "loss": self.binary.options(),
        }
