"""A decoder-style language model as ordinary Keras layers: Llama, Mistral, Qwen2 and Qwen3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mtkit.backend import keras, tf
from mtkit_bert.adapters import Place
from mtkit_bert.blocks import AdaptedBlock, Stack, built, dropped, packed, padded
from mtkit_bert.gpt2 import causal
from mtkit_bert.layers import ACTIVATIONS


@keras.saving.register_keras_serializable(package="mtkit_bert")
class RmsNorm(keras.layers.Layer):
    """Divides the last axis by its root mean square, then scales it. Computes in float32 under any policy.

    Args:
        epsilon: added to the mean square.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, shape: tf.TensorShape) -> None:
        """Creates `gamma`, float32 `[width]`."""
        self.gamma = self.add_weight("gamma", [shape[-1]], tf.float32, "ones", experimental_autocast=False)
        super().build(shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The normalized `inputs`, in their shape and dtype."""
        x = tf.cast(inputs, tf.float32)
        square = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)
        return tf.cast(x * tf.math.rsqrt(square + self.epsilon) * self.gamma, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="mtkit_bert")
class DecoderBlock(AdaptedBlock):
    """One layer of the decoder: causal self-attention and a gated feed-forward network, each on its normalized input.

    Args:
        num_heads: number of attention heads.
        num_kv_heads: number of heads of keys and values, each shared by `num_heads / num_kv_heads` queries.
        head_dim: width of a head; even.
        intermediate_size: width of the feed-forward network.
        activation: of its gate, a name as in `config.json`.
        epsilon: of the normalizations.
        rope_theta: base of the wavelengths of rotary positions.
        rope_scaling: how long wavelengths are stretched, as in `rotary_speeds`; None = they are not.
        qkv_bias: whether queries, keys and values have biases.
        output_bias: whether the output of attention has a bias.
        qk_norm: whether queries and keys are normalized, each head for itself (Qwen3).
        attention_dropout: rate on attention probabilities.
        **kwargs: those of `AdaptedBlock`; the target `intermediate` is both products before the gate.

    Source: Touvron et al. 2023, "LLaMA"; Su et al. 2021, "RoFormer" (rotary positions); Ainslie et al. 2023, "GQA";
    Shazeer 2020, "GLU Variants Improve Transformer" (SwiGLU).
    """

    places: ClassVar[Mapping[str, Place]] = {
        "query": Place("query"),
        "key": Place("key_value", 2, (0,)),
        "value": Place("key_value", 2, (1,)),
        "attention_output": Place("attended"),
        "intermediate": Place("gate_up", 2, (0, 1)),
        "output": Place("down"),
    }

    def __init__(
        self,
        *,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        intermediate_size: int,
        activation: str = "silu",
        epsilon: float = 1e-6,
        rope_theta: float = 10000.0,
        rope_scaling: Mapping[str, float] | None = None,
        qkv_bias: bool = False,
        output_bias: bool = False,
        qk_norm: bool = False,
        attention_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.num_kv_heads, self.head_dim = num_heads, num_kv_heads, head_dim
        self.intermediate_size, self.activation, self.epsilon = intermediate_size, activation, epsilon
        self.rope_theta, self.rope_scaling, self.qk_norm = rope_theta, rope_scaling, qk_norm
        self.qkv_bias, self.output_bias, self.attention_dropout = qkv_bias, output_bias, attention_dropout

    def build(self, shape: tf.TensorShape) -> None:
        """Creates the sub-layers for hidden states `[batch, tokens, width]`."""
        width, attended = shape[-1], self.num_heads * self.head_dim
        self.query = self._dense("query", width, attended, self.qkv_bias)
        self.key_value = self._dense("key_value", width, 2 * self.num_kv_heads * self.head_dim, self.qkv_bias)
        self.attended = self._dense("attended", attended, width, self.output_bias)
        self.gate_up = self._dense("gate_up", width, 2 * self.intermediate_size, bias=False)
        self.down = self._dense("down", self.intermediate_size, width, bias=False)
        self.attention_norm = self._norm("attention_norm", width)
        self.feed_forward_norm = self._norm("feed_forward_norm", width)
        if self.qk_norm:
            self.query_norm = self._norm("query_norm", self.head_dim)
            self.key_norm = self._norm("key_norm", self.head_dim)
        self.adapters = dict(self._adapters())
        super().build(shape)

    def _norm(self, name: str, width: int) -> RmsNorm:
        return built(RmsNorm(self.epsilon, name=name, dtype=self.dtype_policy), width)

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor,
        positions: tf.Tensor,
        index: tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Hidden states of the shape of `inputs`.

        Args:
            inputs: `[n, width]`, of all tokens.
            mask: bool `[batch, tokens, tokens]`: which tokens (last axis) a token sees.
            positions: int32 `[batch, tokens]`.
            index: as in `mtkit_bert.layers.Block`.
            seed: int64 `[2]`, of dropout, which is a function of it; None = no dropout.
        """
        attended = self._attend(self.attention_norm(inputs), mask, positions, index, seed)
        x = inputs + self._dense_of("attended", attended)
        gate, up = tf.split(self._dense_of("gate_up", self.feed_forward_norm(x)), 2, -1)
        return x + self._dense_of("down", ACTIVATIONS[self.activation](gate) * up)

    def _attend(
        self,
        x: tf.Tensor,
        mask: tf.Tensor,
        positions: tf.Tensor,
        index: tf.Tensor | None,
        seed: tf.Tensor | None,
    ) -> tf.Tensor:
        shared, size = self.num_kv_heads, self.head_dim
        batch, tokens = tf.unstack(tf.shape(mask)[:2])
        query, both = (padded(self._dense_of(name, x), index, batch, tokens) for name in ("query", "key_value"))
        query = tf.reshape(query, [batch, tokens, self.num_heads, size])
        key, value = tf.unstack(tf.reshape(both, [batch, tokens, 2, shared, size]), axis=2)
        if self.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        speeds = rotary_speeds(size, self.rope_theta, self.rope_scaling)
        query, key = (rotated(heads, positions, speeds) for heads in (query, key))
        # Heads of queries that share keys are neighbors.
        query = tf.transpose(tf.reshape(query, [batch, tokens, shared, -1, size]), [0, 2, 3, 1, 4])
        key, value = (tf.transpose(heads, [0, 2, 1, 3])[:, :, None] for heads in (key, value))
        scores = tf.matmul(query * tf.cast(size, x.dtype) ** -0.5, key, transpose_b=True)
        scores += (1 - tf.cast(mask, x.dtype))[:, None, None] * (x.dtype.min / 2)
        heads = tf.matmul(dropped(tf.nn.softmax(scores), self.attention_dropout, seed, 0), value)
        return packed(tf.reshape(tf.transpose(heads, [0, 3, 1, 2, 4]), [-1, self.num_heads * size]), index)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "num_heads": self.num_heads,
            "num_kv_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate_size,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling,
            "qkv_bias": self.qkv_bias,
            "output_bias": self.output_bias,
            "qk_norm": self.qk_norm,
            "attention_dropout": self.attention_dropout,
        }


