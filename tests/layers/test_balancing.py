import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.layers.balancing import Sum, Uncertainty
from mtkit.testing import check_balancer, check_layer_config

LOSSES = {"a": 4.0, "b": 0.5, "c": 0.0}
PRESENT = {"a": 1.0, "b": 1.0, "c": 0.0}


def _constants(values):
    return {name: tf.constant(value) for name, value in values.items()}


@pytest.mark.parametrize("make", [Sum, lambda: Uncertainty(["a", "b", "c"])])
def test_conforms(make):
    balancer = make()
    check_balancer(balancer, ["a", "b", "c"])
    check_layer_config(balancer)


def test_sum():
    assert float(Sum()(_constants(LOSSES))) == 4.5


def test_uncertainty_is_the_published_formula():
    balancer = Uncertainty(["a", "b", "c"])
    balancer.log_variance.assign([0.3, -0.7, 5.0])
    expected = np.exp(-0.3) * 4 + 0.15 + np.exp(0.7) * 0.5 - 0.35
    np.testing.assert_allclose(balancer(_constants(LOSSES), present=_constants(PRESENT)), expected, rtol=1e-6)


def test_uncertainty_comes_to_rest_where_weighted_losses_are_equal_and_leaves_absent_tasks():
    balancer = Uncertainty(["a", "b", "c"])
    for _ in range(40):
        with tf.GradientTape() as tape:
            total = balancer(_constants(LOSSES), present=_constants(PRESENT))
        balancer.log_variance.assign_sub(tape.gradient(total, balancer.log_variance))
    np.testing.assert_allclose(balancer.log_variance, [np.log(8), np.log(1), 0], atol=1e-3)


def test_uncertainty_on_two_replicas_moves_as_on_one(two_replicas):
    def moved(strategy):
        with strategy.scope():
            balancer = Uncertainty(["a", "b"])
            optimizer = keras.optimizers.SGD(0.1)
            optimizer.build(balancer.trainable_variables)
        count = strategy.num_replicas_in_sync

        @tf.function
        def step(shares):
            with tf.GradientTape() as tape:
                total = balancer({"a": shares[0], "b": shares[1]}, present=_constants({"a": 1.0, "b": 1.0}))
            variables = balancer.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
            return total

        shares = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant([4.0, 0.5]) / count + 0.3 * (context.replica_id_in_sync_group - (count - 1) / 2)
        )
        total = strategy.reduce("SUM", strategy.run(step, (shares,)), axis=None)
        return float(total), balancer.log_variance.numpy()

    one, two = moved(tf.distribute.get_strategy()), moved(two_replicas)
    np.testing.assert_allclose(two[0], one[0], rtol=1e-6)
    np.testing.assert_allclose(two[1], one[1], rtol=1e-6)
