import numpy as np
import pytest
import sharing
from sharing import numbers
from sums import unordered_sums

from mtkit.backend import keras, tf
from mtkit.layers.star import Star
from mtkit.testing import check_correlation, check_layer_config

TASKS, ROWS, DIM, SCENARIOS, TAB = 3, 12, 5, 4, "context.tab"
BOTH = pytest.mark.parametrize("shape", [(ROWS, DIM), (ROWS, TASKS, DIM)], ids=["one", "by_task"])
OF_ROWS = np.arange(ROWS) % SCENARIOS


def made(**options):
    return Star(SCENARIOS, TAB, [6, 4], beside=3, name="star", **options)


@BOTH
def test_equals_the_formulas_row_by_row(shape):
    layer, inputs, features = made(), numbers(shape), {TAB: tf.constant(OF_ROWS)}
    layer(inputs, features=features)
    for weights in (layer.get_weights(), [0.5 * numbers(w.shape, seed) for seed, w in enumerate(layer.get_weights())]):
        layer.set_weights(weights)
        expected = sharing.star(inputs, OF_ROWS, sharing.named(layer, weights), 2)
        assert np.abs(layer(inputs, features=features) - expected).max() < 1e-5


@pytest.mark.parametrize("shared", [False, True])
def test_conforms(shared):
    keras.utils.set_random_seed(0)
    features = {TAB: np.array([0, 1, 2, 3, 1, 2])}
    check_correlation(made(), TASKS, DIM, shared=shared, features=features)
    check_layer_config(made())


def test_begins_with_the_same_network_for_all_scenarios():
    """But for the auxiliary network, so that the unknown is answered as well as can be."""
    layer = Star(SCENARIOS, TAB, [6, 4], beside=0)
    states = [layer(numbers((ROWS, DIM)), features={TAB: tf.fill([ROWS], s)}) for s in range(SCENARIOS)]
    assert np.ptp(np.stack(states), 0).max() == 0


def test_a_scenario_trains_shared_weights_and_its_own():
    layer, features = made(), {TAB: tf.fill([ROWS], 2)}
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.sin(layer(numbers((ROWS, DIM)), features=features)))
    gradients = sharing.named(layer, map(np.asarray, map(tf.convert_to_tensor, tape.gradient(total, layer.weights))))
    assert all(np.abs(gradient).max() > 0 for gradient in gradients.values())
    for name in ("scales", "offsets", "biases_0", "biases_1", "embeddings"):
        assert (np.abs(gradients[name]).sum(1) > 0).tolist() == [False, False, True, False]
    assert (np.abs(gradients["kernels_0"]).sum((0, 2)) > 0).tolist() == [False, False, True, False]


@BOTH
def test_no_sum_of_its_step_is_left_to_chance(shape):
    layer, features = made(), {TAB: tf.constant(OF_ROWS)}
    layer(numbers(shape), features=features)

    @tf.function(autograph=False)
    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(tf.square(layer(inputs, features=features)))
        return tape.gradient(total, [inputs, *layer.trainable_variables])

    assert unordered_sums(step.get_concrete_function(tf.constant(numbers(shape))).graph) == []