@keras.saving.register_keras_serializable(package="mtkit_bert")
class DecoderModel(Stack):
    """Hidden states of token ids, each of which sees those before it alone.

    Args:
        vocab_size: number of token ids.
        hidden_size: width of the hidden states.
        num_layers: number of blocks.
        num_heads: attention heads of each block.
        intermediate_size: width of the feed-forward networks.
        num_kv_heads: heads of keys and values; None = `num_heads`.
        head_dim: width of a head; None = `hidden_size / num_heads`.
        max_positions: the largest number of tokens of a text.
        activation: name as in `config.json`.
        epsilon: of the normalizations.
        rope_theta: as in `DecoderBlock`.
        rope_scaling: as in `DecoderBlock`.
        qkv_bias: as in `DecoderBlock`.
        output_bias: as in `DecoderBlock`.
        qk_norm: as in `DecoderBlock`.
        attention_dropout: as in `DecoderBlock`.
        initializer: of embeddings and kernels.
        lora: of the blocks.
        recompute: as in `Stack`.
    """

    #: No id is free for padding.
    padding = -1

    def __init__(
        self,
        *,
        vocab_size: int,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        intermediate_size: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        max_positions: int = 2048,
        activation: str = "silu",
        epsilon: float = 1e-6,
        rope_theta: float = 10000.0,
        rope_scaling: Mapping[str, float] | None = None,
        qkv_bias: bool = False,
        output_bias: bool = False,
        qk_norm: bool = False,
        attention_dropout: float = 0.0,
        initializer: Any = "glorot_uniform",
        lora: Mapping[str, Any] | None = None,
        recompute: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(dropout=0.0, recompute=recompute, **kwargs)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r} is not known; known are {', '.join(ACTIVATIONS)}")
        self.hidden_size, self.usable_positions = hidden_size, max_positions
        shared = {
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads or num_heads,
            "head_dim": head_dim or hidden_size // num_heads,
            "intermediate_size": intermediate_size,
            "activation": activation,
            "epsilon": epsilon,
            "rope_theta": rope_theta,
            "rope_scaling": rope_scaling,
            "qkv_bias": qkv_bias,
            "output_bias": output_bias,
            "qk_norm": qk_norm,
            "attention_dropout": attention_dropout,
            "initializer": initializer,
            "lora": lora,
        }
        self._config = shared | {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "max_positions": max_positions,
            "recompute": recompute,
        }
        self.words = self._embedding("words", vocab_size, hidden_size, initializer)
        self.blocks = [DecoderBlock(name=f"block_{i}", dtype=self.dtype_policy, **shared) for i in range(num_layers)]
        self.norm = RmsNorm(epsilon, name="norm", dtype=self.dtype_policy)

    @property
    def embeddings(self) -> list[keras.layers.Layer]:
        """The layers below the blocks."""
        return [self.words]

    @property
    def top(self) -> list[keras.layers.Layer]:
        """The layers above the blocks."""
        return [self.norm]

    def build(self, shape: tf.TensorShape) -> None:
        """Creates all variables, for token ids `[batch, tokens]`."""
        self.words.build(None)
        for layer in (*self.blocks, self.norm):
            layer.build(tf.TensorShape([None, None, self.hidden_size]))
        super().build(shape)

    def call(
        self,
        input_ids: tf.Tensor,
        attention_mask: tf.Tensor | None = None,
        token_type_ids: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Hidden states `[batch, tokens, hidden_size]` of the last block, normalized.

        Args:
            input_ids: int32 `[batch, tokens]`.
            attention_mask: `[batch, tokens]`, 1 for tokens, 0 for padding on either side; None = no padding.
            token_type_ids: not read; a decoder has none.
            training: whether dropout is on.
        """
        real = tf.ones_like(input_ids) if attention_mask is None else tf.cast(attention_mask, tf.int32)
        mask, positions = causal(real)
        x = self.words(tf.where(real > 0, input_ids, 0))
        return self.norm(self._through(x, real, (mask, positions), training))


def rotated(heads: tf.Tensor, positions: tf.Tensor, speeds: np.ndarray) -> tf.Tensor:
    """Heads turned by rotary positions, where entry i of the first half of a head pairs with entry i of the second.

    Args:
        heads: `[batch, tokens, heads, head_dim]`.
        positions: int32 `[batch, tokens]`.
        speeds: `[head_dim / 2]`, radians by which a pair turns from one position to the next.
    """
    angles = tf.cast(positions, tf.float32)[:, :, None, None] * tf.constant(speeds, tf.float32)
    cos, sin = (tf.cast(turn(angles), heads.dtype) for turn in (tf.cos, tf.sin))
    first, second = tf.split(heads, 2, -1)
    return tf.concat([first * cos - second * sin, second * cos + first * sin], -1)


def rotary_speeds(head_dim: int, theta: float, scaling: Mapping[str, float] | None = None) -> np.ndarray:
    """Radians float64 `[head_dim / 2]` by which pairs turn from one position to the next: `theta ** (-2 i / head_dim)`.

    Args:
        head_dim: width of a head.
        theta: base of the wavelengths.
        scaling: None, or that of Llama 3.1 for texts longer than those of its first training. Pairs that turn less than
            `low_freq_factor` times within `original_max_position_embeddings` are slower by `factor`, those that turn
            more than `high_freq_factor` times are as they were, and those between them lie between.

    Source: Su et al. 2021, "RoFormer", equation 15; Grattafiori et al. 2024, "The Llama 3 Herd of Models", as published
    with its weights.
    """
    speeds = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    if scaling is None:
        return speeds
    turns = scaling["original_max_position_embeddings"] * speeds / (2 * np.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return speeds * (kept + (1 - kept) / scaling["factor"])
