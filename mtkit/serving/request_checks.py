"""What a request has to be: asserted in the graph, before anything is computed from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mtkit.backend import tf
from mtkit.heads.base import Tensors


def require(tensor: tf.Tensor, condition: tf.Tensor, *said: Any) -> tf.Tensor:
    """The tensor, once a condition holds.

    Args:
        tensor: what is asked about.
        condition: bool, a scalar. Where it is false, the request ends in an `InvalidArgumentError`.
        said: what the error says, strings and tensors.
    """
    # tf.debugging.Assert is a branch around this operation, and takes longer than it.
    asserted = tf.raw_ops.Assert(condition=condition, data=[tf.convert_to_tensor(part) for part in said], summarize=-1)
    with tf.control_dependencies([asserted]):
        return tf.identity(tensor)


def shaped(given: Tensors, specs: Mapping[str, tf.TensorSpec], for_all: Collection[str]) -> dict[str, tf.Tensor]:
    """The inputs, if their shapes are those of the signature, and if they have one number of rows.

    Args:
        given: name -> input.
        specs: name -> its shape; a first axis without a length is that of rows.
        for_all: names of inputs that may have one row for all.
    """
    # The shapes in a signature are no check: TensorFlow runs its function on others, and takes their axes for known.
    given = {name: tf.ensure_shape(value, specs[name].shape, name=f"shape_of_{name}") for name, value in given.items()}
    rows = {name: tf.shape(value)[0] for name, value in given.items() if specs[name].shape.rank}
    if len(rows) < 2:
        return given
    counts, first = tf.stack(list(rows.values())), next(count for name, count in rows.items() if name not in for_all)
    fit = (counts == first) | ((counts == 1) & tf.constant([name in for_all for name in rows]))
    aside = "".join(f"; {name} may have one for all" for name in rows if name in for_all)
    said = f"all inputs of a request need the same number of rows{aside}; {', '.join(rows)} have:"
    one = require(first, tf.reduce_all(fit), said, counts)
    with tf.control_dependencies([one]):
        return {name: tf.identity(value) for name, value in given.items()}


def at_least_one(k: tf.Tensor) -> tf.Tensor:
    """How many are asked for, int32, a scalar."""
    return require(k, k >= 1, "k says how many items are asked for, so it has to be 1 or more; it is:", k)


def same_shape(values: tf.Tensor, numbers: tf.Tensor, names: tuple[str, str]) -> tf.Tensor:
    """The numbers (ages, weights), if there is one for each of the values."""
    shapes = tf.shape(values), tf.shape(numbers)
    said = f"{names[0]} and {names[1]} need the same shape, a number for each value; they have:"
    return require(numbers, tf.reduce_all(shapes[0] == shapes[1]), said, *shapes)
