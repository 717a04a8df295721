"""Which past events of a request a condition holds for: `mtkit.data.conditions`, as TensorFlow operations."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping

import numpy as np

from mtkit.backend import tf
from mtkit.conditions import Scalar, Test, Where, as_text

_BOUNDED = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}


def holding(where: Where, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Whether the condition holds, bool of the shape of the columns.

    Args:
        where: the condition.
        columns: those that it looks at, of one shape: float32, nan where null, or strings, empty where null.
    """
    tables = [[_passes(test, columns[name]) for name, test in table.items()] for table in where.root]
    found: tf.Tensor = functools.reduce(operator.or_, (functools.reduce(operator.and_, table) for table in tables))
    return found


def _passes(test: Test, values: tf.Tensor) -> tf.Tensor:
    null = values == "" if values.dtype == tf.string else tf.math.is_nan(values)
    if test.null:
        return null
    asked = [~null, *(_BOUNDED[sign](values, np.float32(bound)) for sign, bound in test.bounds.items())]
    asked += [_among(values, test.any_of)] if test.any_of else []
    asked += [~_among(values, test.none_of)] if test.none_of else []
    found: tf.Tensor = functools.reduce(operator.and_, asked)
    return found


def _among(values: tf.Tensor, named: tuple[Scalar, ...]) -> tf.Tensor:
    held = [as_text(value) for value in named] if values.dtype == tf.string else np.array(named, np.float32)
    return tf.reduce_any(values[..., None] == tf.constant(held, values.dtype), -1)
