"""How the losses of several tasks become one gradient: the contract of a training step, and the plain one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.runtime.collectives import global_sum, replicas


@dataclass(frozen=True)
class TaskLoss:
    """The losses of one task on this replica's rows, before they are summed.

    Attributes:
        losses: float32 `[rows]`, 0 where the weight is 0.
        weights: float32 `[rows]`.
    """

    losses: tf.Tensor
    weights: tf.Tensor

    @cached_property
    def total(self) -> tf.Tensor:
        """Σ w loss over the rows."""
        return tf.reduce_sum(self.weights * self.losses)

    @cached_property
    def weight(self) -> tf.Tensor:
        """Σ w over the rows."""
        return tf.reduce_sum(self.weights)


@dataclass(frozen=True)
class Pass:
    """What a forward pass gives a training step.

    Attributes:
        losses: task -> losses, for the tasks whose rows are there.
        cut: the last tensors that tasks have in common, as their correlations name them: every way from an encoder that
            several tasks read to a loss leads through exactly one of them, so the gradient of a loss by the encoder's weights
            is what its gradients by the cut pull back. Two kinds of ways lead past it: those of a head that calls an
            encoder's layer itself (`TaskPass.encoder`), and those to the weights of a head whose predictions other tasks read.
        regularization: this replica's share of what is minimized beside the losses of the tasks, a scalar.
        auxiliary: what that consists of: name -> this replica's share of a loss, before it is weighted.
        whole: those of the cut that every replica computes for itself, of all rows of an entity: gradients by them are shares
            that add up, while those by the others are of the replica's own rows.
    """

    losses: Mapping[str, TaskLoss]
    cut: Sequence[tf.Tensor]
    regularization: tf.Tensor | float = 0.0
    auxiliary: Mapping[str, tf.Tensor] = field(default_factory=dict)
    whole: Sequence[tf.Tensor] = ()


class StepScope(Protocol):
    """What a training step may ask the model for.

    Attributes:
        trainable_variables: what gradients are asked for, in this order.
    """

    trainable_variables: Sequence[Any]

    def shares(self, losses: Mapping[str, TaskLoss]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """This replica's shares of the weighted task losses, and which tasks have labels anywhere in the global batch.

        Shares add up over replicas; the others are 1 or 0.
        """

    def stream(self, name: str) -> tf.Tensor:
        """The seed of what is drawn under this name in a step, int64 `[2]`: the same on all replicas."""

    def scaled(self, objective: tf.Tensor) -> tf.Tensor:
        """The objective as it is to be differentiated: in half precision, scaled so that gradients do not vanish."""

    def unscaled(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Gradients of a scaled objective as they are."""


class TrainingStep(keras.layers.Layer):
    """Makes the gradients of a step. What `[balance]` names may be one; other balancers are called by `PlainStep`.

    It opens the tape itself, runs the pass within it, once or more often, and returns the last pass with a gradient, or
    None, for each variable: this replica's share, for the optimizer adds up over replicas. So several replicas train as one
    does if its gradients are sums over rows; otherwise it sees to that by `mtkit.distribute.global_sum`, or its spec sets
    `replicable = False`. Its own variables are made in the constructor, for it is not called before the first step.

    Attributes:
        parts: whether it asks for gradients of single tasks: where they part is then said, and computed, for that.
    """

    parts = True

    def prepare(self, tasks: Sequence[str]) -> None:
        """Called when the model is built, with the names of its tasks.

        Raises:
            WiringError: its variables would be made in `build`, which nothing calls.
        """
        if type(self).build is not TrainingStep.build:
            raise WiringError(
                f"balance: {type(self).__name__} is a training step with a method build, which nothing calls; make its "
                "variables in __init__"
            )

    def gradients(self, run: Callable[[], Pass], scope: StepScope) -> tuple[Pass, Sequence[Any]]:
        """The pass, and gradients in the order of `scope.trainable_variables`.

        Args:
            run: the forward pass; it is differentiable within a tape that is open while it runs.
            scope: the model.
        """
        raise NotImplementedError

    def updated(self, found: Pass, run: Callable[[], Pass], scope: StepScope) -> None:
        """Called when the variables have been updated: nothing.

        Args:
            found: the pass before.
            run: the pass on the same rows; what heads and dropout draw is drawn anew.
            scope: the model.
        """

    def epoch_ended(self) -> None:
        """Called after each epoch of `fit`, before anything is measured or saved: nothing."""


class PlainStep:
    """One gradient of one scalar, which a balancer makes of the task losses.

    Args:
        balancer: a layer that is called with task -> scalar loss, and `present`, and returns the scalar to minimize.
    """

    parts = False

    def __init__(self, balancer: Any) -> None:
        self.balancer = balancer

    def prepare(self, tasks: Sequence[str]) -> None:
        """Traces a call of the balancer, which makes the variables of a Keras layer's `build`, and changes nothing else.

        Raises:
            WiringError: what it gives is no scalar, or depends on no loss.
        """
        # A graph that is never run: a balancer that remembers losses must not begin with made-up ones.
        tf.function(self._require_objective, autograph=False).get_concrete_function(
            {task: tf.TensorSpec([], tf.float32) for task in tasks}
        )

    def _require_objective(self, losses: Mapping[str, tf.Tensor]) -> None:
        total = self.balancer(dict(losses), present={task: tf.ones([]) for task in losses})
        if not tf.is_tensor(total) or total.shape.rank:
            got = f"the shape {total.shape.as_list()}" if tf.is_tensor(total) else type(total).__name__
            raise WiringError(f"balance: expected a scalar to minimize, got {got}")
        if all(gradient is None for gradient in tf.gradients(total, list(losses.values()))):
            raise WiringError(
                "balance: what is minimized depends on the loss of no task, so nothing would be learned; look for a "
                "constant, `tf.stop_gradient`, or a loss that is converted to a number of Python"
            )

    def gradients(self, run: Callable[[], Pass], scope: StepScope) -> tuple[Pass, Sequence[Any]]:
        """The gradient of the balanced losses and what layers add to them."""
        with tf.GradientTape() as tape:
            found = run()
            scaled = scope.scaled(self.objective(found.losses, scope) + found.regularization)
        return found, scope.unscaled(tape.gradient(scaled, scope.trainable_variables))

    def objective(self, losses: Mapping[str, TaskLoss], scope: StepScope) -> tf.Tensor:
        """This replica's share of the balanced losses: every replica balances those of the global batch."""
        shares, present = scope.shares(losses)
        if (count := replicas()) == 1:
            return self.balancer(shares, present=present)
        # The values are global ones. Gradients by the losses go to this replica's shares, and add up over replicas, as do
        # those by the balancer's own variables, of which each replica has all.
        whole = {task: global_sum(tf.stop_gradient(share)) for task, share in shares.items()}
        given = {task: total + count * (shares[task] - tf.stop_gradient(shares[task])) for task, total in whole.items()}
        return self.balancer(given, present=present) / count

    def updated(self, found: Pass, run: Callable[[], Pass], scope: StepScope) -> None:
        """Nothing."""

    def epoch_ended(self) -> None:
        """Nothing."""


def step_of(balancer: Any) -> Any:
    """The training step that a balancer is, or that calls it."""
    return balancer if isinstance(balancer, TrainingStep) else PlainStep(balancer)
