"""Encodes many texts with frozen weights: sorted by length, in batches of equal work, with hardly any padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtkit.backend import tf
from mtkit.errors import DataError
from mtkit_bert.layers import BertModel, Pooling
from mtkit_bert.network import Network, load_network
from mtkit_bert.reading import Reading
from mtkit_bert.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# Small batches keep their activations in the processor's cache; on other devices they only have to be large.
_TOKENS_PER_BATCH = {"CPU": 512, "GPU": 16384}


class FrozenEncoder:
    """A checkpoint as a function from texts to vectors.

    Args:
        path: the checkpoint directory.
        reading: how a text becomes a vector.
        passed: called by every forward pass with the number of texts that went through it for the first time.

    Raises:
        DataError: weights or tokenizer do not fit the network, or it has fewer positions than `max_tokens`.
    """

    def __init__(self, path: Path, reading: Reading, passed: Callable[[int], None]) -> None:
        self.model = load_network(path, dtype="float32")
        self.pooling = Pooling(reading.pooling, dtype="float32")
        self.tokenizer = load_tokenizer(path, reading.max_tokens, reading.overlap)
        check_fit(self.model, self.tokenizer, path, reading)
        self._passed, self._more = passed, reading.chunks - 1
        self._budget = _TOKENS_PER_BATCH["GPU" if tf.config.list_logical_devices("GPU") else "CPU"]
        spec = tf.TensorSpec([None, None], tf.int32)
        self._graph = tf.function(self._pooled, input_signature=[spec, spec, spec])

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.model.hidden_size

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors float32 `[texts, width]`."""
        firsts = self.tokenizer.encode_batch_fast(list(texts))
        vectors = self._vectors(firsts, self._passed)
        # Later windows go in batches of their own, so that short texts have the same vectors whether there are any.
        later = [(row, window) for row, first in enumerate(firsts) for window in first.overflowing[: self._more]]
        rows = [row for row, _ in later]
        tokens = np.array([len(first.ids) for first in firsts], np.float32)
        more = np.array([len(window.ids) for _, window in later], np.float32)
        whole = tokens.copy()
        np.add.at(whole, rows, more)
        vectors *= (tokens / whole)[:, None]
        np.add.at(vectors, rows, self._vectors([window for _, window in later]) * (more / whole[rows])[:, None])
        return vectors

    def _vectors(self, windows: Sequence[Encoding], passed: Callable[[int], None] = lambda _: None) -> np.ndarray:
        vectors = np.empty([len(windows), self.width], np.float32)
        for rows in batches([len(window.ids) for window in windows], self._budget):
            vectors[rows] = self._forward([windows[row] for row in rows])
            passed(len(rows))
        return vectors

    def _forward(self, encodings: Sequence[Encoding]) -> np.ndarray:
        longest = max(len(encoding.ids) for encoding in encodings)
        ids, types, mask = np.zeros([3, len(encodings), longest], np.int32)
        ids += self.model.padding
        for row, encoding in enumerate(encodings):
            length = len(encoding.ids)
            ids[row, :length], types[row, :length], mask[row, :length] = encoding.ids, encoding.type_ids, 1
        return self._graph(ids, mask, types).numpy()

    def _pooled(self, input_ids: tf.Tensor, attention_mask: tf.Tensor, token_type_ids: tf.Tensor) -> tf.Tensor:
        return self.pooling(self.model(input_ids, attention_mask, token_type_ids), attention_mask)


def check_fit(network: Network, tokenizer: Tokenizer, path: Path, reading: Reading) -> None:
    """Confirms that the network of a checkpoint can read what the tokenizer gives, as it is asked to.

    Raises:
        DataError: it has fewer positions than a window, or knows fewer ids than the tokenizer, or its first token says
            nothing of a text.
    """
    limit = network.usable_positions
    if reading.max_tokens > limit:
        raise DataError(
            f"max_tokens is {reading.max_tokens}, but {path} has {limit} positions; more of a long text is read with chunks"
        )
    if not isinstance(network, BertModel) and reading.pooling == "cls":
        raise DataError(f"pooling is 'cls', but in {path} the first token sees no other; expected 'last' or 'mean'")
    ids, rows = tokenizer.get_vocab_size(), network.words.input_dim
    if ids > rows:
        raise DataError(f"{path}: the tokenizer has {ids} token ids, but the network has only {rows}")


def batches(lengths: Sequence[int], budget: int) -> Iterator[np.ndarray]:
    """Rows in order of length, cut so that a batch padded to its longest row has at most `budget` tokens.

    A row longer than `budget` is a batch of its own.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    for end, row in enumerate(order):
        if end > start and (end + 1 - start) * lengths[row] > budget:
            yield order[start:end]
            start = end
    if len(order):
        yield order[start:]
