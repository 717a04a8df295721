import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.layers.factorization_machine import FactorizationMachine
from mtkit.layers.monotone import MonotoneDense, MonotoneFeatures
from mtkit.testing import check_encoder, check_layer_config, check_prediction_head

RNG = np.random.default_rng(0)


def _encoder(**options):
    keras.utils.set_random_seed(1)
    widths = {"user.late": 2, "user.income": 1, "user.age": 2}
    return MonotoneFeatures({"user.late": -1, "user.income": 1}, {"user.job": 4}, widths, 4, **options)


def _inputs(rows=6):
    return {
        "user.job": tf.constant(RNG.integers(0, 4, rows), tf.int32),
        **{
            f"user.{name}": tf.constant(RNG.normal(size=(rows, width)), tf.float32)
            for name, width in (("late", 2), ("income", 1), ("age", 2))
        },
    }


def _slow(layer, x):
    """Equations 3 to 7, entry by entry."""
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    first = layer.units - 2 * (layer.units // 3)
    found = np.zeros((len(x), layer.units))
    for row, j in np.ndindex(found.shape):
        total = bias[j]
        for i, direction in enumerate(layer.directions or [1] * x.shape[1]):
            total += x[row, i] * (direction * abs(kernel[i, j]) if direction else kernel[i, j])
        convex, concave = max(total, 0), -max(-total, 0)
        bounded = max(total + 1, 0) - 1 if total < 0 else 1 - max(1 - total, 0)
        found[row, j] = convex if j < first else concave if j < first + layer.units // 3 else bounded
    return found


@pytest.mark.parametrize("directions", [(), (1, -1, 0)], ids=str)
def test_a_layer_equals_a_slow_version(directions):
    layer, x = MonotoneDense(8, directions), RNG.normal(size=(5, 3)).astype(np.float32) * 3
    layer(x)
    layer.bias.assign(RNG.normal(size=8))
    np.testing.assert_allclose(layer(x), _slow(layer, x), atol=1e-5)


@pytest.mark.parametrize(("column", "sign"), [("user.late", -1), ("user.income", 1)])
def test_no_entry_moves_the_other_way_whatever_the_weights(column, sign):
    encoder, inputs = _encoder(hidden=(7, 5)), _inputs(1)
    encoder(inputs)
    for _ in range(20):
        encoder.set_weights([RNG.normal(size=weights.shape) for weights in encoder.get_weights()])
        many = {name: tf.repeat(values, 50, 0) for name, values in inputs.items()}
        numbers = many[column].numpy()
        numbers[:, 0] = np.linspace(-5, 5, 50)
        steps = np.diff(encoder(many | {column: tf.constant(numbers)}), axis=0)
        assert (sign * steps >= -1e-4).all()
        assert steps.any()


def test_other_features_are_free():
    encoder, inputs = _encoder(), _inputs(1)
    many = {name: tf.repeat(values, 40, 0) for name, values in inputs.items()}
    ages = np.stack([np.linspace(-50, 50, 40), np.zeros(40)], 1).astype(np.float32)
    steps = np.diff(encoder(many | {"user.age": tf.constant(ages)}), axis=0)
    assert (steps > 1e-5).any()
    assert (steps < -1e-5).any()


def test_conforms():
    check_encoder(_encoder(), _inputs(), 4)
    check_encoder(MonotoneFeatures({"user.late": -1}, {}, {"user.late": 1}, 3, ()), {"user.late": tf.ones([4, 1])}, 3)
    check_layer_config(_encoder(name="late", hidden=(3,)))
    check_layer_config(MonotoneDense(4, (1, 0), linear=True, name="one"))


def test_a_head_never_falls_with_what_is_rising():
    head = FactorizationMachine(["view"], 4, rising=["late"])
    view = {"view": RNG.normal(size=(1, 8)).astype(np.float32), "late": np.zeros((1, 3), np.float32)}
    head(view)
    for _ in range(20):
        head.raising.assign(RNG.normal(size=3))
        before = float(head(view)[0])
        after = float(head(view | {"late": np.abs(RNG.normal(size=(1, 3))).astype(np.float32)})[0])
        assert after >= before
    many = {"view": RNG.normal(size=(6, 8)), "late": RNG.normal(size=(6, 3))}
    check_prediction_head(head, {name: values.astype(np.float32) for name, values in many.items()})
    check_layer_config(FactorizationMachine(["view"], 4, rising=["late"], name="accepted"))
