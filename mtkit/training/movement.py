"""How far an epoch moved the weights: a learning rate that cannot move them learns nothing, and no loss says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtkit.backend import keras

LEAST = 0.05
"""Of the size of the weights, over all epochs: good runs move theirs by multiples of it in the first."""

_ROWS = 4_096
"""Of large tables, the first rows tell."""


class Movement:
    """Where the weights of a model were.

    Args:
        model: a built model; weights that are 0 have no size and are left out.
    """

    def __init__(self, model: keras.Model) -> None:
        self._variables = [variable for variable in model.trainable_variables if variable.shape.rank]
        self._before = self._values()

    def _values(self) -> Sequence[np.ndarray]:
        return [variable[:_ROWS].numpy() for variable in self._variables]

    def relative(self) -> float:
        """The largest change of a variable since then, as a share of its size; of rows that did not move, nothing is seen.

        Infinite where no variable had a size.
        """
        pairs = zip(self._before, self._values(), strict=True)
        return max((_change(before, after) for before, after in pairs if before.any()), default=np.inf)

    def warning(self, epochs: int, to_come: float | None = None) -> str:
        """What to say after the first epoch of several; empty where the weights moved.

        Args:
            epochs: how many there are.
            to_come: how many times the learning of the first one there is in all of them, which is more than their number
                where the learning rate warms up; default: their number.
        """
        change = self.relative()
        if not change * (epochs if to_come is None else to_come) < LEAST:
            return ""
        return (
            f"the first of {epochs} epochs moved no weights by more than {change:.2%} of their size: train.learning_rate is too "
            'small for them to learn; try one 10 or 100 times as large, or optimizer = "adam"'
        )


def _change(before: np.ndarray, after: np.ndarray) -> float:
    moved = before != after
    size = float(np.linalg.norm(before[moved]))
    return float(np.linalg.norm((after - before)[moved])) / size if size else 0.0
