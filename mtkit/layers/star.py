"""A network of each scenario, whose weights are the product of shared ones and its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.parallel import Widths, plain, widths

_EPSILON = 1e-3


@keras.saving.register_keras_serializable(package="mtkit")
class Star(keras.layers.Layer):
    """Layers whose weights are products of shared ones and the scenario's: f(x (W ⊗ W_p) + b + b_p), p the row's scenario.

    Before them a row is normalized over its entries, with a scale and an offset that are the product and the sum of shared ones
    and the scenario's. Beside them a layer reads that and an embedding of the scenario, and what it gives stands beside the
    state, so that a linear head adds its logit to that of the network (the auxiliary network). What scales begins as 1 and what
    is added as 0: a scenario that training did not see, 0, is answered by the shared weights.

    Takes `[rows, dim]`, or `[rows, tasks, dim]`, and the scenario of each row, int32 `[rows]`. Returns `[rows, units + beside]`,
    or `[rows, tasks, units + beside]`. A step computes each layer for all scenarios at once, so there should be tens of them.

    Source: Sheng et al., One Model to Serve All: Star Topology Adaptive Recommender for Multi-Domain CTR Prediction, CIKM 2021:
    star topology and auxiliary network. Deviations: layer normalization instead of partitioned normalization, whose statistics
    are of the rows of a batch, so that a row's result would depend on others; the auxiliary network is handed on by its hidden
    layer.

    Args:
        scenarios: number of scenarios, 0 = unknown among them.
        address: of the feature that is the scenario.
        units: width of each layer.
        beside: width of what the auxiliary network hands on, and of the scenario's embedding; 0 = there is none.
        activation: of each layer.
    """

    def __init__(
        self, scenarios: int, address: str, units: Widths, beside: int = 8, activation: str = "relu", **options: Any
    ) -> None:
        super().__init__(**options)
        self.scenarios, self.address, self.units, self.beside = scenarios, str(address), units, beside
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        dim, scenarios = input_shape[-1], self.scenarios
        self.scale = self.add_weight("scale", (dim,), initializer="ones")
        self.offset = self.add_weight("offset", (dim,), initializer="zeros")
        self.scales = self.add_weight("scales", (scenarios, dim), initializer="ones")
        self.offsets = self.add_weight("offsets", (scenarios, dim), initializer="zeros")
        self.kernels, self.biases, width = [], [], dim
        for number, units in enumerate(widths(self.units)):
            shared = self.add_weight(f"kernel_{number}", (width, units), initializer="he_uniform")
            own = self.add_weight(f"kernels_{number}", (width, scenarios, units), initializer="ones")
            self.kernels.append((shared, own))
            shared = self.add_weight(f"bias_{number}", (units,), initializer="zeros")
            self.biases.append((shared, self.add_weight(f"biases_{number}", (scenarios, units), initializer="zeros")))
            width = units
        if self.beside:
            self.embeddings = self.add_weight("embeddings", (scenarios, self.beside))
            self.auxiliary = keras.layers.Dense(self.beside, self.activation, name="auxiliary", dtype=self.dtype_policy)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, features: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The state of each row, or those of the tasks.

        Args:
            inputs: the joined embeddings.
            features: address -> int32 `[rows]`; the scenario's is read.
            training: as Keras has it.
        """
        scenario = features[self.address]
        if (by_task := inputs.shape.rank == 3) and (tasks := inputs.shape[1]):
            scenario = tf.repeat(scenario, tasks)
        state = normalized = self._normalized(tf.reshape(inputs, [-1, inputs.shape[-1]]), scenario)
        for kernels, biases in zip(self.kernels, self.biases, strict=True):
            state = self._layer(state, scenario, kernels, biases)
        if self.beside:
            of_scenario = tf.gather(tf.convert_to_tensor(self.embeddings), scenario)
            state = tf.concat([state, self.auxiliary(tf.concat([normalized, of_scenario], -1))], -1)
        return tf.reshape(state, [-1, inputs.shape[1], state.shape[-1]]) if by_task else state

    def _normalized(self, state: tf.Tensor, scenario: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(tf.cast(state, tf.float32), -1, keepdims=True)
        of_row = tf.cast((tf.cast(state, tf.float32) - mean) * tf.math.rsqrt(variance + _EPSILON), state.dtype)
        scale = self.scale * tf.gather(tf.convert_to_tensor(self.scales), scenario)
        return scale * of_row + self.offset + tf.gather(tf.convert_to_tensor(self.offsets), scenario)

    def _layer(self, state: tf.Tensor, scenario: tf.Tensor, kernels: Any, biases: Any) -> tf.Tensor:
        """One product for all scenarios, of which each row takes its own: faster than matrices that are gathered by rows."""
        (kernel, own_kernels), (bias, own_biases) = kernels, biases
        width, units = kernel.shape
        products = tf.reshape(kernel[:, None] * own_kernels, [width, self.scenarios * units])
        every = tf.reshape(tf.matmul(state, products), [-1, self.scenarios, units])
        own = tf.gather(every, scenario, batch_dims=1)
        return self.activation(own + bias + tf.gather(tf.convert_to_tensor(own_biases), scenario))

    def axes(self) -> list[Axis]:
        """The scenarios."""
        first = [self.scales, self.offsets, *(own for _, own in self.biases), *([self.embeddings] * bool(self.beside))]
        scenarios = [Axis(variable, 0, self.address) for variable in first]
        return [*scenarios, *(Axis(own, 1, self.address) for _, own in self.kernels)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "scenarios": self.scenarios,
            "address": self.address,
            "units": plain(self.units),
            "beside": self.beside,
            "activation": keras.activations.serialize(self.activation),
        }
