"""Tasks in an order, such as click and then conversion, each of which takes over what the one before it found."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.parallel import Each, ParallelNetworks, Widths, plain, widths
from mtkit.layers.task_states import TaskStates, require_tasks

#: The name of the loss by which a later step is at most as probable as the one before it.
CALIBRATOR = "calibrator"


@keras.saving.register_keras_serializable(package="mtkit")
class Aitm(keras.layers.Layer):
    """A network for each task; along an order of tasks, each weighs its own state and what the one before it hands on.

    With q_t the output of task t's network, p_t = g_t(z_(t-1)) what is handed on, and z_1 = q_1:
    z_t = Σ_u w_u h1(u) for u in (p_t, q_t), w_u = softmax_u(h2(u)·h3(u) / √k). Tasks outside of the order keep z = q.

    Takes `[rows, dim]`, one state for all tasks, or `[rows, tasks, dim]`. Returns `TaskStates`: `own` is
    `[rows, tasks, units]`, the last width; `cut` has the outputs of the networks, `[rows, units]` each.

    `auxiliary` is the calibrator of behavioral expectation: a step of the order is at most as probable as the one before it,
    L = Σ_t max(y_t - y_(t-1), 0) over a row's steps.

    Source: Xi et al., Modeling the Sequential Dependence among Audience Multi-step Conversions with Multi-task Learning in
    Targeted Display Advertising, KDD 2021: adaptive information transfer, and the behavioral expectation
    calibrator. Deviation: g has one layer.

    Args:
        tasks: names of the tasks.
        order: those that follow one another, first to last.
        units: width of each layer of a task's network; the last is k.
        activation: of the networks, and of what hands on.
    """

    def __init__(
        self, tasks: Sequence[str], order: Sequence[str], units: Widths, activation: str = "relu", **options: Any
    ) -> None:
        super().__init__(**options)
        self.tasks, self.order, self.units = list(tasks), list(order), units
        self.activation = keras.activations.get(activation)
        self.networks = ParallelNetworks(len(self.tasks), units, activation, name="networks", dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        """Creates what hands on, and the attention, where tasks follow one another.

        Raises:
            WiringError: the input has states of another number of tasks.
        """
        require_tasks(self.name, input_shape, len(self.tasks))
        if steps := len(self.order[1:]):
            width = widths(self.units)[-1]
            self.handing = self.add_weight("handing", (width, steps, width), initializer=Each("he_uniform"))
            self.handing_bias = self.add_weight("handing_bias", (steps, width), initializer="zeros")
            self.attention = self.add_weight("attention", (width, 3, width), initializer=Each("glorot_uniform"))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> TaskStates:
        """The states of the tasks, each with what it took over."""
        own = self.networks(inputs if inputs.shape.rank == 2 else tf.unstack(inputs, axis=1))
        states = list(own)
        for step, (before, task) in enumerate(pairwise(map(self.tasks.index, self.order))):
            states[task] = self._weighed(self._handed_on(states[before], step), own[task])
        return TaskStates(tf.stack(states, 1), cut=tuple(own))

    def _handed_on(self, state: tf.Tensor, step: int) -> tf.Tensor:
        return self.activation(tf.matmul(state, self.handing[:, step]) + self.handing_bias[step])

    def _weighed(self, handed_on: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
        width = own.shape[-1]
        both = tf.concat([handed_on, own], 0)
        projected = tf.matmul(both, tf.reshape(self.attention, [width, 3 * width]))
        values, keys, queries = tf.split(projected, 3, -1)
        scores = tf.reduce_sum(keys * queries, -1, keepdims=True) / math.sqrt(width)
        shares = tf.nn.softmax(tf.concat(tf.split(scores, 2), -1))
        first, second = tf.split(values, 2)
        return shares[:, :1] * first + shares[:, 1:] * second

    def auxiliary(self, predictions: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """By how much steps are more probable than those before them, summed over a row's steps, float32 `[rows]`.

        Args:
            predictions: task -> probability, float32 `[rows]`; steps are looked at of which both tasks are there.
        """
        beyond = [
            tf.nn.relu(predictions[task] - predictions[before])
            for before, task in pairwise(self.order)
            if before in predictions and task in predictions
        ]
        # One after another: of an AddN the order, and so the rounding, could depend on timing.
        return {CALIBRATOR: functools.reduce(operator.add, beyond)} if beyond else {}

    def axes(self) -> list[Axis]:
        """The networks of the tasks, and what hands on from one to the next."""
        networks = self.networks.axes_of("task")
        if len(self.order) < 2:
            return networks
        order = tuple(self.order)
        return [*networks, Axis(self.handing, 1, order), Axis(self.handing_bias, 0, order)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tasks": self.tasks,
            "order": self.order,
            "units": plain(self.units),
            "activation": keras.activations.serialize(self.activation),
        }
