"""Items like an item: near to it among the candidates of the main task, or of the same users."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mtkit.backend import tf
from mtkit.serving.candidates import Candidates, best


class Neighbors(NamedTuple):
    """Items that go with each item, the best first, row i = item i.

    Attributes:
        items: int32 `[items, n]`, 0 where there are no more.
        scores: float32 `[items, n]`.
    """

    items: np.ndarray
    scores: np.ndarray


class SimilarItems(tf.Module):
    """The nearest candidates of a candidate, by the cosine of their embeddings.

    Args:
        candidates: the candidates, held once.
        lengths: `[items]`, of the part of each embedding that says what the item is like.
    """

    def __init__(self, candidates: Candidates, lengths: tf.Tensor) -> None:
        super().__init__(name="similar")
        self._candidates = candidates
        inverse = tf.where(lengths > 0, 1.0 / lengths, 0.0)
        self.inverse = tf.Variable(inverse, trainable=False, name="similar.inverse_length")

    def nearest(self, items: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and items, `[rows, n]`, the nearest first, without the item itself; -inf where there are no more.

        Args:
            items: int32 `[rows]`.
            k: int32, a scalar.
        """
        scores = self._candidates.products(items) * self.inverse * tf.gather(self.inverse, items)[:, None]
        return best(scores, k, items[:, None])


class ItemsTogether(tf.Module):
    """Neighbors that were found before, held as a table.

    Args:
        neighbors: the table.
    """

    def __init__(self, neighbors: Neighbors) -> None:
        super().__init__(name="together")
        self.items = tf.Variable(neighbors.items, trainable=False, name="together.items")
        self.scores = tf.Variable(neighbors.scores, trainable=False, name="together.scores")

    def nearest(self, items: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and items, `[rows, n]`, the best first; -inf where there are no more."""
        found, scores = (tf.gather(held, items)[:, :k] for held in (self.items, self.scores))
        return tf.where(found > 0, scores, -np.inf), found
