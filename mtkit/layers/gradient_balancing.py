"""Training steps that weigh the gradients of the tasks, by what the gradients say of one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, NamedTuple

import numpy as np

from mtkit.backend import tf
from mtkit.layers.draws import uniform
from mtkit.layers.grad_drop import kept_parts
from mtkit.layers.gramian import Weighting
from mtkit.layers.gramian_weights import DBMTL
from mtkit.layers.remembering import DRAWS, RememberingStep
from mtkit.layers.task_gradients import AtCut, AtParameters, Losses, TaskGradients
from mtkit.layers.training_step import Pass, StepScope, TaskLoss
from mtkit.runtime.collectives import global_sum

At = Literal["cut", "parameters"]


class Seen(NamedTuple):
    """What weights may depend on, of all tasks in their order, in the global batch.

    Attributes:
        gramian: float32 `[tasks, tasks]`; rows and columns of tasks that are not there are 0.
        losses: float32 `[tasks]`, times the tasks' `weight`; 0 for tasks that are not there.
        present: bool `[tasks]`, whether a task has labels.
        seed: int64 `[2]`.
    """

    gramian: tf.Tensor
    losses: tf.Tensor
    present: tf.Tensor
    seed: tf.Tensor


class GradientStep(RememberingStep):
    """One backward pass for each task, of whose gradients one is made.

    What several tasks train gets the sum of the tasks' gradients, each times a weight; what one task alone trains gets that
    task's gradient as it is, but for methods that change the losses themselves. What layers add to the losses is no task's,
    and is added as it is.

    Args:
        tasks: names of the tasks.
        memory: what it remembers, by name, with its values before the first step.
        at: where gradients meet: `cut` or `parameters`; see `mtkit.layers.task_gradients`.
    """

    def __init__(self, tasks: Sequence[str], memory: Mapping[str, Any], at: At = "cut", **options: Any) -> None:
        super().__init__(tasks, memory, **options)
        self.at = at

    def gradients(self, run: Callable[[], Pass], scope: StepScope) -> tuple[Pass, Sequence[Any]]:
        """The gradient that the weights make of the tasks'."""
        if tf.executing_eagerly():
            return _in_a_graph(self, run, scope)
        found = run()
        shares, present = scope.shares(found.losses)
        scaled = {task: scope.scaled(share) for task, share in shares.items()}
        losses = Losses(found, scaled, scope.scaled(tf.convert_to_tensor(found.regularization)), scope)
        at = AtCut(losses) if self.at == "cut" else AtParameters(losses)
        seen = self._seen(at.gramian, shares, present, scope)
        return found, scope.unscaled(self.combined(at, seen))

    def _seen(
        self,
        gramian: tf.Tensor,
        shares: Mapping[str, tf.Tensor],
        present: Mapping[str, tf.Tensor],
        scope: StepScope,
    ) -> Seen:
        places = tf.one_hot([self.tasks.index(task) for task in shares], len(self.tasks))
        gramian = tf.matmul(tf.matmul(places, gramian, transpose_a=True), places)
        return Seen(gramian, global_sum(self.of_all(shares)), self.of_all(present) > 0, scope.stream(DRAWS))

    def combined(self, at: TaskGradients, seen: Seen) -> list[Any]:
        """One gradient, or None, for each variable, scaled as the tasks' are."""
        shared, private = self.weigh(seen)
        return at.combined(self.by_task(shared), {} if private is None else self.by_task(private))

    def weigh(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Weights of what several tasks train, and factors of what one alone trains, `[tasks]` each; None = 1."""
        raise NotImplementedError


class GramianStep(GradientStep):
    """Weights that depend on the inner products of the gradients alone.

    Args:
        tasks: names of the tasks.
        weighting: the method.
        at: where gradients meet.
    """

    def __init__(self, tasks: Sequence[str], weighting: Weighting, at: At = "cut", **options: Any) -> None:
        super().__init__(tasks, weighting.memory(len(tasks)), at, **options)
        self.weighting = weighting

    def weigh(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The weights of the method; what one task alone trains has its plain gradient."""
        weights, memory = self.weighting(seen.gramian, self.recalled(), seen.seed)
        self.keep(memory)
        return weights, None


class DbMtl(GradientStep):
    """Logarithms of the losses, whose gradients are made as long as the longest.

    Of a loss L the gradient of log L is that of L times 1 / L, for all weights, those of one task alone included. So neither the
    scale of a loss nor the `weight` of its task matters.

    Source: Lin et al., Dual-Balancing for Multi-Task Learning, 2023, section 3. Deviation: the moving mean is of the squared
    lengths of the gradients, not of the gradients, since rows of the cut are others in each step; its factor, beta by the
    number of the step to the power sigma, is that of the published code.

    Args:
        tasks: names of the tasks.
        beta: what remains of the mean in the first step; 0 = lengths are those of the step.
        sigma: how fast that falls, as a power of the number of the step.
        at: where gradients meet.
    """

    LEAST = 1e-8

    def __init__(
        self, tasks: Sequence[str], beta: float = 0.9, sigma: float = 0.5, at: At = "cut", **options: Any
    ) -> None:
        zeros = np.zeros(len(tasks), np.float32)
        super().__init__(tasks, {"squares": zeros, "steps": zeros}, at, **options)
        self.beta, self.sigma = beta, sigma

    def weigh(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The longest length by that of each, times 1 / L; and 1 / L."""
        # A loss below 0 has no logarithm, and must not be climbed.
        inverse = tf.where(seen.present, 1 / (tf.abs(seen.losses) + self.LEAST), 0)
        squares = tf.linalg.diag_part(seen.gramian) * tf.square(inverse)
        kept = self.recalled()
        steps = kept["steps"] + tf.cast(seen.present, tf.float32)
        faded = tf.where(steps > 1, self.beta * tf.pow(tf.maximum(steps, 1.0), -self.sigma), 0)
        mean = tf.where(seen.present, squares + faded * (kept["squares"] - squares), kept["squares"])
        self.keep({"squares": mean, "steps": steps})
        weights, _ = DBMTL()(tf.linalg.diag(tf.where(seen.present, mean, 0)), {}, seen.seed)
        return weights * inverse, inverse


class GradNorm(GradientStep):
    """Learned weights of the losses, by which gradients come to lengths that follow how slowly each task learns.

    The length of w L is to be the mean of all, times r to the power of alpha; r is what is left of a loss since the first step,
    by the mean of all tasks.

    Source: Chen et al., GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks, ICML 2018,
    equations 1 and 2, and algorithm 1. Deviations: gradients are by the cut, or by all that tasks share, in the place of
    the last shared layer's; weights move by the learning rate times the gradient in units of the mean length, on the logarithm,
    so that they stay above 0 and no scale of the losses matters.

    Args:
        tasks: names of the tasks.
        alpha: 0 = lengths are to be equal; the larger, the more tasks that lag behind are pulled.
        rate: the learning rate of the weights.
        at: where gradients meet.
    """

    def __init__(
        self, tasks: Sequence[str], alpha: float = 1.5, rate: float = 0.025, at: At = "cut", **options: Any
    ) -> None:
        weights, first = np.ones(len(tasks), np.float32), np.zeros(len(tasks), np.float32)
        super().__init__(tasks, {"weights": weights, "first": first}, at, **options)
        self.alpha, self.rate = alpha, rate

    def weigh(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The weights before this step, for all that trains."""
        kept = self.recalled()
        first = tf.where((kept["first"] > 0) | ~seen.present, kept["first"], seen.losses)
        there = tf.cast(seen.present, tf.float32)
        lengths = kept["weights"] * tf.sqrt(tf.maximum(tf.linalg.diag_part(seen.gramian), 0))
        left = tf.math.divide_no_nan(seen.losses, first)
        mean, slowness = _mean(lengths, there), tf.math.divide_no_nan(left, _mean(left, there))
        away = tf.sign(lengths - mean * tf.pow(slowness, self.alpha)) * there
        moved = kept["weights"] * tf.exp(-self.rate * away * tf.math.divide_no_nan(lengths, mean))
        self.keep({"weights": moved * len(self.tasks) / tf.reduce_sum(moved), "first": first})
        return kept["weights"], kept["weights"]


class GradDrop(GradientStep):
    """Of each feature at the cut those tasks' gradients alone that have the sign that is drawn.

    The sign of a task's gradient by a feature is that of the sum over the rows, each times the sign of the feature itself. The
    positive one is drawn with the probability (1 + Σ g / Σ |g|) / 2, g being the tasks' sums.

    Source: Chen et al., Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout, NeurIPS 2020, algorithm 1,
    for tensors whose rows are those of a batch, with f the identity. What several tasks train behind the cut has their plain sum.

    Args:
        tasks: names of the tasks.
        leak: the part of a gradient that is kept whatever its sign, from 0 to 1.
    """

    def __init__(self, tasks: Sequence[str], leak: float = 0.0, **options: Any) -> None:
        super().__init__(tasks, {}, "cut", **options)
        self.leak = leak

    def combined(self, at: TaskGradients, seen: Seen) -> list[Any]:
        """What is kept at the cut, pulled back."""
        assert isinstance(at, AtCut)
        kept = [self._one_sign(tensor, at.by_tensor(place), seen.seed, place) for place, tensor in enumerate(at.cut)]
        return at.pulled_back(kept, {}, {})

    def _one_sign(
        self, tensor: tf.Tensor, of_tasks: Sequence[tf.Tensor], seed: tf.Tensor, place: int
    ) -> tf.Tensor | None:
        if not of_tasks:
            return None
        signs, shape = tf.sign(tf.cast(tensor, tf.float32)), tensor.shape[1:]
        sums = global_sum(tf.stack([tf.reshape(tf.reduce_sum(signs * gradient, 0), [-1]) for gradient in of_tasks]))
        drawn = uniform(tf.stack([seed[0] + place, seed[1]]), shape.num_elements())
        parts = tf.unstack(kept_parts(sums, drawn, self.leak), len(of_tasks))
        return tf.add_n([tf.reshape(part, shape) * g for part, g in zip(parts, of_tasks, strict=True)])


def _in_a_graph(step: GradientStep, run: Callable[[], Pass], scope: StepScope) -> tuple[Pass, Sequence[Any]]:
    """The same where nothing is compiled: a graph is made for this step alone."""

    @tf.function(autograph=False)
    def once() -> tuple[Any, ...]:
        found, gradients = step.gradients(run, scope)
        parts = {part.name: getattr(found, part.name) for part in fields(found)}
        return parts | {"losses": {task: (of.losses, of.weights) for task, of in found.losses.items()}}, gradients

    parts, gradients = once()
    return Pass(**parts | {"losses": {task: TaskLoss(*of) for task, of in parts["losses"].items()}}), gradients


def _mean(values: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(values * there), tf.reduce_sum(there))
