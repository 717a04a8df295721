"""A BERT-family encoder, pooling and projection as ordinary Keras layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit_bert.blocks import AdaptedBlock, Stack, built, dropped, packed, padded
from mtkit_bert.families import PoolingName
from mtkit_bert.relative_bias import RelativeBias

#: Name in `config.json` -> function.
ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_fast": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * tf.sigmoid(1.702 * x),
    "relu": tf.nn.relu,
    "silu": tf.nn.silu,
    "swish": tf.nn.silu,
}


@keras.saving.register_keras_serializable(package="mtkit_bert")
class LayerNorm(keras.layers.Layer):
    """Normalizes the last axis to mean 0 and variance 1, then scales and shifts it.

    Computes in float32 under any policy. Written out because `keras.layers.LayerNormalization` leaves its fused kernel
    for the small epsilon of BERT.

    Args:
        epsilon: added to the variance.

    Source: Ba et al. 2016, "Layer Normalization".
    """

    def __init__(self, epsilon: float = 1e-12, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, shape: tf.TensorShape) -> None:
        """Creates `gamma` and `beta`, float32 `[width]`."""
        self.gamma = self.add_weight("gamma", [shape[-1]], tf.float32, "ones", experimental_autocast=False)
        self.beta = self.add_weight("beta", [shape[-1]], tf.float32, "zeros", experimental_autocast=False)
        super().build(shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The normalized `inputs`, in their shape and dtype."""
        x = tf.cast(inputs, tf.float32)
        x -= tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)
        return tf.cast(x * tf.math.rsqrt(variance + self.epsilon) * self.gamma + self.beta, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="mtkit_bert")
