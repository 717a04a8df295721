"""Message passing between users and items on TF-GNN, over the neighborhoods of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.spec import Branch, Neighborhood, Side

# isort: split
# TF-GNN looks at the version of Keras when it is imported, so the backend has to come first.
import tensorflow_gnn as tfgnn
from tensorflow_gnn.models.gat_v2 import GATv2Conv

from mtkit_tfgnn.layers import HeadLogits

_WEIGHT = "weight"
Path = tuple[int, ...]


@keras.saving.register_keras_serializable(package="mtkit_tfgnn")
class UserItemGraph(keras.layers.Layer):
    """The state of each row's own node after messages have come from its neighbors, theirs first.

    All rows together are one GraphTensor, a tree for each: a node set for each `mtkit.spec.Branch` of the neighborhood, and an
    edge set from it to the node set of its parents. Each of these has a node more, where edges end that are not there.

    With `lightgcn` a node's h = e + Σ_kinds r · Σ_j w_j h_j, over its neighbors j, and the row gets h / (distances + 1): so a row
    gets the mean of the states at each distance. e is the embedding of the node's id. Where `normalize` is `symmetric`,
    w_j = (d / n) / sqrt(d d_j), d and d_j being how many edges of the kind the node and its neighbor have, and n how many
    neighbors were sampled: where these are all, this is the sum of He et al. (2020), and where they are drawn evenly, an
    estimate of it. Else w_j = 1 / n. Of several kinds, each has a vector r that is learned, and begins as 1 / kinds; else r = 1.

    With `gat_v2`, h = e + f(W [e; m_1; ...; m_kinds] + b), m being the attention over neighbors of a kind, of several heads
    (Brody et al., 2022), and f the activation; weights are those of a branch.

    Sources: He et al., LightGCN, SIGIR 2020. Brody et al., How Attentive are Graph Attention Networks?, ICLR 2022. Deviations:
    trees of neighbors at the row's moment instead of one graph; messages go once, from the farthest nodes to the row.

    Args:
        root: whether the row's own node is who acts, or what is acted on.
        widths: how many neighbors of a node there are, for each distance.
        kinds: how many kinds of events there are.
        friends: whether there are edges between those who act, too.
        own: address of the row's own id; None = it is not read, and what the row's node is, is 0.
        sizes: `acting` and `item` -> number of rows of its table.
        labels: the same -> what lies along the rows, such as `user.id`.
        dim: width of the states.
        convolution: `lightgcn` or `gat_v2`.
        normalize: `symmetric` or `mean`, of `lightgcn`.
        heads: of the attention of `gat_v2`.
        activation: of `gat_v2`.
        content: name of an encoder whose output `[size, dim]` is the embedding of what is acted on; None = it has its own.
        dropout: share of edges that are left out in training; sums of `lightgcn` are scaled up by it.
        id_dropout: share of training rows whose own id is that of the unknown.

    Call: a dictionary with what `mtkit.spec.Neighborhood` says, `own` int `[rows]`, and `catalog.<content>`. Returns
    `[rows, dim]`.
    """

    def __init__(
        self,
        root: Side,
        widths: Sequence[int],
        sizes: Mapping[str, int],
        labels: Mapping[str, str],
        dim: int,
        *,
        kinds: int = 1,
        friends: bool = False,
        own: str | None = None,
        convolution: Literal["lightgcn", "gat_v2"] = "lightgcn",
        normalize: Literal["symmetric", "mean"] = "symmetric",
        heads: int = 4,
        activation: str = "relu",
        content: str | None = None,
        dropout: float = 0.0,
        id_dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.root, self.widths, self.kinds, self.friends, self.own = root, tuple(widths), kinds, friends, own
        self.sizes, self.labels, self.dim = dict(sizes), dict(labels), dim
        self.convolution, self.normalize, self.heads = convolution, normalize, heads
        self.activation = keras.activations.get(activation)
        self.content, self.dropout, self.id_dropout = content, dropout, id_dropout
        self._kept = keras.layers.Dropout(dropout, rng_type="stateful")
        self._known = keras.layers.Dropout(id_dropout, rng_type="stateful")
        sides = {branch.side for branch in self._branches} | ({root} if own else set())
        self._tables = {side: self._table(side) for side in sorted(sides) if side == "acting" or content is None}
        self._updates = [self._update(distance) for distance in reversed(range(len(self.widths)))]

    @property
    def _branches(self) -> list[Branch]:
        friends = "friends" if self.friends else None
        return list(Neighborhood(self.root, self.widths, (None,) * self.kinds, friends).branches())

    def _table(self, side: str) -> tf.Variable:
        # What is attended to has to differ: from small states, attention learns nothing for long.
        scale = 0.01 if self.convolution == "lightgcn" else self.dim**-0.5
        start = keras.initializers.RandomNormal(stddev=scale)
        return self.add_weight(_name(self.labels[side]), (self.sizes[side], self.dim), initializer=start)

    def _update(self, distance: int) -> keras.layers.Layer:
        """What tells the nodes at a distance of their neighbors."""
        paths = dict.fromkeys(branch.parent for branch in self._branches if len(branch.parent) == distance)
        return tfgnn.keras.layers.GraphUpdate(
            node_sets={
                _set(path): tfgnn.keras.layers.NodeSetUpdate(
                    {_set(b.path): self._messages() for b in self._branches if b.parent == path}, self._next_state()
                )
                for path in paths
            }
        )

    def _messages(self) -> keras.layers.Layer:
        if self.convolution == "lightgcn":
            return WeightedSum(self.dim, self.kinds + self.friends)
        conv = GATv2Conv(num_heads=self.heads, per_head_channels=self.dim // self.heads, receiver_tag=tfgnn.TARGET)
        conv._attention_logits_fn = HeadLogits(name="attn_logits")  # noqa: SLF001
        return conv

    def _next_state(self) -> keras.layers.Layer:
        if self.convolution == "lightgcn":
            return Added()
        return tfgnn.keras.layers.ResidualNextState(keras.layers.Dense(self.dim, self.activation))

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The embedding of each row."""
        graph = self._graph(inputs, training)
        for update in self._updates:
            graph = update(graph, training=training)
        state = graph.node_sets[_set(())][tfgnn.HIDDEN_STATE][:-1]
        return state / (len(self.widths) + 1) if self.convolution == "lightgcn" else state

    def _graph(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tfgnn.GraphTensor:
        nodes: dict[Path, tf.Tensor] = {(): self._own(inputs, training)}
        edges = {}
        for branch in self._branches:
            nodes[branch.path] = self._embedded(branch.side, tf.reshape(inputs[branch.neighbors], [-1]), inputs)
            edges[_set(branch.path)] = self._edge_set(branch, inputs, training)
        inner = {branch.parent for branch in self._branches}
        return tfgnn.GraphTensor.from_pieces(
            node_sets={_set(path): _node_set(states, more=path in inner) for path, states in nodes.items()},
            edge_sets=edges,
        )

    def _own(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tf.Tensor:
        """What the rows' own nodes are, `[rows, dim]`."""
        if self.own is None:
            return tf.zeros([tf.shape(inputs[self._branches[0].neighbors])[0], self.dim], self.compute_dtype)
        ids = inputs[self.own]
        if training and self.id_dropout:
            ids = tf.where(self._known(tf.ones_like(ids, tf.float32), training=True) > 0, ids, 0)
        return self._embedded(self.root, ids, inputs)

    def _embedded(self, side: str, ids: tf.Tensor, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        table = self._tables[side] if side in self._tables else inputs[f"catalog.{self.content}"]
        return tf.cast(tf.gather(table, ids), self.compute_dtype)

    def _edge_set(self, branch: Branch, inputs: Mapping[str, tf.Tensor], training: bool) -> tfgnn.EdgeSet:
        """The edges to the parents of a branch, with their weights; where there is none, to the node behind all of them."""
        ids = inputs[branch.neighbors]
        kept = self._kept(tf.cast(ids > 0, self.compute_dtype), training=training)
        width = ids.shape[-1]
        count = tf.size(ids)
        parents = count // width
        number = tf.range(count)
        target = tf.where(tf.reshape(kept, [-1]) > 0, number // width, parents)
        features = {}
        if self.convolution == "lightgcn":
            features[_WEIGHT] = tf.reshape(kept * tf.cast(self._weights(branch, inputs), kept.dtype), [-1, 1])
        return tfgnn.EdgeSet.from_fields(
            sizes=count[None],
            features=features,
            adjacency=tfgnn.Adjacency.from_indices((_set(branch.path), number), (_set(branch.parent), target)),
        )

    def _weights(self, branch: Branch, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """What a neighbor counts, float32 `[rows, ..., width]`: half precision ends before numbers of edges do."""
        there = tf.cast(inputs[branch.neighbors] > 0, tf.float32)
        share = tf.math.reciprocal_no_nan(tf.reduce_sum(there, -1, keepdims=True))
        if self.normalize == "mean":
            return share * there
        degree, back = (tf.cast(inputs[name], tf.float32) for name in (branch.degree, branch.back))
        return share * tf.sqrt(degree[..., None]) * tf.math.rsqrt(tf.maximum(back, 1.0)) * there

    def axes(self) -> list[Axis]:
        """The rows of the embeddings."""
        return [Axis(table, 0, self.labels[side]) for side, table in self._tables.items()]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "root": self.root,
            "widths": list(self.widths),
            "sizes": dict(self.sizes),
            "labels": dict(self.labels),
            "dim": self.dim,
            "kinds": self.kinds,
            "friends": self.friends,
            "own": self.own,
            "convolution": self.convolution,
            "normalize": self.normalize,
            "heads": self.heads,
            "activation": keras.activations.serialize(self.activation),
            "content": self.content,
            "dropout": self.dropout,
            "id_dropout": self.id_dropout,
        }


@keras.saving.register_keras_serializable(package="mtkit_tfgnn")
class WeightedSum(tfgnn.keras.layers.AnyToAnyConvolutionBase):
    """Sums the states of neighbors, each times the weight of its edge; of one of several kinds, times a vector.

    Args:
        dim: width of the states.
        kinds: how many kinds there are.
    """

    def __init__(self, dim: int, kinds: int, **options: Any) -> None:
        fixed = {"receiver_tag": tfgnn.TARGET, "receiver_feature": None, "sender_edge_feature": _WEIGHT}
        super().__init__(**{**fixed, **options})
        self.dim, self.kinds = dim, kinds
        start = keras.initializers.Constant(1 / kinds)
        self._scale = self.add_weight("scale", (dim,), initializer=start) if kinds > 1 else None

    def convolve(self, *, sender_node_input: tf.Tensor, sender_edge_input: tf.Tensor, **given: Any) -> tf.Tensor:
        """The sums, `[receivers, dim]`."""
        messages = given["broadcast_from_sender_node"](sender_node_input) * sender_edge_input
        sums = given["pool_to_receiver"](messages, reduce_type="sum")
        return sums if self._scale is None else sums * self._scale

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "dim": self.dim, "kinds": self.kinds}


@keras.saving.register_keras_serializable(package="mtkit_tfgnn")
class Added(keras.layers.Layer):
    """A node's next state: its own, and the messages of all edge sets."""

    def call(self, inputs: Any) -> tf.Tensor:
        """The sum, `[nodes, dim]`."""
        return tf.add_n(tf.nest.flatten(inputs))


def _node_set(states: tf.Tensor, *, more: bool) -> tfgnn.NodeSet:
    """Nodes with these states, `[nodes, dim]`, and one behind them where edges that are not there end."""
    states = tf.pad(states, [[0, 1], [0, 0]]) if more else states
    return tfgnn.NodeSet.from_fields(sizes=tf.shape(states)[:1], features={tfgnn.HIDDEN_STATE: states})


def _set(path: Path) -> str:
    """The name of the node set of a branch, or of the rows, and of the edge set from it."""
    return ".".join(("row", *map(str, path)))


def _name(address: str) -> str:
    return address.replace(".", "_")
