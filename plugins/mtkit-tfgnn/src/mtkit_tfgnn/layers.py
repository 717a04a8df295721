"""Message passing between tasks on TF-GNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.axes import Axis

# isort: split
# TF-GNN looks at the version of Keras when it is imported, so the backend has to come first.
import tensorflow_gnn as tfgnn
from tensorflow_gnn.models.gat_v2 import GATv2Conv

_TASK, _EDGE = "task", "informs"
#: Of what a task hears at the beginning, the share that does not follow the affinity.
_EVENLY = 0.1


@keras.saving.register_keras_serializable(package="mtkit_tfgnn")
class TaskGraph(keras.layers.Layer):
    """Passes messages between the tasks of a row.

    Takes `[rows, tasks, dim]`, or `[rows, dim]`, one state shared by all tasks, to which a trained vector per task is
    then added so that the nodes differ. Returns `[rows, tasks, dim]`.

    With `gcn` the state of a node becomes f(W·[h; m] + b) with f the activation and m the mean of its sources' states, 0 if
    it has none; with `gat_v2` m is the attention over its sources. With `residual` this is added to h. With `learned` edges m
    is Σ_s a_s h_s over all other tasks, a_s a softmax of trained numbers of each pair, the same for all rows and layers. These
    begin equal, or such that a_s follows an affinity: its positive part as a share of all that is positive, less a tenth that is
    spread evenly, so that no edge begins at 0.

    Source: Kipf and Welling, Semi-Supervised Classification with Graph Convolutional Networks, ICLR 2017. Deviations:
    normalized by incoming edges alone, and with a weight of its own for the node itself, as in Hamilton et al.,
    Inductive Representation Learning on Large Graphs, NeurIPS 2017. Brody et al., How Attentive are Graph Attention
    Networks?, ICLR 2022.

    Args:
        tasks: number of tasks.
        edges: pairs (source, target) of task numbers; those of all pairs where they are learned.
        conv: `gcn` or `gat_v2`.
        heads: attention heads of `gat_v2`.
        layers: how often messages are passed, each time with other weights.
        activation: of an update.
        residual: whether the update is added to the state.
        learned: whether `gcn` learns how much each task hears of which.
        affinity: what the task of a row does for that of a column, by which learned edges begin; None = they begin equal.
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
        learned: bool = False,
        affinity: Sequence[Sequence[float]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tasks, self.edges = tasks, [tuple(edge) for edge in edges]
        self.conv, self.heads, self.layers, self.residual = conv, heads, layers, residual
        self.learned, self.affinity = learned, None if affinity is None else [list(row) for row in affinity]
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
        if self.learned:
            begin = keras.initializers.Constant(np.log(_beginning(self.tasks, self.affinity)))
            self.pairs = self.add_weight("pairs", (self.tasks, self.tasks), initializer=begin)
        kind = _LearnedRound if self.learned else _GraphRound
        self.rounds = [kind(self, dim, f"round_{number}") for number in range(self.layers)]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Task states `[rows, tasks, dim]`."""
        states = inputs if inputs.shape.rank == 3 else inputs[:, None] + self.task_vectors
        heard = self._heard(states) if self.learned else self._edges(states)
        for update in self.rounds:
            states = update(states, heard)
        return states

    def _heard(self, states: tf.Tensor) -> tf.Tensor:
        """What each task hears of each: a share for (target, source), `[tasks, tasks]`."""
        itself = tf.eye(self.tasks, dtype=tf.bool)
        # Softmax in float32: half precision cannot tell shares apart that are near.
        pairs = tf.cast(tf.convert_to_tensor(self.pairs), tf.float32)
        shares = tf.nn.softmax(tf.where(itself, tf.float32.min, pairs))
        return tf.cast(tf.where(itself, 0.0, shares), states.dtype)

    def _edges(self, states: tf.Tensor) -> Any:
        """The graphs of all rows as one, with a component per row: sizes, sources and targets."""
        rows = tf.shape(states)[0]
        first = tf.range(rows)[:, None] * self.tasks
        ends = tf.constant(self.edges, tf.int32, shape=(len(self.edges), 2))
        source, target = (tf.reshape(first + ends[:, end], [-1]) for end in (0, 1))
        return tfgnn.EdgeSet.from_fields(
            sizes=tf.fill([rows], len(self.edges)),
            adjacency=tfgnn.Adjacency.from_indices((_TASK, source), (_TASK, target)),
        )

    def axes(self) -> list[Axis]:
        """The vectors of the tasks and the shares of pairs, where there are any."""
        vectors = [Axis(self.task_vectors, 0, "task")] if hasattr(self, "task_vectors") else []
        return vectors + [Axis(self.pairs, axis, "task") for axis in (0, 1) if self.learned]

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
            "learned": self.learned,
            "affinity": self.affinity,
        }


def _beginning(tasks: int, affinity: Sequence[Sequence[float]] | None) -> np.ndarray:
    """With which shares tasks hear one another at the beginning, for (target, source), float64 `[tasks, tasks]`."""
    others = 1 - np.eye(tasks)
    evenly = others / max(tasks - 1, 1)
    helps = np.zeros((tasks, tasks)) if affinity is None else np.maximum(np.asarray(affinity, float).T, 0) * others
    total = helps.sum(1, keepdims=True)
    shares = np.where(total > 0, helps / np.where(total > 0, total, 1), evenly)
    return (1 - _EVENLY) * shares + _EVENLY * evenly + np.eye(tasks)


class _LearnedRound(keras.layers.Layer):
    """One round over edges that are learned: one matrix of shares serves all rows, so there is nothing to gather by edge."""

    def __init__(self, graph: TaskGraph, dim: int, name: str) -> None:
        super().__init__(name=name, dtype=graph.dtype_policy)
        self.residual = graph.residual
        self.update = keras.layers.Dense(dim, graph.activation, name="update", dtype=graph.dtype_policy)

    def call(self, states: tf.Tensor, heard: tf.Tensor) -> tf.Tensor:
        """States `[rows, tasks, dim]`, by the shares `[target, source]`."""
        tasks, dim = states.shape[1:]
        by_entry = tf.reshape(tf.transpose(states, [0, 2, 1]), [-1, tasks])
        means = tf.reshape(tf.matmul(by_entry, heard, transpose_b=True), [-1, dim, tasks])
        both = tf.concat([states, tf.transpose(means, [0, 2, 1])], -1)
        updated = tf.reshape(self.update(tf.reshape(both, [-1, 2 * dim])), [-1, tasks, dim])
        return states + updated if self.residual else updated


class _GraphRound(keras.layers.Layer):
    """One round over edges that are given, on a GraphTensor with a component per row."""

    def __init__(self, graph: TaskGraph, dim: int, name: str) -> None:
        super().__init__(name=name, dtype=graph.dtype_policy)
        update = keras.layers.Dense(dim, graph.activation)
        next_state = tfgnn.keras.layers.ResidualNextState if graph.residual else tfgnn.keras.layers.NextStateFromConcat
        self.update = tfgnn.keras.layers.GraphUpdate(
            node_sets={_TASK: tfgnn.keras.layers.NodeSetUpdate({_EDGE: _convolution(graph, dim)}, next_state(update))}
        )

    def call(self, states: tf.Tensor, edges: Any) -> tf.Tensor:
        """States `[rows, tasks, dim]`."""
        tasks, dim = states.shape[1:]
        nodes = tfgnn.NodeSet.from_fields(
            sizes=tf.fill(tf.shape(states)[:1], tasks),
            features={tfgnn.HIDDEN_STATE: tf.reshape(states, [-1, dim])},
        )
        graph = tfgnn.GraphTensor.from_pieces(node_sets={_TASK: nodes}, edge_sets={_EDGE: edges})
        return tf.reshape(self.update(graph).node_sets[_TASK][tfgnn.HIDDEN_STATE], [-1, tasks, dim])


def _convolution(graph: TaskGraph, dim: int) -> keras.layers.Layer:
    if graph.conv == "gat_v2":
        conv = GATv2Conv(num_heads=graph.heads, per_head_channels=dim // graph.heads, receiver_tag=tfgnn.TARGET)
        conv._attention_logits_fn = HeadLogits(name="attn_logits")  # noqa: SLF001
        return conv
    # Messages are the states themselves: the mean of linear messages is linear in their mean, which the update's
    # matrix sees, and so there is one product per node instead of one per edge.
    return tfgnn.keras.layers.SimpleConv(
        keras.layers.Activation("linear"), "mean", receiver_feature=None, receiver_tag=tfgnn.TARGET
    )


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
