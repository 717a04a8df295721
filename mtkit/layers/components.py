"""A layer that maps several columns to fewer numbers, as preprocessors of groups have learned it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.number_scaling import BOUND
from mtkit.layers.preprocessing import Vocabulary


@keras.saving.register_keras_serializable(package="mtkit")
class Components(keras.layers.Layer):
    """Columns `[rows]`, float32 or strings, to float32 `[rows, n]`: x M - offset, where x has all columns side by side.

    A column of numbers is one entry of x, (value - center) / scale, 0 where it is nan or infinite; one of strings has an entry
    for each of its known values, 1 for that of the row. It is computed in float64.

    Args:
        columns: of each column, `{"center": float, "scale": float}`, or `{"values": [...]}`, distinct strings.
        matrix: M, a row for each entry of x.
        offset: n numbers.
        **kwargs: of the Keras layer.
    """

    def __init__(
        self,
        columns: Sequence[Mapping[str, Any]],
        matrix: Sequence[Sequence[float]],
        offset: Sequence[float],
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.matrix, self.offset = [list(row) for row in matrix], list(offset)
        self._parts = [Vocabulary(of["values"]) if "values" in of else (of["center"], of["scale"]) for of in columns]

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps the columns."""
        rows = tf.constant(self.matrix, tf.float64, [len(self.matrix), len(self.offset)])
        sizes = [len(part.values) if isinstance(part, Vocabulary) else 1 for part in self._parts]
        state = -tf.constant(self.offset, tf.float64)
        for part, values, of in zip(self._parts, inputs, tf.split(rows, sizes), strict=True):
            state += _added(part, values, of)
        return tf.cast(tf.clip_by_value(state, -BOUND, BOUND), tf.float32)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        columns = [
            {"values": list(part.values)}
            if isinstance(part, Vocabulary)
            else dict(zip(("center", "scale"), part, strict=True))
            for part in self._parts
        ]
        matrix = [list(row) for row in self.matrix]
        return {**super().get_config(), "columns": columns, "matrix": matrix, "offset": list(self.offset)}


def _added(part: Vocabulary | tuple[float, float], values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """What a column adds to the result, float64 `[rows, n]`."""
    if isinstance(part, Vocabulary):
        return tf.gather(tf.pad(rows, [[1, 0], [0, 0]]), part(values))
    center, scale = part
    known = tf.math.is_finite(values)
    scaled = (tf.cast(values, tf.float64) - center) * (1 / scale)
    return tf.where(known, scaled, tf.zeros([], tf.float64))[:, None] * rows
