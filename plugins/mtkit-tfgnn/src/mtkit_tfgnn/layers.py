"""Message passing between tasks on TF-GNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from mtkit.backend import keras, tf
from mtkit.errors import WiringError

# isort: split
# TF-GNN looks at the version of Keras when it is imported, so the backend has to come first.
import tensorflow_gnn as tfgnn
from tensorflow_gnn.models.gat_v2 import GATv2Conv

_TASK, _EDGE = "task", "informs"


@keras.saving.register_keras_serializable(package="mtkit_tfgnn")
class TaskGraph(keras.layers.Layer):
    """Passes messages between the tasks of a row.

    Takes `[rows, tasks, dim]`, or `[rows, dim]`, one state shared by all tasks, to which a trained vector per task is
    then added so that the nodes differ. Returns `[rows, tasks, dim]`.

    The batch is one GraphTensor with a component per row, and a component has a node per task. With `gcn` the state of
    a node becomes f(W·[h; m] + b) with f the activation and m the mean of its sources' states, 0 if it has none; with
    `gat_v2` m is the attention over its sources. With `residual` this is added to h.

    Source: Kipf and Welling, Semi-Supervised Classification with Graph Convolutional Networks, ICLR 2017. Deviations:
    normalized by incoming edges alone, and with a weight of its own for the node itself, as in Hamilton et al.,
    Inductive Representation Learning on Large Graphs, NeurIPS 2017. Brody et al., How Attentive are Graph Attention
    Networks?, ICLR 2022.

    Args:
        tasks: number of tasks.
        edges: pairs (source, target) of task numbers.
        conv: `gcn` or `gat_v2`.
        heads: attention heads of `gat_v2`.
        layers: how often messages are passed, each time with other weights.
        activation: of an update.
        residual: whether the update is added to the state.
    """

    def __init__(
        self,
        tasks: int,
        edges: Sequence[Sequence[int]],
        *,
        conv: Literal["gcn", "gat_v2"] = "gcn",
        heads: int = 4,
        layers: int = 1,
        activation: str = "relu",
        residual: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tasks, self.edges = tasks, [tuple(edge) for edge in edges]
        self.conv, self.heads, self.layers, self.residual = conv, heads, layers, residual
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        """Creates the convolutions.

        Raises:
            WiringError: the input has states of another number of tasks, or a width that the heads do not divide.
        """
        dim = input_shape[-1]
        if len(input_shape) == 3 and input_shape[1] != self.tasks:
            raise WiringError(f"{self.name}: expected the states of {self.tasks} tasks, got those of {input_shape[1]}")
        if self.conv == "gat_v2" and dim % self.heads:
            raise WiringError(f"{self.name}: heads = {self.heads} does not divide the width {dim} of its input")
        if len(input_shape) == 2:
            self.task_vectors = self.add_weight("task_vectors", (self.tasks, dim))
        self.rounds = [self._round(dim) for _ in range(self.layers)]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Task states `[rows, tasks, dim]`."""
        states = inputs if inputs.shape.rank == 3 else inputs[:, None] + self.task_vectors
        graph = self._graph(states)
        for update in self.rounds:
            graph = update(graph, training=training)
        return tf.reshape(graph.node_sets[_TASK][tfgnn.HIDDEN_STATE], [-1, self.tasks, states.shape[-1]])

    def _graph(self, states: tf.Tensor) -> tfgnn.GraphTensor:
        rows = tf.shape(states)[0]
        first = tf.range(rows)[:, None] * self.tasks
        ends = tf.constant(self.edges, tf.int32, shape=(len(self.edges), 2))
        source, target = (tf.reshape(first + ends[:, end], [-1]) for end in (0, 1))
        nodes = tfgnn.NodeSet.from_fields(
            sizes=tf.fill([rows], self.tasks),
            features={tfgnn.HIDDEN_STATE: tf.reshape(states, [-1, states.shape[-1]])},
        )
        edges = tfgnn.EdgeSet.from_fields(
            sizes=tf.fill([rows], len(self.edges)),
            adjacency=tfgnn.Adjacency.from_indices((_TASK, source), (_TASK, target)),
        )
        return tfgnn.GraphTensor.from_pieces(node_sets={_TASK: nodes}, edge_sets={_EDGE: edges})

    def _round(self, dim: int) -> keras.layers.Layer:
        update = keras.layers.Dense(dim, self.activation)
        next_state = tfgnn.keras.layers.ResidualNextState if self.residual else tfgnn.keras.layers.NextStateFromConcat
        return tfgnn.keras.layers.GraphUpdate(
            node_sets={_TASK: tfgnn.keras.layers.NodeSetUpdate({_EDGE: self._convolution(dim)}, next_state(update))}
        )

    def _convolution(self, dim: int) -> keras.layers.Layer:
        if self.conv == "gat_v2":
            conv = GATv2Conv(num_heads=self.heads, per_head_channels=dim // self.heads, receiver_tag=tfgnn.TARGET)
            conv._attention_logits_fn = HeadLogits(name="attn_logits")  # noqa: SLF001
            return conv
        # Messages are the states themselves: the mean of linear messages is linear in their mean, which the update's
        # matrix sees, and so there is one product per node instead of one per edge.
        return tfgnn.keras.layers.SimpleConv(
            keras.layers.Activation("linear"), "mean", receiver_feature=None, receiver_tag=tfgnn.TARGET
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tasks": self.tasks,
            "edges": [list(edge) for edge in self.edges],
            "conv": self.conv,
            "heads": self.heads,
            "layers": self.layers,
            "activation": keras.activations.serialize(self.activation),
            "residual": self.residual,
        }


class HeadLogits(keras.layers.Layer):
    """The dot product of each head's features with the head's vector: `[edges, heads, channels]` -> `[edges, heads]`.

    One matrix product with a block-diagonal matrix. GATv2Conv's own einsum gives the same, but transposes all edges in
    its gradient, which takes as long as the rest of the convolution.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the vectors."""
        heads, channels = input_shape[1:]
        self.kernel = self.add_weight("kernel", (channels, heads))
        super().build(input_shape)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """The products."""
        channels, heads = self.kernel.shape
        blocks = tf.transpose(self.kernel)[:, :, None] * tf.eye(heads, dtype=features.dtype)[:, None]
        return tf.matmul(tf.reshape(features, [-1, heads * channels]), tf.reshape(blocks, [heads * channels, heads]))
