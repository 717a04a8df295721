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
from mtkit_bert.families import PoolingName
from mtkit_bert.layers import Pooling
from mtkit_bert.network import Network, load_network

#: Encoders over one checkpoint share its weights, which an export then holds once.
_networks: WeakValueDictionary[str, Network] = WeakValueDictionary()


class TextDerivation(tf.Module):
    """Vectors of texts that come as token ids: a frozen network, pooling, and the map learned on the catalog.

    Args:
        path: directory of the checkpoint.
        pooling: how hidden states become one vector.
        components: mean `[width]` and matrix `[width, components]`; None = the vectors as they are.
        name: of the input.
        about: what the input is.
        address: of the result.
        rows_address: of the number of a row in the catalog, which is 0 for what is not in it; None = not asked for.
    """

    def __init__(
        self,
        path: Path,
        pooling: PoolingName,
        components: tuple[np.ndarray, np.ndarray] | None,
        *,
        name: str,
        about: str,
        address: str,
        rows_address: str | None = None,
    ) -> None:
        super().__init__()
        self._input, self._address, self._rows_address = name, address, rows_address
        self.network = _network(path)
        self.pooling = Pooling(pooling, dtype="float32")
        self.map = components and tuple(tf.Variable(values, trainable=False, dtype=tf.float32) for values in components)
        self.padding = self.network.padding
        self.inputs = {name: _token_ids(about, self.padding)}

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Address -> vectors `[rows, width]`; zeros where there is no text."""
        ids = inputs[self._input]
        # By the last id that is not padding: a text may hold the padding's name itself.
        places = tf.where(ids != self.padding, tf.range(1, tf.shape(ids)[1] + 1), 0)
        mask = tf.sequence_mask(tf.reduce_max(places, 1), tf.shape(ids)[1], tf.int32)
        vectors = self.pooling(self.network(ids, mask), mask)
        if self.map:
            mean, matrix = self.map
            vectors = tf.matmul(vectors - mean, matrix)
        there = tf.reduce_any(mask > 0, 1, keepdims=True)
        columns = {self._address: tf.where(there, vectors, tf.zeros_like(vectors))}
        if self._rows_address:
            columns[self._rows_address] = tf.zeros_like(ids[:, :1])
        return columns


class TokenDerivation(tf.Module):
    """Columns of a trainable text encoder for texts that come as token ids; the network is in the model.

    Args:
        name: of the input.
        about: what the input is.
        padding: id behind the tokens of shorter texts.
        tokens: address of the token ids.
        numbers: address of the numbers of texts.
    """

    def __init__(self, *, name: str, about: str, padding: int, tokens: str, numbers: str) -> None:
        super().__init__()
        self._input, self._tokens, self._numbers = name, tokens, numbers
        self.inputs = {name: _token_ids(about, padding)}

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Address -> column, each row a text of its own."""
        ids = inputs[self._input]
        return {self._tokens: ids, self._numbers: tf.range(tf.shape(ids)[0])[:, None]}


class StringDerivation(tf.Module):
    """Another derivation for texts that come as strings.

    Args:
        derivation: takes token ids.
        tokenizer: from strings `[rows]` to token ids.
        name: of the input.
        about: what the input is.
    """

    def __init__(self, derivation: TextDerivation | TokenDerivation, tokenizer: Any, name: str, about: str) -> None:
        super().__init__()
        self.derivation, self.tokenizer, self._input = derivation, tokenizer, name
        self.inputs = {name: ServingInput("string", (), about)}

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Address -> column, as the derivation gives it for the token ids of the texts."""
        (ids,) = self.derivation.inputs
        return self.derivation({ids: self.tokenizer(inputs[self._input])})


def _token_ids(about: str, padding: int) -> ServingInput:
    return ServingInput("int32", (None,), f"{about}, padded behind with {padding}; padding alone = no text")


def _network(path: Path) -> Network:
    key = digest(path)
    network = _networks.get(key)
    if network is None:
        _networks[key] = network = load_network(path, dtype="float32")
    return network
