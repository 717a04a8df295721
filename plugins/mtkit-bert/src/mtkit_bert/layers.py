"""A BERT-family encoder, pooling and projection as ordinary Keras layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from mtkit.backend import keras, tf
from mtkit_bert.adapters import LowRankAdapter, adapted_parts
from mtkit_bert.families import PoolingName
from mtkit_bert.weights import from_checkpoint

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

# Places of dropout in a block.
_SITES = 3


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
class Block(keras.layers.Layer):
    """One layer of the encoder: self-attention and a feed-forward network, each added to its input, then normalized.

    Args:
        num_heads: number of attention heads; divides the width of the hidden states.
        intermediate_size: width of the feed-forward network.
        activation: name as in `config.json` (`gelu`, `gelu_new`, `relu`, `silu`, …).
        epsilon: of the layer normalizations.
        dropout: rate on the outputs of both sub-layers.
        attention_dropout: rate on attention probabilities.
        initializer: of the kernels.
        lora: `rank`, `alpha` and `targets` of low-rank adapters (`mtkit_bert.adapters`); None = none.

    Source: Vaswani et al. 2017, "Attention Is All You Need", normalization after the sum. Queries, keys and values are
    one matrix product, and all products are taken over `[batch * tokens, width]`, where bias and product fuse on CPU.
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
        initializer: Any = "glorot_uniform",
        lora: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.intermediate_size = intermediate_size
        self.activation = activation
        self.epsilon = epsilon
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.initializer = keras.initializers.get(initializer)
        self.lora = lora

    def build(self, shape: tf.TensorShape) -> None:
        """Creates the sub-layers for hidden states `[batch, tokens, width]`."""
        width = shape[-1]
        self.qkv = self._dense("qkv", width, 3 * width)
        self.attended = self._dense("attended", width, width)
        self.intermediate = self._dense("intermediate", width, self.intermediate_size)
        self.output_dense = self._dense("output", self.intermediate_size, width)
        policy = self.dtype_policy
        self.attention_norm = _built(LayerNorm(self.epsilon, name="attention_norm", dtype=policy), width)
        self.output_norm = _built(LayerNorm(self.epsilon, name="output_norm", dtype=policy), width)
        self.adapters = dict(self._adapters())
        super().build(shape)

    def _adapters(self) -> Iterator[tuple[str, LowRankAdapter]]:
        if self.lora is None:
            return
        for name, (parts, adapted) in adapted_parts(self.lora["targets"]).items():
            dense = getattr(self, name)
            adapter = LowRankAdapter(
                dense.units, self.lora["rank"], self.lora["alpha"], parts, adapted,
                name=f"{dense.name}_lora", dtype=self.dtype_policy,
            )  # fmt: skip
            yield name, _built(adapter, dense.kernel.shape[0])

    def _dense(self, name: str, width: int, units: int) -> keras.layers.Layer:
        initializer = self.initializer.__class__.from_config(self.initializer.get_config())
        dense = keras.layers.Dense(units, kernel_initializer=initializer, name=name, dtype=self.dtype_policy)
        return _built(dense, width)

    def call(self, inputs: tf.Tensor, attention_mask: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Hidden states of the shape of `inputs`.

        Args:
            inputs: `[batch, tokens, width]`.
            attention_mask: `[batch, tokens]`, 1 for tokens, 0 for padding.
            seed: int64 `[2]`, of dropout, which is a function of it; None = no dropout.
        """
        x = tf.reshape(inputs, [-1, inputs.shape[-1]])
        attended = self._dense_of("attended", self._attend(x, attention_mask, seed))
        x = self.attention_norm(x + _dropped(attended, self.dropout, seed, 0))
        y = self._dense_of("output_dense", ACTIVATIONS[self.activation](self._dense_of("intermediate", x)))
        x = self.output_norm(x + _dropped(y, self.dropout, seed, 1))
        return tf.reshape(x, tf.shape(inputs))

    def _dense_of(self, name: str, x: tf.Tensor) -> tf.Tensor:
        y, adapter = getattr(self, name)(x), self.adapters.get(name)
        return y if adapter is None else adapter(x, y)

    def _attend(self, x: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        batch, tokens = tf.unstack(tf.shape(mask))
        width = x.shape[-1]
        size = width // self.num_heads
        heads = tf.reshape(self._dense_of("qkv", x), [batch, tokens, 3, self.num_heads, size])
        query, key, value = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
        scores = tf.matmul(query * tf.cast(size, x.dtype) ** -0.5, key, transpose_b=True)
        scores += (1 - tf.cast(mask, x.dtype))[:, None, None, :] * (x.dtype.min / 2)
        probabilities = _dropped(tf.nn.softmax(scores), self.attention_dropout, seed, 2)
        return tf.reshape(tf.transpose(tf.matmul(probabilities, value), [0, 2, 1, 3]), [-1, width])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "num_heads": self.num_heads,
            "intermediate_size": self.intermediate_size,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "initializer": keras.initializers.serialize(self.initializer),
            "lora": self.lora,
        }


@keras.saving.register_keras_serializable(package="mtkit_bert")
class BertModel(keras.layers.Layer):
    """Hidden states of token ids: embeddings and a stack of `Block`. Also RoBERTa, XLM-R and DistilBERT.

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
        activation: name as in `config.json`.
        epsilon: of the layer normalizations.
        dropout: rate on embeddings and on the outputs of sub-layers.
        attention_dropout: rate on attention probabilities.
        initializer: of embeddings and kernels.
        lora: of the blocks.
        recompute: in training, each block keeps its input only, and computes the rest again for the gradient: less
            memory for about a third more work. Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".

    Source: Devlin et al. 2019, "BERT"; Liu et al. 2019, "RoBERTa"; Sanh et al. 2019, "DistilBERT".
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
        activation: str = "gelu",
        epsilon: float = 1e-12,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        initializer: Any = "glorot_uniform",
        lora: Mapping[str, Any] | None = None,
        recompute: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size {hidden_size} is not a multiple of num_heads {num_heads}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r} is not known; known are {', '.join(ACTIVATIONS)}")
        self.hidden_size = hidden_size
        self.position_padding = position_padding
        self.recompute = recompute
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
            "attention_dropout": attention_dropout,
            "recompute": recompute,
        }
        self.words = self._embedding("words", vocab_size)
        self.positions = self._embedding("positions", max_positions)
        self.types = self._embedding("types", token_types) if token_types else None
        self.norm = LayerNorm(epsilon, name="norm", dtype=self.dtype_policy)
        self.drop = keras.layers.Dropout(dropout, rng_type="stateful", dtype=self.dtype_policy)
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
        """The layers below the blocks."""
        return [layer for layer in (self.words, self.positions, self.types, self.norm) if layer is not None]

    def _embedding(self, name: str, rows: int) -> keras.layers.Layer:
        initializer = keras.initializers.get(self._config["initializer"])
        return keras.layers.Embedding(
            rows, self.hidden_size, embeddings_initializer=initializer, name=name, dtype=self.dtype_policy
        )

    def build(self, shape: tf.TensorShape) -> None:
        """Creates all variables, for token ids `[batch, tokens]`."""
        for layer in (self.words, self.positions, self.types):
            if layer is not None:
                layer.build(None)
        _built(self.norm, self.hidden_size)
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
        x = self.norm(x)
        # Without training nothing asks for a generator, which draws from the random state when it is made.
        seed = self._seed() if training else None
        x = self.drop(x, training=True) if training else x
        for number, block in enumerate(self.blocks):
            own = None if seed is None else tf.add(seed, [0, _SITES * number])
            x = self._through(block, x, mask, own) if training else block(x, mask)
        return x

    def _seed(self) -> tf.Tensor:
        """Int64 `[2]`, another one in each call; from the generator that a checkpoint of the training keeps."""
        return self.drop._random_generator.make_seed_for_stateless_op()  # noqa: SLF001 - Keras has no other way

    def _through(self, block: Block, x: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        if not self.recompute:
            return block(x, mask, seed)
        return tf.recompute_grad(lambda hidden: block(hidden, mask, seed))(x)

    def _positions(self, input_ids: tf.Tensor) -> tf.Tensor:
        if self.position_padding is None:
            return tf.range(tf.shape(input_ids)[1])[None, :]
        real = tf.cast(input_ids != self.position_padding, tf.int32)
        return tf.cumsum(real, axis=1) * real + self.position_padding

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | self._config

    @classmethod
    def from_checkpoint(cls, path: Path | str, **kwargs: Any) -> Self:
        """The network of a checkpoint directory, with its weights.

        Args:
            path: a directory with `config.json` and `model.safetensors`.
            **kwargs: arguments of the constructor that replace those of `config.json` (`dropout`, `name`).

        Raises:
            DataError: an unknown family, or tensors that do not fit the network one to one.
        """
        return from_checkpoint(cls, Path(path), kwargs)


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


def _dropped(x: tf.Tensor, rate: float, seed: tf.Tensor | None, site: int) -> tf.Tensor:
    """Dropout as a function of a seed, so that what is computed again is the same."""
    return tf.nn.experimental.stateless_dropout(x, rate, tf.add(seed, [0, site])) if seed is not None and rate else x


def _built(layer: keras.layers.Layer, width: int) -> keras.layers.Layer:
    layer.build(tf.TensorShape([None, width]))
    return layer
