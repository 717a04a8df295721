import numpy as np
import pytest
from sharing import built, gradients, numbers

from mtkit.layers.aitm import CALIBRATOR, Aitm
from mtkit.testing import check_correlation

ROWS, DIM = 40, 5


def test_a_task_hears_those_before_it_and_no_others():
    """Tasks outside of the order hear nobody."""
    shape = (ROWS, 4, DIM)
    layer, inputs = built(Aitm("abcd", "cab", [6, 4]), shape), numbers(shape)
    before = layer(inputs).own.numpy()
    heard = {}
    for source, name in enumerate("abcd"):
        moved = inputs.copy()
        moved[:, source] += 1
        changed = np.abs(layer(moved).own.numpy() - before).max((0, 2)) > 0
        heard[name] = "".join(np.array(list("abcd"))[changed])
    assert heard == {"a": "ab", "b": "b", "c": "abc", "d": "d"}


def test_what_hands_on_is_trained_by_those_that_hear_it():
    shape = (ROWS, DIM)
    layer = built(Aitm("abc", "abc", 4), shape)
    steps = [(np.abs(gradients(layer, shape, task)[layer.handing.name]).sum((0, 2)) > 0).tolist() for task in range(3)]
    assert steps == [[False, False], [True, False], [True, True]]


def test_the_calibrator_is_what_steps_exceed_those_before_them():
    layer = Aitm("abc", "cab", 4)
    predictions = {"a": [0.5, 0.2, 0.9], "b": [0.7, 0.1, 1.0], "c": [0.4, 0.3, 0.5]}
    found = layer.auxiliary({name: np.array(values, np.float32) for name, values in predictions.items()})
    np.testing.assert_allclose(found[CALIBRATOR], [0.1 + 0.2, 0, 0.4 + 0.1], atol=1e-6)
    some = layer.auxiliary({name: np.array(predictions[name], np.float32) for name in "ab"})
    np.testing.assert_allclose(some[CALIBRATOR], [0.2, 0, 0.1], atol=1e-6)
    assert layer.auxiliary({"b": np.zeros(3, np.float32), "c": np.zeros(3, np.float32)}) == {}


@pytest.mark.parametrize("order", ["", "b"])
def test_without_an_order_tasks_are_apart(order):
    check_correlation(Aitm("abc", order, 4), 3, DIM)
