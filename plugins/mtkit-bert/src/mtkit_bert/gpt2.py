"""GPT-2 as ordinary Keras layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit_bert.blocks import AdaptedBlock, Stack, built, dropped, packed, padded
from mtkit_bert.layers import ACTIVATIONS, LayerNorm


@keras.saving.register_keras_serializable(package="mtkit_bert")
class Gpt2Block(AdaptedBlock):
    """One layer: causal self-attention and a feed-forward network, each on its normalized input.

    Args:
        num_heads: number of attention heads; divides the width of the hidden states.
        intermediate_size: width of the feed-forward network.
        activation: name as in `config.json`.
        epsilon: of the normalizations.
        dropout: rate on the outputs of both sub-layers.
        attention_dropout: rate on attention probabilities.
        **kwargs: those of `AdaptedBlock`.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """

    def __init__(
        self,
        *,
        num_heads: int,
        intermediate_size: int,
        activation: str = "gelu_new",
        epsilon: float = 1e-5,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.intermediate_size = num_heads, intermediate_size
        self.activation, self.epsilon = activation, epsilon
        self.dropout, self.attention_dropout = dropout, attention_dropout

    def build(self, shape: tf.TensorShape) -> None:
        """Creates the sub-layers for hidden states `[batch, tokens, width]`."""
        width = shape[-1]
        self.qkv = self._dense("qkv", width, 3 * width)
        self.attended = self._dense("attended", width, width)
        self.intermediate = self._dense("intermediate", width, self.intermediate_size)
        self.output_dense = self._dense("output", self.intermediate_size, width)
        policy = self.dtype_policy
        self.attention_norm = built(LayerNorm(self.epsilon, name="attention_norm", dtype=policy), width)
        self.feed_forward_norm = built(LayerNorm(self.epsilon, name="feed_forward_norm", dtype=policy), width)
        self.adapters = dict(self._adapters())
        super().build(shape)

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor, index: tf.Tensor | None = None, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Hidden states of the shape of `inputs`.

        Args:
            inputs: `[n, width]`, of all tokens.
            mask: bool `[batch, tokens, tokens]`: which tokens (last axis) a token sees.
            index: as in `mtkit_bert.layers.Block`.
            seed: int64 `[2]`, of dropout, which is a function of it; None = no dropout.
        """
        attended = self._dense_of("attended", self._attend(self.attention_norm(inputs), mask, index, seed))
        x = inputs + dropped(attended, self.dropout, seed, 0)
        y = ACTIVATIONS[self.activation](self._dense_of("intermediate", self.feed_forward_norm(x)))
        return x + dropped(self._dense_of("output_dense", y), self.dropout, seed, 1)

    def _attend(self, x: tf.Tensor, mask: tf.Tensor, index: tf.Tensor | None, seed: tf.Tensor | None) -> tf.Tensor:
        batch, tokens = tf.unstack(tf.shape(mask)[:2])
        width = x.shape[-1]
        size = width // self.num_heads
        qkv = padded(self._dense_of("qkv", x), index, batch, tokens)
        heads = tf.reshape(qkv, [batch, tokens, 3, self.num_heads, size])
        query, key, value = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
        scores = tf.matmul(query * tf.cast(size, x.dtype) ** -0.5, key, transpose_b=True)
        scores += (1 - tf.cast(mask, x.dtype))[:, None] * (x.dtype.min / 2)
        probabilities = dropped(tf.nn.softmax(scores), self.attention_dropout, seed, 2)
        return packed(tf.reshape(tf.transpose(tf.matmul(probabilities, value), [0, 2, 1, 3]), [-1, width]), index)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "num_heads": self.num_heads,
            "intermediate_size": self.intermediate_size,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
        }


@keras.saving.register_keras_serializable(package="mtkit_bert")
class Gpt2Model(Stack):
    """Hidden states of token ids, each of which sees those before it alone.

    Args:
        vocab_size: number of token ids.
        hidden_size: width of the hidden states.
        num_layers: number of blocks.
        num_heads: attention heads of each block.
        max_positions: rows of the position table.
        intermediate_size: width of the feed-forward networks; None = four times `hidden_size`.
        activation: name as in `config.json`.
        epsilon: of the normalizations.
        embedding_dropout: rate on embeddings.
        dropout: as in `Gpt2Block`.
        attention_dropout: as in `Gpt2Block`.
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
        max_positions: int = 1024,
        intermediate_size: int | None = None,
        activation: str = "gelu_new",
        epsilon: float = 1e-5,
        embedding_dropout: float = 0.1,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        initializer: Any = "glorot_uniform",
        lora: Mapping[str, Any] | None = None,
        recompute: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(dropout=embedding_dropout, recompute=recompute, **kwargs)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r} is not known; known are {', '.join(ACTIVATIONS)}")
        self.hidden_size, self.usable_positions = hidden_size, max_positions
        shared = {
            "num_heads": num_heads,
            "intermediate_size": intermediate_size or 4 * hidden_size,
            "activation": activation,
            "epsilon": epsilon,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "initializer": initializer,
            "lora": lora,
        }
        self._config = shared | {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "max_positions": max_positions,
            "embedding_dropout": embedding_dropout,
            "recompute": recompute,
        }
        self.words = self._embedding("words", vocab_size, hidden_size, initializer)
        self.positions = self._embedding("positions", max_positions, hidden_size, initializer)
        self.blocks = [Gpt2Block(name=f"block_{i}", dtype=self.dtype_policy, **shared) for i in range(num_layers)]
        self.norm = LayerNorm(epsilon, name="norm", dtype=self.dtype_policy)

    @property
    def embeddings(self) -> list[keras.layers.Layer]:
        """The layers below the blocks."""
        return [self.words, self.positions]

    @property
    def top(self) -> list[keras.layers.Layer]:
        """The layers above the blocks."""
        return [self.norm]

    def build(self, shape: tf.TensorShape) -> None:
        """Creates all variables, for token ids `[batch, tokens]`."""
        self.words.build(None)
        self.positions.build(None)
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
        """Hidden states, as those of `DecoderModel.call`."""
        real = tf.ones_like(input_ids) if attention_mask is None else tf.cast(attention_mask, tf.int32)
        mask, positions = causal(real)
        x = self.words(tf.where(real > 0, input_ids, 0)) + self.positions(positions)
        return self.norm(self._through(x, real, (mask,), training))


def causal(real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which tokens a token sees, bool `[batch, tokens, tokens]`, and positions int32 `[batch, tokens]` from 0 on.

    Args:
        real: int32 `[batch, tokens]`, 1 for tokens, 0 for padding on either side.
    """
    order = tf.range(tf.shape(real)[1])
    mask = (order[:, None] >= order)[None] & (real > 0)[:, None, :]
    return mask, tf.maximum(tf.cumsum(real, axis=1) - 1, 0)
