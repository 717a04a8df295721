import numpy as np
import pytest
import sharing
from sharing import built, gradients, numbers
from sums import unordered_sums

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.stem import Stem
from mtkit.testing import check_correlation, check_layer_config

TASKS, ROWS, OWN = 3, 60, 2
WIDTHS = (9, 8)


def made():
    return Stem(TASKS, OWN, 2, 3, [8, 4])


def embeddings(several):
    return [numbers((ROWS, width), seed) for seed, width in enumerate(WIDTHS)] if several else numbers((ROWS, 9))


@pytest.mark.parametrize("several", [False, True])
def test_equals_loops_with_its_own_weights_and_given_ones(several):
    layer, inputs = made(), embeddings(several)
    layer(inputs)
    for weights in (layer.get_weights(), [0.5 * numbers(w.shape, seed) for seed, w in enumerate(layer.get_weights())]):
        layer.set_weights(weights)
        expected = sharing.stem(inputs, weights, TASKS, OWN, 2, 3, 2)
        assert np.abs(layer(inputs).own - expected).max() < 1e-5


@pytest.mark.parametrize("dim", [9, WIDTHS])
def test_conforms(dim):
    keras.utils.set_random_seed(0)
    check_correlation(made(), TASKS, dim, shared=True)
    check_layer_config(made())


def test_tasks_hear_the_parts_of_all_and_train_their_own():
    inputs = tf.constant(numbers((ROWS, 9)))
    layer = built(made(), (ROWS, 9))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        states = layer(inputs).own
        losses = [tf.reduce_sum(tf.sin(states[:, task])) for task in range(TASKS)]
    for task, loss in enumerate(losses):
        by_part = np.abs(tape.gradient(loss, inputs)).sum(0)
        trained = [by_part[:3].sum() > 0, *(by_part[3 + 2 * t : 5 + 2 * t].sum() > 0 for t in range(TASKS))]
        assert trained == [True, *(t == task for t in range(TASKS))]
        moved = numbers((ROWS, 9))
        moved[:, 3 + 2 * task : 5 + 2 * task] += 1
        assert (np.abs(layer(moved).own - states).max((0, 2)) > 1e-4).all(), "every task sees it"
        experts = next(
            g for name, g in gradients(layer, (ROWS, 9), task).items() if "own_experts/layer_0/kernel" in name
        )
        assert (np.abs(experts).sum((0, 2)) > 0).tolist() == [n // 2 == task for n in range(2 * TASKS)]


def test_no_sum_of_its_step_is_left_to_chance():
    layer = built(made(), (ROWS, 9))

    @tf.function(autograph=False)
    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(tf.square(layer(inputs).own))
        return tape.gradient(total, [inputs, *layer.trainable_variables])

    assert unordered_sums(step.get_concrete_function(tf.constant(numbers((ROWS, 9)))).graph) == []


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 6), r"own = 2 takes 6 numbers for 3 tasks, and an embedding has 6, .* set its `dim` to 8"),
        ((4, TASKS, 9), "put it before other correlations"),
    ],
)
def test_refuses_what_has_no_parts(shape, message):
    with pytest.raises(WiringError, match=message):
        made()(numbers(shape))
