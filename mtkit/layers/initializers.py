"""How weights begin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mtkit.backend import keras, tf


@keras.saving.register_keras_serializable(package="mtkit")
class Isometry(keras.initializers.Initializer):
    """A linear map that keeps what is alike alike: inner products of its outputs begin as those of its inputs, scaled.

    The identity, followed by zeros, where the outputs are at least as wide as the inputs, so that two maps of one kind
    of input begin alike; otherwise normal numbers, which keep inner products on average.

    Source: the normal numbers: Johnson and Lindenstrauss 1984, "Extensions of Lipschitz mappings into a Hilbert space".

    Args:
        stddev: the kernel has the norm of one of normal numbers with this standard deviation; None = no scaling.
        seed: of the normal numbers.
    """

    def __init__(self, stddev: float | None = None, seed: int | None = None) -> None:
        self.stddev, self.seed = stddev, seed

    def __call__(self, shape: Sequence[int], dtype: Any = None, **options: Any) -> tf.Tensor:
        """A kernel `[inputs, outputs]`."""
        inputs, outputs = shape
        stddev = 1 / math.sqrt(outputs) if self.stddev is None else self.stddev
        if inputs > outputs:
            return keras.initializers.RandomNormal(stddev=stddev, seed=self.seed)(shape, dtype=dtype, **options)
        return keras.initializers.Identity(stddev * math.sqrt(outputs))(shape, dtype=dtype, **options)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"stddev": self.stddev, "seed": self.seed}


@keras.saving.register_keras_serializable(package="mtkit")
class SumOfInputs(keras.initializers.Initializer):
    """Adds up inputs of the width of the output that stand side by side; of other widths, Glorot's uniform numbers.

    Args:
        seed: of the numbers.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None, **options: Any) -> tf.Tensor:
        """A kernel `[inputs, outputs]`."""
        inputs, outputs = shape
        if inputs % outputs:
            return keras.initializers.GlorotUniform(self.seed)(shape, dtype=dtype, **options)
        return tf.tile(tf.eye(outputs, dtype=dtype or tf.float32), [inputs // outputs, 1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"seed": self.seed}
