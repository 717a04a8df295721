"""What the checks of layers share."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCE = 1e-5


def assert_finite(values: Any, what: str) -> None:
    """No nan, and nothing infinite."""
    assert np.isfinite(values).all(), f"{what} are not finite: {values}"


def assert_nonzero(values: Any, what: str) -> None:
    """A finite number that is not 0, up to rounding."""
    assert values is not None, f"{what} is missing"
    # What cancels exactly on paper leaves rounding behind.
    assert np.abs(values).max() > TOLERANCE, f"{what} is 0"
    assert_finite(values, what)


def assert_equal(found: Any, expected: Any, what: str) -> None:
    """Equal up to `TOLERANCE`."""
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{what} differ")


def assert_axes(layer: Any) -> None:
    """What the layer says of the axes of its weights (`mtkit.layers.axes`), if it does, is of weights that it has."""
    for variable, axis, of in layer.axes() if hasattr(layer, "axes") else ():
        assert any(variable is weight for weight in layer.weights), f"axes() names {variable.name}, which is no weight"
        assert 0 <= axis < variable.shape.rank, f"axes() names axis {axis} of {variable.name}, {variable.shape}: {of}"


def assert_gradients(layer: Any, tape: Any, total: Any) -> list[Any]:
    """Every trainable variable of the layer gets a finite gradient that is not 0; returns the gradients."""
    from mtkit.backend import tf

    gradients = [
        gradient if gradient is None else tf.convert_to_tensor(gradient)
        for gradient in tape.gradient(total, layer.trainable_variables)
    ]
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        assert_nonzero(gradient, f"the gradient to {variable.name}")
    return gradients


def assert_rows_apart(call: Any, inputs: Any) -> None:
    """The output of the last rows is the same whatever the first row is, and without it."""
    from mtkit.backend import tf

    def changed(values: Any) -> Any:
        return tf.concat([values[:1] + 1.0 if values.dtype.is_floating else values[-1:], values[1:]], 0)

    outputs = call(inputs)
    assert_equal(call(tf.nest.map_structure(changed, inputs))[1:], outputs[1:], "outputs of rows when row 0 changes")
    assert_equal(
        call(tf.nest.map_structure(lambda x: x[1:], inputs)), outputs[1:], "outputs of rows with and without row 0"
    )
