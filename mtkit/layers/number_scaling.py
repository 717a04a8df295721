"""Layers that apply what preprocessors of numbers have learned: scales, and what stands for missing values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from mtkit.backend import keras, tf

BOUND = 1e12
"""What a scaled value can be at most, up or down, so that no layer after it overflows."""

_EXTREME = 1e-7
"""How near to 0 and 1 a quantile may be of which a normal number is made, as in scikit-learn."""


class Numbers(keras.layers.Layer):
    """Float32 `[rows]` to float32 `[rows, 2]`: the scaled value, and 1 where it is nan or infinite, else 0.

    Args:
        fill: what stands for values that are nan or infinite, before scaling.
        low: values below it count as it; None = none does.
        high: values above it count as it; None = none does.
        indicator: whether the second number is there; without it the result is `[rows, 1]`.
        **kwargs: of the Keras layer.
    """

    def __init__(
        self, fill: float, low: float | None = None, high: float | None = None, indicator: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.fill, self.low, self.high, self.indicator = fill, low, high, indicator

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Scales."""
        known = tf.math.is_finite(inputs)
        scaled = self.scaled(tf.where(known, self._inside(inputs), self.fill))
        value = tf.cast(tf.clip_by_value(scaled, -BOUND, BOUND), tf.float32)
        return tf.stack([value, tf.cast(~known, tf.float32)] if self.indicator else [value], axis=-1)

    def _inside(self, values: tf.Tensor) -> tf.Tensor:
        values = values if self.low is None else tf.maximum(values, self.low)
        return values if self.high is None else tf.minimum(values, self.high)

    def scaled(self, values: tf.Tensor) -> tf.Tensor:
        """Scaled values of finite ones, `[rows]`; float32 or float64, and no nan."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"fill": self.fill, "low": self.low, "high": self.high, "indicator": self.indicator}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="mtkit")
class Scale(Numbers):
    """(value - center) / scale; see `Numbers`.

    Args:
        center: subtracted.
        scale: divided by; positive.
        fill: what stands for missing values; None = the center.
        **kwargs: of `Numbers`.
    """

    def __init__(self, center: float, scale: float, fill: float | None = None, **kwargs: Any) -> None:
        super().__init__(fill=center if fill is None else fill, **kwargs)
        self.center, self.scale = center, scale

    def scaled(self, values: tf.Tensor) -> tf.Tensor:
        """Scaled values."""
        largest = tf.float32.max
        difference = tf.clip_by_value(values - self.center, -largest, largest)
        # graphs turn a division by a constant into this product; written out, eager results are the same bits
        return difference * (1 / self.scale)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "center": self.center, "scale": self.scale}


@keras.saving.register_keras_serializable(package="mtkit")
class LogScale(Numbers):
    """(log(1 + value - shift) - center) / scale, or sign(value) log(1 + |value|) in place of the logarithm; see `Numbers`.

    Args:
        center: subtracted from logarithms.
        scale: divided by; positive.
        shift: the least value, lower ones count as it; None = signed logarithms.
        **kwargs: of `Numbers`.
    """

    def __init__(self, center: float, scale: float, shift: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.center, self.scale, self.shift = center, scale, shift

    def scaled(self, values: tf.Tensor) -> tf.Tensor:
        """Scaled logarithms."""
        values = tf.cast(values, tf.float64)
        if self.shift is None:
            logs = tf.sign(values) * tf.math.log1p(tf.abs(values))
        else:
            logs = tf.math.log1p(tf.maximum(values - self.shift, 0))
        return (logs - self.center) * (1 / self.scale)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "center": self.center, "scale": self.scale, "shift": self.shift}


@keras.saving.register_keras_serializable(package="mtkit")
class Quantile(Numbers):
    """The share of training values below a value, between quantiles by a straight line; see `Numbers`.

    Of a value that several quantiles have, it is the middle of their shares.

    Args:
        quantiles: ascending, of shares from 0 to 1 at equal distances.
        output: `uniform`, the share; or `normal`, the number below which a standard normal one is with this probability.
        **kwargs: of `Numbers`.
    """

    def __init__(
        self, quantiles: Sequence[float], output: Literal["uniform", "normal"] = "uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.quantiles, self.output_distribution = list(quantiles), output

    def scaled(self, values: tf.Tensor) -> tf.Tensor:
        """Shares, or normal numbers."""
        quantiles, last = tf.constant(self.quantiles, tf.float64), len(self.quantiles) - 1
        values = tf.clip_by_value(tf.cast(values, tf.float64), self.quantiles[0], self.quantiles[-1])
        # The first that is not below the value, and the last that is not above: the other way round between two of them.
        upper = tf.minimum(tf.searchsorted(quantiles, values, side="left"), last)
        lower = tf.maximum(tf.searchsorted(quantiles, values, side="right") - 1, 0)
        below, above = tf.gather(quantiles, lower), tf.gather(quantiles, upper)
        between = tf.math.divide_no_nan(values - below, above - below)
        along = tf.where(above > below, between, 0.5)
        place = tf.cast(lower, tf.float64) + along * tf.cast(upper - lower, tf.float64)
        shares = place / max(last, 1)
        if self.output_distribution == "uniform":
            return shares
        return tf.math.ndtri(tf.clip_by_value(shares, _EXTREME, 1 - _EXTREME))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "quantiles": self.quantiles, "output": self.output_distribution}
