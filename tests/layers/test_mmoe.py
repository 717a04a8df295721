import numpy as np
import pytest
from sharing import built

from mtkit.backend import keras
from mtkit.errors import WiringError
from mtkit.layers.mmoe import Mmoe
from mtkit.testing import check_correlation, check_layer_config


def _slow(layer, states):
    """Equations 6 and 7 by loops over tasks and experts, for `[rows, tasks, dim]`."""
    kernel, bias = (v.numpy() for v in layer.expert.weights)
    gates = layer.gate_kernel.numpy().reshape(-1, layer.tasks, layer.experts)
    gate_bias = layer.gate_bias.numpy().reshape(layer.tasks, layer.experts)
    result = np.zeros((len(states), layer.tasks, layer.units))
    for task in range(layer.tasks):
        x = states[:, task].astype(np.float64)
        logits = np.exp(x @ gates[:, task] + gate_bias[task])
        weights = logits / logits.sum(-1, keepdims=True)
        for expert in range(layer.experts):
            columns = slice(expert * layer.units, (expert + 1) * layer.units)
            result[:, task] += weights[:, [expert]] * np.maximum(x @ kernel[:, columns] + bias[columns], 0)
    return result + (states if layer.residual else 0)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_conforms(shared, residual):
    check_correlation(Mmoe(3, experts=4, units=8, residual=residual), tasks=3, dim=8, shared=shared)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_equals_loops_over_tasks_and_experts(shared, residual):
    rng = np.random.default_rng(1)
    states = rng.normal(size=(5, 3, 8)).astype(np.float32)
    if shared:
        states = np.repeat(states[:, :1], 3, axis=1)
    layer = Mmoe(3, experts=4, units=8, residual=residual)
    layer(states)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    outputs = layer(states[:, 0] if shared else states)
    np.testing.assert_allclose(outputs, _slow(layer, states), rtol=1e-4, atol=1e-5)


def test_residual_with_silent_experts_keeps_the_state():
    layer = Mmoe(2, experts=3, units=4, residual=True)
    states = np.random.default_rng(0).normal(size=(5, 2, 4)).astype(np.float32)
    layer(states)
    for variable in layer.expert.weights:
        variable.assign(np.zeros(variable.shape))
    np.testing.assert_array_equal(layer(states), states)


def test_config():
    check_layer_config(Mmoe(3, experts=4, units=8, activation="gelu", residual=True, name="experts"))


def test_refuses_a_residual_of_another_width():
    with pytest.raises(WiringError, match=r"experts: .*the input is 6 wide and units = 8; set units = 6"):
        Mmoe(3, experts=4, units=8, residual=True, name="experts")(np.zeros((2, 6), np.float32))


def test_one_layer_in_a_list_is_one_layer():
    layers = []
    for units in (8, [8]):
        keras.utils.set_random_seed(0)
        layers.append(built(Mmoe(3, 4, units), (5, 6)))
    for one, listed in zip(*(layer.get_weights() for layer in layers), strict=True):
        np.testing.assert_array_equal(one, listed)


def test_a_residual_is_of_the_last_width():
    assert Mmoe(3, 4, [8, 6], residual=True)(np.zeros((5, 6), np.float32)).shape == (5, 3, 6)
    with pytest.raises(WiringError, match=r"the input is 6 wide and units = \[6, 8\]; set units = \[6, 6\]"):
        Mmoe(3, 4, [6, 8], residual=True)(np.zeros((5, 6), np.float32))


def test_refuses_states_of_other_tasks():
    with pytest.raises(WiringError, match="expected the states of 3 tasks, got those of 2"):
        Mmoe(3, experts=4, units=8)(np.zeros((2, 2, 8), np.float32))


@pytest.mark.parametrize("units", [256, [8, 256]])
def test_tasks_begin_alike_and_the_mixture_as_wide_as_an_expert(units):
    """So that more experts do not mean smaller states at the start."""
    keras.utils.set_random_seed(0)
    states = np.random.default_rng(0).normal(size=(500, 64)).astype(np.float32)
    one, many = (np.asarray(Mmoe(2, experts=count, units=units)(states)) for count in (1, 16))
    np.testing.assert_array_equal(many[:, 0], many[:, 1])
    np.testing.assert_allclose(np.var(many), np.var(one), rtol=0.6)
    assert np.mean(np.square(many - many.mean(0))) > 0.25 * np.mean(np.square(one - one.mean(0)))