class Block(AdaptedBlock):
    """One layer of the encoder: self-attention and a feed-forward network, each added to its input, then normalized.

    Args:
        num_heads: number of attention heads; divides the width of the hidden states.
        intermediate_size: width of the feed-forward network.
        activation: name as in `config.json` (`gelu`, `gelu_new`, `relu`, `silu`, …).
        epsilon: of the layer normalizations.
        dropout: rate on the outputs of both sub-layers.
        attention_dropout: rate on attention probabilities.
        **kwargs: those of `AdaptedBlock`.

    Source: Vaswani et al. 2017, "Attention Is All You Need", normalization after the sum. Queries, keys and values are
    one matrix product, and all products are taken over `[n, width]`, where bias and product fuse on CPU.
    """

    def __init__(
        self,
        *,
        num_heads: int,
        intermediate_size: int,
        activation: str = "gelu",
        epsilon: float = 1e-12,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.intermediate_size = intermediate_size
        self.activation = activation
        self.epsilon = epsilon
        self.dropout = dropout
        self.attention_dropout = attention_dropout

    def build(self, shape: tf.TensorShape) -> None:
        """Creates the sub-layers for hidden states `[batch, tokens, width]`."""
        width = shape[-1]
        self.qkv = self._dense("qkv", width, 3 * width)
        self.attended = self._dense("attended", width, width)
        self.intermediate = self._dense("intermediate", width, self.intermediate_size)
        self.output_dense = self._dense("output", self.intermediate_size, width)
        policy = self.dtype_policy
        self.attention_norm = built(LayerNorm(self.epsilon, name="attention_norm", dtype=policy), width)
        self.output_norm = built(LayerNorm(self.epsilon, name="output_norm", dtype=policy), width)
        self.adapters = dict(self._adapters())
        super().build(shape)

    def call(
        self,
        inputs: tf.Tensor,
        attention_mask: tf.Tensor,
        relative: RelativeBias | None = None,
        index: tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Hidden states of the shape of `inputs`.

        Args:
            inputs: `[n, width]`, of all tokens.
            attention_mask: `[batch, tokens]`, 1 for tokens, 0 for padding.
            relative: of the network; a layer, as the gradient of a block that is computed again reaches variables only.
            index: int64 `[n, 1]`, places of `inputs` among `batch * tokens`; None = all, in order.
            seed: int64 `[2]`, of dropout, which is a function of it; None = no dropout.
        """
        attended = self._dense_of("attended", self._attend(inputs, attention_mask, relative, index, seed))
        x = self.attention_norm(inputs + dropped(attended, self.dropout, seed, 0))
        y = self._dense_of("output_dense", ACTIVATIONS[self.activation](self._dense_of("intermediate", x)))
        return self.output_norm(x + dropped(y, self.dropout, seed, 1))

    def _attend(
        self,
        x: tf.Tensor,
        mask: tf.Tensor,
        relative: RelativeBias | None,
        index: tf.Tensor | None,
        seed: tf.Tensor | None,
    ) -> tf.Tensor:
        batch, tokens = tf.unstack(tf.shape(mask))
        width = x.shape[-1]
        size = width // self.num_heads
        qkv = padded(self._dense_of("qkv", x), index, batch, tokens)
        heads = tf.reshape(qkv, [batch, tokens, 3, self.num_heads, size])
        query, key, value = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
        scores = tf.matmul(query * tf.cast(size, x.dtype) ** -0.5, key, transpose_b=True)
        scores += (1 - tf.cast(mask, x.dtype))[:, None, None, :] * (x.dtype.min / 2)
        if relative is not None:
            scores += relative(tokens)
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
class BertModel(Stack):
    """Hidden states of token ids: embeddings and a stack of `Block`. Also RoBERTa, XLM-R, DistilBERT and MPNet.

    Args:
        vocab_size: number of token ids.
        hidden_size: width of the hidden states.
        num_layers: number of blocks.
        num_heads: attention heads of each block.
        intermediate_size: width of the feed-forward networks.
        max_positions: rows of the position table.
        token_types: rows of the token type table; 0 = none.
        position_padding: None = position i is row i. An id = positions count the tokens that are not this id, and begin
            at the row after it (RoBERTa).
        relative_buckets: rows of the table of distances between tokens (MPNet); 0 = none.
        activation: name as in `config.json`.
        epsilon: of the layer normalizations.
        dropout: rate on embeddings and on the outputs of sub-layers.
        attention_dropout: rate on attention probabilities.
        initializer: of embeddings and kernels.
        lora: of the blocks.
        recompute: as in `Stack`.

    Source: Devlin et al. 2019, "BERT"; Liu et al. 2019, "RoBERTa"; Sanh et al. 2019, "DistilBERT"; Song et al. 2020,
    "MPNet".
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        intermediate_size: int,
        max_positions: int = 512,
        token_types: int = 2,
        position_padding: int | None = None,
        relative_buckets: int = 0,
        activation: str = "gelu",
        epsilon: float = 1e-12,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        initializer: Any = "glorot_uniform",
        lora: Mapping[str, Any] | None = None,
        recompute: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(dropout=dropout, recompute=recompute, **kwargs)
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size {hidden_size} is not a multiple of num_heads {num_heads}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r} is not known; known are {', '.join(ACTIVATIONS)}")
        self.hidden_size = hidden_size
        self.position_padding = position_padding
        shared = {
            "activation": activation, "epsilon": epsilon, "dropout": dropout, "initializer": initializer, "lora": lora
        }  # fmt: skip
        self._config = shared | {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "intermediate_size": intermediate_size,
            "max_positions": max_positions,
            "token_types": token_types,
            "position_padding": position_padding,
            "relative_buckets": relative_buckets,
            "attention_dropout": attention_dropout,
            "recompute": recompute,
        }
        self.words = self._embedding("words", vocab_size, hidden_size, initializer)
        self.positions = self._embedding("positions", max_positions, hidden_size, initializer)
        self.types = self._embedding("types", token_types, hidden_size, initializer) if token_types else None
        self.norm = LayerNorm(epsilon, name="norm", dtype=self.dtype_policy)
        self.relative = None
        if relative_buckets:
            self.relative = RelativeBias(
                relative_buckets, num_heads, max_positions, initializer, name="relative", dtype=self.dtype_policy
            )
        self.blocks = [
            Block(
                num_heads=num_heads,
                intermediate_size=intermediate_size,
                attention_dropout=attention_dropout,
                name=f"block_{i}",
                dtype=self.dtype_policy,
                **shared,
            )
            for i in range(num_layers)
        ]

    @property
    def padding(self) -> int:
        """The id that stands behind the tokens of shorter texts."""
        return self.position_padding or 0

    @property
    def usable_positions(self) -> int:
        """The largest number of tokens of a text."""
        offset = 0 if self.position_padding is None else self.position_padding + 1
        return self._config["max_positions"] - offset

    @property
    def embeddings(self) -> list[keras.layers.Layer]:
        """The layers below the blocks, and what these share."""
        layers = (self.words, self.positions, self.types, self.norm, self.relative)
        return [layer for layer in layers if layer is not None]

    def build(self, shape: tf.TensorShape) -> None:
        """Creates all variables, for token ids `[batch, tokens]`."""
        for layer in (self.words, self.positions, self.types, self.relative):
            if layer is not None:
                layer.build(None)
        built(self.norm, self.hidden_size)
        for block in self.blocks:
            block.build(tf.TensorShape([None, None, self.hidden_size]))
        super().build(shape)

    def call(
        self,
        input_ids: tf.Tensor,
        attention_mask: tf.Tensor | None = None,
        token_type_ids: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Hidden states `[batch, tokens, hidden_size]` of the last block.

        Args:
            input_ids: int32 `[batch, tokens]`.
            attention_mask: `[batch, tokens]`, 1 for tokens, 0 for padding; None = no padding.
            token_type_ids: int32 `[batch, tokens]`; None = all 0.
            training: whether dropout is on.
        """
        mask = tf.ones_like(input_ids) if attention_mask is None else attention_mask
        x = self.words(input_ids) + self.positions(self._positions(input_ids))
        if self.types is not None:
            x += self.types(tf.zeros_like(input_ids) if token_type_ids is None else token_type_ids)
        return self._through(self.norm(x), mask, (mask, self.relative), training)

    def _positions(self, input_ids: tf.Tensor) -> tf.Tensor:
        if self.position_padding is None:
            return tf.range(tf.shape(input_ids)[1])[None, :]
        real = tf.cast(input_ids != self.position_padding, tf.int32)
        return tf.cumsum(real, axis=1) * real + self.position_padding


@keras.saving.register_keras_serializable(package="mtkit_bert")
class Pooling(keras.layers.Layer):
    """One vector per text: the mean of its tokens' hidden states, or that of the first or last one.

    Args:
        pooling: `mean` (sentence encoders), `cls` (BGE and others trained on the first token) or `last` (decoders).
    """

    def __init__(self, pooling: PoolingName = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pooling = pooling

    def call(self, hidden: tf.Tensor, attention_mask: tf.Tensor) -> tf.Tensor:
        """Vectors `[batch, width]`.

        Args:
            hidden: `[batch, tokens, width]`.
            attention_mask: `[batch, tokens]`, 1 for tokens, 0 for padding: on the right, or with `last` on either side.
        """
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "last":
            order = tf.range(tf.shape(hidden)[1])
            last = tf.reduce_max(tf.where(tf.cast(attention_mask, tf.bool), order, 0), axis=1)
            return tf.gather(hidden, last, batch_dims=1)
        mask = tf.cast(attention_mask, hidden.dtype)[:, :, None]
        return tf.math.divide_no_nan(tf.reduce_sum(hidden * mask, axis=1), tf.reduce_sum(mask, axis=1))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"pooling": self.pooling}
