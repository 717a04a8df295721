"""Calibration of probabilities as operations of a graph; how it is learned is in `mtkit.evaluation.calibration`."""

from __future__ import annotations

import numpy as np

from mtkit.backend import tf
from mtkit.evaluation.calibration import HIGHEST, LOWEST, Calibration, Isotonic, Temperature


def calibrated(probabilities: tf.Tensor, calibration: Calibration | None) -> tf.Tensor:
    """Calibrated probabilities.

    Args:
        probabilities: float `[rows]` of a label of 0 and 1, `[rows, classes]` else.
        calibration: how; None = they stay as they are.

    Returns:
        Of the shape of `probabilities`, float32 where they are calibrated.
    """
    if calibration is None:
        return probabilities
    probabilities = tf.cast(probabilities, tf.float32)
    if isinstance(calibration, Isotonic):
        return _interpolated(probabilities, calibration)
    return _tempered(probabilities, calibration)


def _tempered(probabilities: tf.Tensor, calibration: Temperature) -> tf.Tensor:
    if probabilities.shape.rank == 1:
        clipped = tf.clip_by_value(probabilities, LOWEST, HIGHEST)
        logits = tf.math.log(clipped) - tf.math.log1p(-clipped)
        return tf.sigmoid(calibration.slope * logits + calibration.bias)
    return tf.nn.softmax(calibration.slope * tf.math.log(tf.maximum(probabilities, LOWEST)))


def _interpolated(probabilities: tf.Tensor, calibration: Isotonic) -> tf.Tensor:
    inputs, outputs = (np.asarray(values, np.float32) for values in (calibration.inputs, calibration.outputs))
    left = tf.clip_by_value(tf.searchsorted(inputs, probabilities, side="right") - 1, 0, len(inputs) - 2)
    begin, end = tf.gather(inputs, left), tf.gather(inputs, left + 1)
    low, high = tf.gather(outputs, left), tf.gather(outputs, left + 1)
    share = tf.clip_by_value(tf.math.divide_no_nan(probabilities - begin, end - begin), 0.0, 1.0)
    return low + share * (high - low)
