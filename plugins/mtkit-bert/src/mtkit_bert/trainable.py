"""A text network that trains within the model: each distinct text of a batch goes through it once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from mtkit.backend import keras, tf
from mtkit_bert.adapters import LowRankAdapter
from mtkit_bert.families import PoolingName
from mtkit_bert.layers import Pooling
from mtkit_bert.network import Network
from mtkit_bert.projection import PrincipalComponents, small_dense
from mtkit_bert.reading import CombineName
from mtkit_bert.windows import combined, encoded

Mode = Literal["lora", "last_n", "full"]

# Texts that are encoded at once where there is no gradient: enough to be fast, few enough for any catalog.
_BLOCK = 128


@keras.saving.register_keras_serializable(package="mtkit_bert")
class TrainableText(keras.layers.Layer):
    """Embeddings of texts that come as token ids; the network, or parts of it, and the projection train.

    Rows with the same text share one pass through the network, which sees no more tokens than the longest text has. A
    missing text becomes the learned bias, as it does where texts are frozen. Without `training`, texts are encoded in
    blocks of similar length, so that a whole catalog takes no more memory than a block.

    Args:
        network: from token ids to hidden states; its weights are there already.
        tokens: key of the token ids among the features, padded behind.
        numbers: key of the numbers of texts.
        dim: width of the embedding.
        mode: what of the network trains: its low-rank adapters, the `last_n` last blocks and what is above them, or all.
        last_n: number of blocks, with mode `last_n`.
        pooling: one vector from the tokens, as `Pooling` has it.
        learning_rate_factor: of the network's last block; the projection has the learning rate of the model.
        layer_decay: each block's factor is this share of that of the block above; embeddings are below all blocks.
        window: texts of more token ids are split into windows of this many; the vector of a text is then the mean of
            theirs, weighted by their numbers of tokens. None = a text is one window.
        combine: of the vectors of a row's texts: the `mean` of those that are there, or `concat`.
        transform: of each text's vector before that, fixed; None = the vectors as they are.

    Source: layer-wise decay of learning rates: Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text
    Classification", section 3.2, with the factor as in Clark et al. 2020, "ELECTRA", appendix A.
    """

    #: XLA cannot: how many texts a batch has, and how long they are, is known from their values only.
    compilable = False

    def __init__(
        self,
        network: Network | Mapping[str, Any],
        tokens: str,
        numbers: str,
        dim: int = 64,
        mode: Mode = "full",
        last_n: int = 0,
        pooling: PoolingName = "mean",
        learning_rate_factor: float = 1.0,
        layer_decay: float = 1.0,
        window: int | None = None,
        combine: CombineName = "mean",
        transform: PrincipalComponents | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(network, Mapping):
            network = keras.saving.deserialize_keras_object(network)
        if isinstance(transform, Mapping):
            transform = keras.saving.deserialize_keras_object(transform)
        self.network: Network = network
        self.transform: PrincipalComponents | None = transform
        self.tokens, self.numbers, self.dim = tokens, numbers, dim
        self.mode, self.last_n = mode, last_n
        self.learning_rate_factor, self.layer_decay = learning_rate_factor, layer_decay
        self.window, self.combine = window, combine
        # Means over tokens are sums of many small numbers, which half precision cannot hold.
        self.pooling = Pooling(pooling, dtype="float32")
        self.dense = small_dense(dim, self.dtype_policy)
        if network.built:
            self._freeze()

    def build(self, shape: Any) -> None:
        """Creates the network's variables where a checkpoint has not, and freezes what does not train."""
        if not self.network.built:
            self.network.build(tf.TensorShape([None, None]))
            self._freeze()
        super().build(shape)

    def _freeze(self) -> None:
        for layer in self._frozen():
            layer.trainable = False

    def _frozen(self) -> Iterator[keras.layers.Layer]:
        blocks = self.network.blocks
        if self.mode == "full":
            return
        yield from self.network.embeddings
        if self.mode == "last_n":
            yield from blocks[: len(blocks) - self.last_n]
            return
        yield from self.network.top
        for block in blocks:
            yield from (layer for layer in block.submodules if not isinstance(layer, LowRankAdapter))

    def learning_rate_factors(self) -> list[tuple[Any, float]]:
        """The network's trainable variables with the factors of their learning rates, where these are not 1."""
        blocks = self.network.blocks
        depths = {id(v): depth for depth, block in enumerate(reversed(blocks)) for v in block.trainable_variables}
        depths |= {id(variable): 0 for layer in self.network.top for variable in layer.trainable_variables}
        variables = self.network.trainable_variables
        powers = (self.layer_decay ** depths.get(id(variable), len(blocks)) for variable in variables)
        factors = (self.learning_rate_factor * power for power in powers)
        return [(variable, factor) for variable, factor in zip(variables, factors, strict=True) if factor != 1.0]

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embeddings `[rows, dim]`.

        Args:
            features: with token ids int32 `[rows, texts * tokens]`, and numbers of texts int32 `[rows, texts]`, which are
                the same only where the texts are; others are ignored.
            training: whether dropout is on.
        """
        numbers, tokens = features[self.numbers], features[self.tokens]
        rows, texts = tf.shape(numbers)[0], numbers.shape[1]
        tokens = tf.reshape(tokens, [rows * texts, tf.shape(tokens)[1] // texts])
        distinct, place = tf.unique(tf.reshape(numbers, [-1]))
        first = tf.math.unsorted_segment_min(tf.range(tf.size(place)), place, tf.size(distinct))
        encode = self._trained if training else self._in_blocks
        vectors, there = encoded(encode, tf.gather(tokens, first), self.network.padding, self.window)
        if self.transform:
            vectors = tf.where(there[:, None], self.transform(vectors), tf.zeros([]))
        place = tf.reshape(place, [rows, texts])
        return self.dense(combined(tf.gather(vectors, place), tf.gather(there, place), self.combine))

    def _trained(self, tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return self._vectors(tokens, lengths, training=True)

    def _vectors(self, tokens: tf.Tensor, lengths: tf.Tensor, training: bool) -> tf.Tensor:
        """Pooled vectors float32 `[windows, width]` of token ids, which are cut to the longest window."""
        longest = tf.maximum(tf.reduce_max(lengths), 1)
        tokens, mask = tokens[:, :longest], tf.sequence_mask(lengths, longest, tf.int32)
        return self.pooling(self.network(tokens, mask, training=training), mask)

    def _in_blocks(self, tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        order = tf.argsort(lengths, stable=True)
        steps = tf.maximum(-(-tf.size(order) // _BLOCK), 1)
        shape = tf.TensorShape([None, self.network.hidden_size])
        blocks = tf.TensorArray(tf.float32, steps, infer_shape=False, element_shape=shape)

        def encode(step: tf.Tensor, blocks: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            rows = order[step * _BLOCK : (step + 1) * _BLOCK]
            vectors = self._vectors(tf.gather(tokens, rows), tf.gather(lengths, rows), training=False)
            return step + 1, blocks.write(step, vectors)

        _, blocks = tf.while_loop(lambda step, _: step < steps, encode, (0, blocks), parallel_iterations=1)
        return tf.gather(blocks.concat(), tf.math.invert_permutation(order))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "tokens": self.tokens,
            "numbers": self.numbers,
            "dim": self.dim,
            "mode": self.mode,
            "last_n": self.last_n,
            "pooling": self.pooling.pooling,
            "learning_rate_factor": self.learning_rate_factor,
            "layer_decay": self.layer_decay,
            "window": self.window,
            "combine": self.combine,
            "transform": self.transform and keras.saving.serialize_keras_object(self.transform),
        }
