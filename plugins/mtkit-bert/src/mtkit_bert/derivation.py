"""The frozen encoder inside a servable: from token ids to the vectors that were derived for the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from mtkit.backend import tf
from mtkit.spec import ServingInput
from mtkit_bert.checkpoint import digest
from mtkit_bert.layers import Pooling
from mtkit_bert.network import Network, load_network
from mtkit_bert.reading import CombineName, Reading
from mtkit_bert.windows import combined, encoded

#: Encoders over one checkpoint share its weights, which an export then holds once.
_networks: WeakValueDictionary[str, Network] = WeakValueDictionary()


class TextDerivation(tf.Module):
    """Vectors of texts that come as token ids: a frozen network, pooling, and the map learned on the catalog.

    Args:
        path: directory of the checkpoint.
        reading: how a text becomes a vector.
        components: mean `[width]` and matrix `[width, components]`; None = the vectors as they are.
        inputs: name of each input -> what it is; each is one text of a row.
        combine: of the vectors of a row's texts.
        address: of the result.
        rows_address: of the number of a row in the catalog, which is 0 for what is not in it; None = not asked for.
    """

    def __init__(
        self,
        path: Path,
        reading: Reading,
        components: tuple[np.ndarray, np.ndarray] | None,
        *,
        inputs: Mapping[str, str],
        combine: CombineName,
        address: str,
        rows_address: str | None = None,
    ) -> None:
        super().__init__()
        self._address, self._rows_address, self._combine = address, rows_address, combine
        self.network = _network(path)
        self.pooling = Pooling(reading.pooling, dtype="float32")
        self.map = components and tuple(tf.Variable(values, trainable=False, dtype=tf.float32) for values in components)
        self.padding = self.network.padding
        self._size = reading.max_tokens if reading.chunks > 1 else None
        self.inputs = _token_ids(inputs, self.padding)
        # All texts of all signatures call one function, or each would have a network of its own in the graph.
        self._encode = tf.function(self._vectors, [tf.TensorSpec([None, None], tf.int32)], autograph=False)

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Address -> vectors `[rows, width]`; zeros where there is no text."""
        vectors, there = (
            tf.stack(parts, 1) for parts in zip(*(self._encode(inputs[name]) for name in self.inputs), strict=True)
        )
        columns = {self._address: combined(vectors, there, self._combine)}
        if self._rows_address:
            columns[self._rows_address] = tf.zeros_like(there[:, :1], tf.int32)
        return columns

    def _vectors(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, there = encoded(self._pooled, ids, self.padding, self._size)
        if self.map:
            mean, matrix = self.map
            vectors = tf.where(there[:, None], tf.matmul(vectors - mean, matrix), tf.zeros([]))
        return vectors, there

    def _pooled(self, ids: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        mask = tf.sequence_mask(count, tf.shape(ids)[1], tf.int32)
        return self.pooling(self.network(ids, mask), mask)


class TokenDerivation(tf.Module):
    """Columns of a trainable text encoder for texts that come as token ids; the network is in the model.

    Args:
        inputs: name of each input -> what it is; each is one text of a row.
        padding: id behind the tokens of shorter texts.
        tokens: address of the token ids.
        numbers: address of the numbers of texts.
    """

    def __init__(self, *, inputs: Mapping[str, str], padding: int, tokens: str, numbers: str) -> None:
        super().__init__()
        self._tokens, self._numbers, self._padding = tokens, numbers, padding
        self.inputs = _token_ids(inputs, padding)

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Address -> column, each text with a number of its own."""
        texts = [inputs[name] for name in self.inputs]
        rows, widths = tf.shape(texts[0])[0], [tf.shape(ids)[1] for ids in texts]
        beyond = [tf.reduce_max(tf.stack(widths)) - width for width in widths]
        texts = [
            tf.pad(ids, [[0, 0], [0, more]], constant_values=self._padding)
            for ids, more in zip(texts, beyond, strict=True)
        ]
        numbers = tf.reshape(tf.range(rows * len(texts)), [rows, len(texts)])
        return {self._tokens: tf.concat(texts, 1), self._numbers: numbers}


class StringDerivation(tf.Module):
    """Another derivation for texts that come as strings.

    Args:
        derivation: takes token ids.
        tokenizer: from strings `[rows]` to token ids.
        inputs: name of each input -> what it is, in the order of those of `derivation`.
    """

    def __init__(self, derivation: TextDerivation | TokenDerivation, tokenizer: Any, inputs: Mapping[str, str]) -> None:
        super().__init__()
        self.derivation, self.tokenizer = derivation, tokenizer
        # Of thousands of operations: all texts of all signatures call one function.
        self._token_ids = tf.function(tokenizer, [tf.TensorSpec([None], tf.string)], autograph=False)
        self.inputs = {name: ServingInput("string", (), about) for name, about in inputs.items()}

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Address -> column, as the derivation gives it for the token ids of the texts."""
        names = zip(self.derivation.inputs, self.inputs, strict=True)
        return self.derivation({ids: self._token_ids(inputs[name]) for ids, name in names})


def _token_ids(inputs: Mapping[str, str], padding: int) -> dict[str, ServingInput]:
    ends = f", padded behind with {padding}; padding alone = no text"
    return {name: ServingInput("int32", (None,), about + ends) for name, about in inputs.items()}


def _network(path: Path) -> Network:
    key = digest(path)
    network = _networks.get(key)
    if network is None:
        _networks[key] = network = load_network(path, dtype="float32")
    return network
