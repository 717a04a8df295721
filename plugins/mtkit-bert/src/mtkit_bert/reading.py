"""How texts become vectors, as an encoder asks for it (no TensorFlow)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtkit_bert.families import PoolingName

CombineName = Literal["mean", "concat"]


@dataclass(frozen=True)
class Reading:
    """How one vector is made of one text.

    A text is cut into windows of tokens, each of which goes through the network for itself, with the special tokens of a
    whole text. The text's vector is the mean of its windows' vectors, weighted by their numbers of tokens: with pooling
    `mean` that is the mean over the tokens of all windows. Special tokens count, and shared ones as often as they are read.

    Attributes:
        pooling: one vector from the hidden states of a window.
        max_tokens: length of a window, special tokens included.
        chunks: the largest number of windows; what lies behind them is cut.
        overlap: how many tokens a window shares with the one before it.
    """

    pooling: PoolingName
    max_tokens: int
    chunks: int = 1
    overlap: int = 0

    @property
    def settings(self) -> tuple[object, ...]:
        """What tells vectors of one text apart, beside the checkpoint."""
        cut = (self.pooling, self.max_tokens)
        return cut if self.chunks == 1 else (*cut, self.chunks, self.overlap)
