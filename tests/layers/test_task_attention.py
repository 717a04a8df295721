import numpy as np
import pytest
from sharing import built, numbers

from mtkit.errors import WiringError
from mtkit.layers.task_attention import TaskAttention


def test_tasks_hear_one_another_and_a_shared_state_becomes_theirs():
    shape = (5, 3, 4)
    layer, inputs = built(TaskAttention(3), shape), numbers(shape)
    moved = inputs.copy()
    moved[:, 1] += 1
    assert (np.abs(layer(moved) - layer(inputs)).max((0, 2)) > 0).all()
    assert np.ptp(TaskAttention(3)(inputs[:, 0]), axis=1).max() > 0.1


def test_without_residual_it_is_what_is_found():
    inputs = numbers((5, 3, 4))
    layer, other = built(TaskAttention(3), inputs.shape), built(TaskAttention(3, residual=False), inputs.shape)
    other.set_weights(layer.get_weights())
    np.testing.assert_allclose(other(inputs) + inputs, layer(inputs), atol=1e-6)


def test_refuses_a_width_that_its_heads_do_not_divide():
    with pytest.raises(WiringError, match="between: heads = 4 does not divide the width 6 of its input"):
        TaskAttention(3, heads=4, name="between")(numbers((2, 3, 6)))
