"""What the networks have in common: blocks with adapters and dropout, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from mtkit.backend import keras, tf
from mtkit_bert.adapters import LowRankAdapter, Place, adapted_parts
from mtkit_bert.weights import from_checkpoint

# Places of dropout in a block.
_SITES = 3


class AdaptedBlock(keras.layers.Layer):
    """A block of a network; its dense layers may have low-rank adapters.

    Args:
        initializer: of the kernels.
        lora: `rank`, `alpha` and `targets` of low-rank adapters (`mtkit_bert.adapters`); None = none.
    """

    #: Where each target of an adapter is; here of blocks with one product for queries, keys and values.
    places: ClassVar[Mapping[str, Place]] = {
        "query": Place("qkv", 3, (0,)),
        "key": Place("qkv", 3, (1,)),
        "value": Place("qkv", 3, (2,)),
        "attention_output": Place("attended"),
        "intermediate": Place("intermediate"),
        "output": Place("output_dense"),
    }

    def __init__(
        self, *, initializer: Any = "glorot_uniform", lora: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.lora = lora

    def _dense(self, name: str, width: int, units: int, bias: bool = True) -> keras.layers.Layer:
        initializer = self.initializer.__class__.from_config(self.initializer.get_config())
        dense = keras.layers.Dense(
            units, use_bias=bias, kernel_initializer=initializer, name=name, dtype=self.dtype_policy
        )
        return built(dense, width)

    def _adapters(self) -> Iterator[tuple[str, LowRankAdapter]]:
        """Name of a dense layer that is built, and its adapter."""
        if self.lora is None:
            return
        for name, (parts, adapted) in adapted_parts(self.lora["targets"], self.places).items():
            dense = getattr(self, name)
            adapter = LowRankAdapter(
                dense.units, self.lora["rank"], self.lora["alpha"], parts, adapted,
                name=f"{dense.name}_lora", dtype=self.dtype_policy,
            )  # fmt: skip
            yield name, built(adapter, dense.kernel.shape[0])

    def _dense_of(self, name: str, x: tf.Tensor) -> tf.Tensor:
        y, adapter = getattr(self, name)(x), self.adapters.get(name)
        return y if adapter is None else adapter(x, y)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "initializer": keras.initializers.serialize(self.initializer),
            "lora": self.lora,
        }


class Stack(keras.layers.Layer):
    """A network of blocks, from token ids to hidden states.

    Args:
        dropout: rate on embeddings.
        recompute: in training, each block keeps its input only, and computes the rest again for the gradient: less
            memory for about a third more work. Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".

    Attributes:
        blocks: from the embeddings up.
    """

    def __init__(self, *, dropout: float, recompute: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.recompute = recompute
        self.drop = keras.layers.Dropout(dropout, rng_type="stateful", dtype=self.dtype_policy)

    @property
    def embeddings(self) -> list[keras.layers.Layer]:
        """The layers below the blocks, and what these share."""
        raise NotImplementedError

    @property
    def top(self) -> list[keras.layers.Layer]:
        """The layers above the blocks."""
        return []

    def _embedding(self, name: str, rows: int, width: int, initializer: Any) -> keras.layers.Layer:
        return keras.layers.Embedding(
            rows, width, embeddings_initializer=keras.initializers.get(initializer), name=name, dtype=self.dtype_policy
        )

    def _through(self, x: tf.Tensor, real: tf.Tensor, given: Sequence[Any], training: bool) -> tf.Tensor:
        """Hidden states of the last block, `[batch, tokens, width]`; in training, zeros where there is padding.

        In training, when texts of any length are together, padding goes through attention alone.

        Args:
            x: embeddings `[batch, tokens, width]`.
            real: `[batch, tokens]`, 1 for tokens, 0 for padding.
            given: what each block is called with beside hidden states.
            training: whether dropout is on.
        """
        shape = tf.shape(x, tf.int64)
        x = tf.reshape(x, [-1, x.shape[-1]])
        if not training:
            # Nothing asks for a generator, which draws from the random state when it is made.
            for block in self.blocks:
                x = block(x, *given)
            return tf.reshape(x, shape)
        index, seed = tf.where(tf.reshape(real, [-1]) > 0), self._seed()
        x = self.drop(tf.gather_nd(x, index), training=True)
        for number, block in enumerate(self.blocks):
            x = self._trained(block, x, *given, index, tf.add(seed, [0, _SITES * number]))
        return tf.reshape(tf.scatter_nd(index, x, [shape[0] * shape[1], shape[2]]), shape)

    def _trained(self, block: AdaptedBlock, x: tf.Tensor, *given: Any) -> tf.Tensor:
        if not self.recompute:
            return block(x, *given)
        return tf.recompute_grad(lambda hidden: block(hidden, *given))(x)

    def _seed(self) -> tf.Tensor:
        """Int64 `[2]`, another one in each call; from the generator that a checkpoint of the training keeps."""
        return self.drop._random_generator.make_seed_for_stateless_op()  # noqa: SLF001 - Keras has no other way

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


def dropped(x: tf.Tensor, rate: float, seed: tf.Tensor | None, site: int) -> tf.Tensor:
    """Dropout as a function of a seed, so that what is computed again is the same."""
    return tf.nn.experimental.stateless_dropout(x, rate, tf.add(seed, [0, site])) if seed is not None and rate else x


def padded(x: tf.Tensor, index: tf.Tensor | None, batch: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """What tokens have, `[batch, tokens, width]`.

    Args:
        x: `[n, width]`.
        index: int64 `[n, 1]`, the place of each among `batch * tokens`, zeros in the others; None = all are there.
        batch: number of texts.
        tokens: number of tokens of each, padding included.
    """
    if index is not None:
        x = tf.scatter_nd(index, x, tf.cast([batch * tokens, x.shape[-1]], tf.int64))
    return tf.reshape(x, [batch, tokens, x.shape[-1]])


def packed(x: tf.Tensor, index: tf.Tensor | None) -> tf.Tensor:
    """The inverse of `padded`: from `[batch, tokens, width]` to `[n, width]`."""
    x = tf.reshape(x, [-1, x.shape[-1]])
    return x if index is None else tf.gather_nd(x, index)


def built(layer: keras.layers.Layer, width: int) -> keras.layers.Layer:
    """The layer, built for inputs of a width."""
    layer.build(tf.TensorShape([None, width]))
    return layer
