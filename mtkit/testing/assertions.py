"""What the checks of layers share."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

TOLERANCE = 1e-5
#: How often an output in training is the same before it counts as not drawn: rows lose their id with a small probability.
_REPEATS = 20
_ROUNDING = float(np.finfo(np.float32).eps)


def assert_finite(values: Any, what: str) -> None:
    """No nan, and nothing infinite."""
    assert np.isfinite(values).all(), f"{what} are not finite: {values}"


def assert_nonzero(values: Any, what: str, scale: float = 1.0) -> None:
    """Finite numbers, not all 0 up to the rounding of numbers as large as `scale`."""
    assert values is not None, f"{what} is missing"
    # First: nan is not above any number, and would be told as 0.
    assert not np.isnan(values).any(), f"{what} is nan"
    assert_finite(values, what)
    # What cancels exactly on paper leaves rounding behind.
    assert np.abs(values).max() > _ROUNDING * min(scale, 1.0), f"{what} is 0"


def assert_equal(found: Any, expected: Any, what: str) -> None:
    """Equal up to `TOLERANCE`."""
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{what} differ")


def assert_axes(layer: Any) -> None:
    """What the layer says of the axes of its weights (`mtkit.layers.axes`), if it does, is of weights that it has."""
    for variable, axis, of in layer.axes() if hasattr(layer, "axes") else ():
        assert any(variable is weight for weight in layer.weights), f"axes() names {variable.name}, which is no weight"
        assert 0 <= axis < variable.shape.rank, f"axes() names axis {axis} of {variable.name}, {variable.shape}: {of}"


def assert_gradients(layer: Any, tape: Any, total: Any, of: str = "", zero: Sequence[str] = ()) -> list[Any]:
    """Every trainable variable of the layer gets a finite gradient that is not 0; returns the gradients.

    Args:
        layer: the layer.
        tape: that saw it.
        total: what is differentiated.
        of: whose gradient it is, for messages.
        zero: parts of the names of variables whose gradient may be 0. Of Keras' attention the bias of the keys is one, by
            mathematics: it adds the same to all scores of a query.
    """
    from mtkit.backend import tf

    gradients = [
        gradient if gradient is None else tf.convert_to_tensor(gradient)
        for gradient in tape.gradient(total, layer.trainable_variables)
    ]
    allowed = _keys(layer)
    # Attention over small embeddings has gradients far smaller than those of the values that it weighs.
    largest = max((float(np.abs(gradient).max()) for gradient in gradients if gradient is not None), default=0.0)
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        what = f"the gradient {of} to {variable.name}".replace("  ", " ")
        if id(variable) in allowed or any(name in variable.name for name in zero):
            assert gradient is None or not np.isnan(gradient).any(), f"{what} is nan"
        else:
            assert_nonzero(gradient, what, largest if np.isfinite(largest) else 1.0)
    return gradients


def _keys(layer: Any) -> set[int]:
    """The biases of the keys in Keras' attention."""
    from mtkit.backend import keras

    inner = layer._flatten_layers() if hasattr(layer, "_flatten_layers") else ()  # noqa: SLF001 - Keras has no other way
    found = [one for one in inner if isinstance(one, keras.layers.MultiHeadAttention)]
    return {id(weight) for one in found for weight in one.trainable_variables if "/key/bias" in weight.name}


def assert_rows_apart(call: Any, inputs: Any) -> None:
    """The output of the last rows is the same whatever the first row is, and without it."""
    from mtkit.backend import tf

    def changed(values: Any) -> Any:
        return tf.concat([values[:1] + 1.0 if values.dtype.is_floating else values[-1:], values[1:]], 0)

    def some(begin: int | None, end: int | None) -> Any:
        return call(tf.nest.map_structure(lambda x: x[begin:end], inputs))

    outputs = call(inputs)
    assert_equal(call(inputs), outputs, "outputs of the same rows, asked twice,")
    assert_equal(call(tf.nest.map_structure(changed, inputs))[1:], outputs[1:], "outputs of rows when row 0 changes")
    assert_equal(some(1, None), outputs[1:], "outputs of rows with and without row 0")
    # A maximum over the rows changes for one of the halves.
    half = len(outputs) // 2
    assert_equal(some(None, half), outputs[:half], "outputs of the first rows alone and beside others")
    assert_equal(some(half, None), outputs[half:], "outputs of the last rows alone and beside others")


def assert_rows_apart_in_training(layer: Any, inputs: Any, beside: Mapping[str, Any]) -> None:
    """The same of what a layer gives in training, unless that is drawn; `beside` is of no rows, as whole catalogs are."""
    if "training" not in inspect.signature(layer.call).parameters:
        return

    def call(some: Any) -> Any:
        return layer(some | beside, training=True)

    first = call(inputs)
    if not all(np.array_equal(first, call(inputs)) for _ in range(_REPEATS)):
        return
    try:
        assert_rows_apart(call, inputs)
    except AssertionError as error:
        raise AssertionError(f"in training: {error}") from error


def _of_numpy() -> Any:
    """The words and the place of NumPy's global random state."""
    state: Any = np.random.get_state()  # noqa: NPY002 - it is this one that is looked at
    return state[1:3]


@contextlib.contextmanager
def assert_draws_apart(what: str) -> Iterator[None]:
    """What is done meanwhile draws nothing from the random state that all of Python, or NumPy, share."""
    before = random.getstate(), _of_numpy()
    yield
    after = random.getstate(), _of_numpy()
    assert before[0] == after[0], f"{what} draws from Python's global random state; use random.Random(seed)"
    same = np.array_equal(before[1][0], after[1][0]) and before[1][1] == after[1][1]
    assert same, f"{what} draws from NumPy's global random state; use np.random.default_rng(seed)"
