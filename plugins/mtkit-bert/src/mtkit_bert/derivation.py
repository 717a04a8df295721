"""The frozen encoder inside a servable: from token ids to the vectors that were derived for the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
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
    ) -> None:
        super().__init__()
        self._input, self._address = name, address
        self.network = _network(path)
        self.pooling = Pooling(pooling, dtype="float32")
        self.map = components and tuple(tf.Variable(values, trainable=False, dtype=tf.float32) for values in components)
        self.padding = self.network.padding
        self.inputs = {
            name: ServingInput("int32", (None,), f"{about}, padded behind with {self.padding}; padding alone = no text")
        }

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Address -> vectors `[rows, width]`; zeros where there is no text."""
        ids = inputs[self._input]
        mask = tf.cast(ids != self.padding, tf.int32)
        vectors = self.pooling(self.network(ids, mask), mask)
        if self.map:
            mean, matrix = self.map
            vectors = tf.matmul(vectors - mean, matrix)
        there = tf.reduce_any(mask > 0, 1, keepdims=True)
        return {self._address: tf.where(there, vectors, tf.zeros_like(vectors))}


def _network(path: Path) -> Network:
    key = digest(path)
    network = _networks.get(key)
    if network is None:
        _networks[key] = network = load_network(path, dtype="float32")
    return network
