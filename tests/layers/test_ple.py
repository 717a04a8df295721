import numpy as np
import pytest
from sharing import built, gradients

from mtkit.layers.ple import Ple

# So many rows that no unit is silent on all of them.
TASKS, ROWS, DIM = 3, 200, 6


def by_network(gradient):
    """Which of several networks side by side a kernel's or a bias' gradient moves."""
    others = tuple(axis for axis in range(gradient.ndim) if axis != gradient.ndim - 2)
    return (np.abs(gradient).sum(others) > 0).tolist()


@pytest.mark.parametrize("shape", [(ROWS, DIM), (ROWS, TASKS, DIM)], ids=["one", "by_task"])
@pytest.mark.parametrize("levels", [1, 2])
def test_own_experts_of_the_last_level_learn_from_their_task_alone(levels, shape):
    """And the shared ones from every task; on levels before, all learn from all, by the shared gate."""
    own, layer = 2, built(Ple(TASKS, levels, 2, 2, [8, 4]), shape)
    for task in range(TASKS):
        for name, gradient in gradients(layer, shape, task).items():
            if f"level_{levels}/" not in name:
                if "experts" in name:
                    assert all(by_network(gradient)), name
            elif "own_experts" in name:
                assert by_network(gradient) == [number // own == task for number in range(TASKS * own)], name
            elif "shared_experts" in name:
                assert all(by_network(gradient)), name
            else:
                assert by_network(gradient) == [number == task for number in range(TASKS)], name


def test_the_last_level_has_no_shared_gate():
    names = [weight.name for weight in built(Ple(TASKS, 2, 1, 1, 4), (ROWS, DIM)).weights]
    assert sum("gate_of_own" in name for name in names) == 1
    assert not any("level_2" in name and "gate_of" in name for name in names)
