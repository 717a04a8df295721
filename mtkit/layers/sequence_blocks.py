"""Blocks of networks over sequences of events: what each says of an event depends on that and on those before it.

All that is computed event by event is computed for the events that there are; attention alone looks at sequences of one length.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from mtkit.backend import keras, tf

BUCKETS = 128
"""Of spans of time, by their logarithm."""

_BASE = 0.301
"""The natural logarithm by which a bucket of time is longer than the one before, as in HSTU."""

_SECONDS = 86_400.0
_NONE = -1e9


class Events(NamedTuple):
    """The events of several sequences, end to end, oldest first.

    Attributes:
        index: int64 `[events, 2]`, the number of an event's sequence, and its place there.
        sequences: how many there are, int64.
        longest: how many events the longest has, 1 at least, int64.
        age: float32 `[events]`, days before the moment of its sequence; None where no time is read.
        until: float32 `[events]`, days until the next event, or the moment of the sequence; None as above.
    """

    index: tf.Tensor
    sequences: tf.Tensor
    longest: tf.Tensor
    age: tf.Tensor | None = None
    until: tf.Tensor | None = None

    def apart(self, values: tf.Tensor) -> tf.Tensor:
        """Values `[events, ...]` by sequence, `[sequences, longest, ...]`, 0 behind the last event."""
        shape = tf.concat([[self.sequences, self.longest], tf.shape(values, tf.int64)[1:]], 0)
        spread = tf.scatter_nd(self.index, values, shape)
        return tf.ensure_shape(spread, [None, None, *values.shape[1:]])

    def joined(self, values: tf.Tensor) -> tf.Tensor:
        """The inverse: `[sequences, longest, ...]` to `[events, ...]`."""
        return tf.gather_nd(values, self.index)

    def causal(self) -> tf.Tensor:
        """Whether an event is no later than another, bool `[longest, longest]`: row = the one that looks."""
        place = tf.range(self.longest)
        return place[None, :] <= place[:, None]


def bucket(days: tf.Tensor) -> tf.Tensor:
    """The bucket of a span of time, int32 from 0 to `BUCKETS` - 1."""
    seconds = tf.maximum(days * _SECONDS, 1.0)
    return tf.minimum(tf.cast(tf.math.log(seconds) / _BASE, tf.int32), BUCKETS - 1)


def _heads(values: tf.Tensor, heads: int) -> tf.Tensor:
    """`[sequences, n, width]` to `[sequences, heads, n, width / heads]`."""
    size = tf.shape(values)
    parts = tf.reshape(values, [size[0], size[1], heads, values.shape[-1] // heads])
    return tf.transpose(parts, [0, 2, 1, 3])


def _beside(values: tf.Tensor) -> tf.Tensor:
    """The inverse of `_heads`."""
    size, width = tf.shape(values), values.shape[1] * values.shape[3]
    return tf.reshape(tf.transpose(values, [0, 2, 1, 3]), [size[0], size[2], width])


class Attention(keras.layers.Layer):
    """Attention of events to themselves and those before: softmax(Q Kᵀ / sqrt(width of a head)) V, heads side by side.

    Args:
        dim: width of the states.
        heads: number of heads, which divides `dim`.
        dropout: share of the weights dropped in training.
        output: whether a linear map follows.
    """

    def __init__(self, dim: int, heads: int, dropout: float, *, output: bool, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads
        self.scale = 1 / math.sqrt(dim // heads)
        self.qkv = keras.layers.Dense(3 * dim, name="qkv")
        self.map = keras.layers.Dense(dim, name="output") if output else None
        self.drop = keras.layers.Dropout(dropout, rng_type="stateful")

    def call(self, states: tf.Tensor, events: Events, training: bool = False) -> tf.Tensor:
        """`[events, dim]` of states `[events, dim]`."""
        query, key, value = (_heads(part, self.heads) for part in tf.split(events.apart(self.qkv(states)), 3, -1))
        scores = tf.cast(tf.matmul(query * self.scale, key, transpose_b=True), tf.float32)
        weights = tf.nn.softmax(tf.where(events.causal(), scores, _NONE))
        weights = self.drop(tf.cast(weights, value.dtype), training=training)
        found = events.joined(_beside(tf.matmul(weights, value)))
        return found if self.map is None else self.map(found)


class SasrecBlock(keras.layers.Layer):
    """x' = x + drop(attention(norm x)); output x' + drop(W₂ relu(W₁ norm x' + b₁) + b₂), both maps as wide as x.

    Source: Kang & McAuley, Self-Attentive Sequential Recommendation, ICDM 2018, equations 2 to 5 and section III-B. (The
    published code normalizes the queries of the attention alone.) Deviation: its maps have biases.
    """

    def __init__(self, dim: int, heads: int, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.attention = Attention(dim, heads, dropout, output=False, name="attention")
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-6, name=f"norm{n}") for n in (1, 2)]
        self.wide = keras.layers.Dense(dim, "relu", name="wide")
        self.narrow = keras.layers.Dense(dim, name="narrow")
        self.drops = [keras.layers.Dropout(dropout, rng_type="stateful") for _ in range(3)]

    def call(self, states: tf.Tensor, events: Events, training: bool = False) -> tf.Tensor:
        """`[events, dim]` of states `[events, dim]`."""
        found = self.attention(self.norms[0](states), events, training=training)
        states += self.drops[0](found, training=training)
        wide = self.drops[1](self.wide(self.norms[1](states)), training=training)
        return states + self.drops[2](self.narrow(wide), training=training)


class LigrBlock(keras.layers.Layer):
    """x' = x + sigmoid(G₁ x) ⊙ drop(attention(norm x)); output x' + sigmoid(G₂ x') ⊙ drop(W₃ (silu(W₁ norm x') ⊙ W₂ norm x')).

    The inner width is 4 times that of x; a linear map follows the attention, and all maps have a bias.

    Source: the block of LiGR (Borisyuk et al., LiGR: Large-scale Generative Ranking, 2025) as eSASRec has it (Tikhonovich et al.,
    eSASRec, RecSys 2025), with SwiGLU (Shazeer, 2020).
    """

    def __init__(self, dim: int, heads: int, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.attention = Attention(dim, heads, dropout, output=True, name="attention")
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-6, name=f"norm{n}") for n in (1, 2)]
        self.gates = [keras.layers.Dense(dim, "sigmoid", name=f"gate{n}") for n in (1, 2)]
        self.wide = keras.layers.Dense(8 * dim, name="wide")
        self.narrow = keras.layers.Dense(dim, name="narrow")
        self.drops = [keras.layers.Dropout(dropout, rng_type="stateful") for _ in range(2)]

    def call(self, states: tf.Tensor, events: Events, training: bool = False) -> tf.Tensor:
        """`[events, dim]` of states `[events, dim]`."""
        found = self.attention(self.norms[0](states), events, training=training)
        states += self.gates[0](states) * self.drops[0](found, training=training)
        gate, value = tf.split(self.wide(self.norms[1](states)), 2, -1)
        found = self.drops[1](self.narrow(tf.nn.silu(gate) * value), training=training)
        return states + self.gates[1](states) * found


class HstuBlock(keras.layers.Layer):
    """U, V, Q, K = silu(W₁ norm x); A = silu(Q Kᵀ + b) / n; output x + drop(W₂ (norm(A V) ⊙ U)).

    b is learned: a number for each distance of places, and, with time, one for each bucket of the span from an event to the one
    after the event that looks (the moment of which is asked), by the logarithm of its seconds. n is the greatest length of a
    sequence.

    Source: Zhai et al., Actions Speak Louder than Words, ICML 2024, equations 1 to 3, and n and the biases of the published code.
    Deviations: W₁ has a bias and the norms a scale, dropout is behind W₂, and the norm of the output is the encoder's.

    Args:
        dim: width of the states.
        heads: number of heads, which divides `dim`; they share b.
        dropout: of what is added to x.
        length: the greatest length of a sequence.
        time: whether there is a bias by time.
    """

    def __init__(self, dim: int, heads: int, dropout: float, length: int, *, time: bool, **options: Any) -> None:
        super().__init__(**options)
        self.heads, self.length = heads, length
        self.uvqk = keras.layers.Dense(4 * dim, "silu", name="uvqk")
        self.output_map = keras.layers.Dense(dim, name="output")
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-6, name=f"norm{n}") for n in (1, 2)]
        self.drop = keras.layers.Dropout(dropout, rng_type="stateful")
        self.by_place = self.add_weight(f"{self.name}_by_place", (length,), initializer="zeros")
        self.by_time = self.add_weight(f"{self.name}_by_time", (BUCKETS,), initializer="zeros") if time else None

    def call(self, states: tf.Tensor, events: Events, training: bool = False) -> tf.Tensor:
        """`[events, dim]` of states `[events, dim]`."""
        gate, mixed = tf.split(self.uvqk(self.norms[0](states)), [states.shape[-1], 3 * states.shape[-1]], -1)
        value, query, key = (_heads(part, self.heads) for part in tf.split(events.apart(mixed), 3, -1))
        scores = tf.matmul(query, key, transpose_b=True) + self._bias(events)
        weights = tf.where(events.causal(), tf.nn.silu(scores) / self.length, tf.zeros([], scores.dtype))
        found = self.norms[1](events.joined(_beside(tf.matmul(weights, value))))
        return states + self.drop(self.output_map(found * gate), training=training)

    def _bias(self, events: Events) -> tf.Tensor:
        """b, `[1, 1, longest, longest]` or `[sequences, 1, longest, longest]`."""
        place = tf.range(events.longest)
        bias = tf.gather(self.by_place, tf.maximum(place[:, None] - place[None, :], 0))[None, None]
        if self.by_time is None:
            return bias
        assert events.age is not None, "events are read with their times"
        assert events.until is not None, "events are read with their times"
        age, asked = events.apart(events.age), events.apart(events.age - events.until)
        return bias + tf.gather(self.by_time, bucket(age[:, None, :] - asked[:, :, None]))[:, None]


class GruBlock(keras.layers.Layer):
    """A gated recurrent unit: z, r = sigmoid(W x + U h); c = tanh(W x + b + r ⊙ (U h + b')); output h' = z ⊙ h + (1 - z) ⊙ c.

    Source: Hidasi et al., Session-based Recommendations with Recurrent Neural Networks, ICLR 2016, equations 2 to 5. Deviation:
    the reset gate is behind the product with U, as cuDNN has it, and z weighs the old state; dropout is of what comes out.
    """

    def __init__(self, dim: int, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.gru = keras.layers.RNN(keras.layers.GRUCell(dim, reset_after=True), return_sequences=True, name="gru")
        self.drop = keras.layers.Dropout(dropout, rng_type="stateful")

    def call(self, states: tf.Tensor, events: Events, training: bool = False) -> tf.Tensor:
        """`[events, dim]` of states `[events, dim]`."""
        return self.drop(events.joined(self.gru(events.apart(states))), training=training)
