import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.layers.balancing import Sum, Uncertainty
from mtkit.layers.training_step import PlainStep, TrainingStep
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


class Geometric(keras.layers.Layer):
    """The geometric mean of the losses: no sum over replicas, so each has to see losses of the global batch."""

    def build(self, shape):
        self.scale = self.add_weight("scale", (), initializer="ones")

    def call(self, losses, present=None):
        return self.scale * tf.exp(tf.reduce_mean(tf.math.log(list(losses.values()))))


class Shares:
    """What a model says of a step whose losses are shares of replicas."""

    def shares(self, losses):
        return losses, dict.fromkeys(losses, tf.constant(1.0))


@pytest.mark.parametrize("make", [lambda: Uncertainty(["a", "b"]), Geometric])
def test_balancers_on_two_replicas_move_as_on_one(two_replicas, make):
    def moved(strategy):
        with strategy.scope():
            balancer, weights = make(), tf.Variable([1.0, 1.0])
            step_of_balancer = PlainStep(balancer)
            step_of_balancer.prepare(["a", "b"])
            variables = [*balancer.trainable_variables, weights]
            optimizer = keras.optimizers.SGD(0.1)
            optimizer.build(variables)
        count = strategy.num_replicas_in_sync

        @tf.function
        def step(shares):
            with tf.GradientTape() as tape:
                losses = {"a": weights[0] * shares[0], "b": weights[1] ** 2 * shares[1]}
                total = step_of_balancer.objective(losses, Shares())
            optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))

        shares = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant([4.0, 0.5]) / count + 0.2 * (context.replica_id_in_sync_group - (count - 1) / 2)
        )
        strategy.run(step, (shares,))
        return [variable.numpy() for variable in variables]

    one, two = moved(tf.distribute.get_strategy()), moved(two_replicas)
    for found, expected in zip(two, one, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_no_loss_changes_is_refused():
    class Constant(keras.layers.Layer):
        def call(self, losses, present=None):
            return tf.stop_gradient(tf.add_n(list(losses.values())))

    class PerTask(keras.layers.Layer):
        def call(self, losses, present=None):
            return tf.stack(list(losses.values()))

    class Late(TrainingStep):
        def build(self, shape):
            self.scale = self.add_weight("scale", ())

    with pytest.raises(WiringError, match="depends on the loss of no task"):
        PlainStep(Constant()).prepare(["a", "b"])
    with pytest.raises(WiringError, match=r"expected a scalar to minimize, got the shape \[2\]"):
        PlainStep(PerTask()).prepare(["a", "b"])
    with pytest.raises(WiringError, match="Late is a training step with a method build, which nothing calls"):
        Late().prepare(["a", "b"])


def test_to_make_variables_changes_nothing_that_a_balancer_remembers():
    class Counting(keras.layers.Layer):
        def build(self, shape):
            self.count = self.add_weight("count", (), initializer="zeros", trainable=False)

        def call(self, losses, present=None):
            self.count.assign_add(1.0)
            return tf.add_n(list(losses.values()))

    balancer = Counting()
    PlainStep(balancer).prepare(["a", "b"])
    assert float(balancer.count) == 0
