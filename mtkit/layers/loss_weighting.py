"""Training steps that weigh the losses of the tasks, by the losses alone: one backward pass, as without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.layers.draws import normal
from mtkit.layers.remembering import DRAWS, RememberingStep
from mtkit.layers.training_step import Pass, StepScope
from mtkit.runtime.collectives import global_sum


class LossStep(RememberingStep):
    """The gradient of a weighted sum of the losses, by whose weights nothing is differentiated."""

    parts = False

    def gradients(self, run: Callable[[], Pass], scope: StepScope) -> tuple[Pass, Sequence[Any]]:
        """The gradient of the weighted losses and of what layers add to them."""
        with tf.GradientTape() as tape:
            found = run()
            shares, _ = scope.shares(found.losses)
            with tape.stop_recording():
                weights = self.by_task(self.weigh(*self.seen(found, scope), scope))
            objective = tf.add_n([weights[task] * share for task, share in shares.items()])
            scaled = scope.scaled(objective + found.regularization)
        return found, scope.unscaled(tape.gradient(scaled, scope.trainable_variables))

    def seen(self, found: Pass, scope: StepScope) -> tuple[tf.Tensor, tf.Tensor]:
        """The weighted losses of the global batch, float32 `[tasks]`, 0 for tasks that are not there; and which have labels."""
        shares, present = scope.shares(found.losses)
        return global_sum(self.of_all(shares)), self.of_all(present) > 0

    def weigh(self, losses: tf.Tensor, present: tf.Tensor, scope: StepScope) -> tf.Tensor:
        """Weights `[tasks]`; those of tasks that are not there may be anything finite."""
        raise NotImplementedError


class Rlw(LossStep):
    """Random weights in each step, softmax of normal draws, over the tasks that have labels.

    Source: Lin et al., Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task Learning, TMLR 2022, equation 2
    and the normal distribution of section 3. Draws are a function of seed and step.

    Args:
        tasks: names of the tasks.
    """

    def __init__(self, tasks: Sequence[str], **options: Any) -> None:
        super().__init__(tasks, {}, **options)

    def weigh(self, losses: tf.Tensor, present: tf.Tensor, scope: StepScope) -> tf.Tensor:
        """Weights that add up to 1."""
        return _softmax(normal(scope.stream(DRAWS), len(self.tasks)), present)


class Dwa(LossStep):
    """Weights by how fast losses fall from epoch to epoch: those of tasks whose loss falls slower are larger.

    w = tasks · softmax(r / temperature), r being the mean loss of the last epoch by that of the one before; 1 in the first two
    epochs, and wherever `fit` counts no epochs. The mean is over the steps in which a task has labels.

    Source: Liu, Johns and Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019, equation 7.

    Args:
        tasks: names of the tasks.
        temperature: the larger, the more equal weights are.
    """

    def __init__(self, tasks: Sequence[str], temperature: float = 2.0, **options: Any) -> None:
        zeros = np.zeros(len(tasks), np.float32)
        super().__init__(tasks, dict.fromkeys(("sums", "steps", "last", "before"), zeros), **options)
        self.temperature = temperature

    def weigh(self, losses: tf.Tensor, present: tf.Tensor, scope: StepScope) -> tf.Tensor:
        """Weights that add up to the number of tasks, by the epochs before; adds the losses to the sums of this one."""
        kept, there = self.recalled(), tf.cast(present, tf.float32)
        self.keep({"sums": kept["sums"] + losses * there, "steps": kept["steps"] + there})
        known = (kept["last"] > 0) & (kept["before"] > 0)
        ratios = tf.where(known, tf.math.divide_no_nan(kept["last"], kept["before"]), 1)
        return len(self.tasks) * tf.nn.softmax(ratios / self.temperature)

    def epoch_ended(self) -> None:
        """The means of the epoch become those of the last one; of a task without labels there, its last ones stay."""
        kept = {name: variable.numpy() for name, variable in self.kept.items()}
        there = kept["steps"] > 0
        means = kept["sums"] / np.maximum(kept["steps"], 1)
        self.kept["before"].assign(np.where(there, kept["last"], kept["before"]))
        self.kept["last"].assign(np.where(there, means, kept["last"]))
        for name in ("sums", "steps"):
            self.kept[name].assign(np.zeros_like(kept[name]))


class Famo(LossStep):
    """Weights by which the logarithms of all losses fall equally fast, learned from the losses after each update.

    With z = softmax(ξ) the weight of a loss L is z / L, divided by the sum of these; they add up to 1. Where log L fell by less
    than that of others, ξ grows. Losses after the update are those of the same rows, by a second forward pass; what heads and
    dropout draw is drawn anew there.

    Source: Liu, Feng, Stone and Liu, FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023, algorithm 1, and its published
    code: ξ is moved by Adam, and the least losses are taken for 0. Deviation: tasks without labels in a batch are left out.

    Args:
        tasks: names of the tasks.
        rate: the learning rate of ξ.
        decay: the weight decay of ξ.
    """

    LEAST, BETAS = 1e-8, (0.9, 0.999)

    def __init__(self, tasks: Sequence[str], rate: float = 0.025, decay: float = 0.01, **options: Any) -> None:
        zeros = np.zeros(len(tasks), np.float32)
        super().__init__(tasks, dict.fromkeys(("logits", "means", "squares", "steps"), zeros), **options)
        self.rate, self.decay = rate, decay

    def weigh(self, losses: tf.Tensor, present: tf.Tensor, scope: StepScope) -> tf.Tensor:
        """Weights that add up to 1."""
        # A loss below 0 has no logarithm, and must not be climbed.
        weights = _softmax(self.recalled()["logits"], present) / (tf.abs(losses) + self.LEAST)
        return tf.math.divide_no_nan(weights, tf.reduce_sum(weights))

    def updated(self, found: Pass, run: Callable[[], Pass], scope: StepScope) -> None:
        """Learns from what became of the losses."""
        before, present = self.seen(found, scope)
        after, _ = self.seen(run(), scope)
        kept = self.recalled()
        before, after = (tf.math.log(tf.abs(losses) + self.LEAST) for losses in (before, after))
        fell = tf.where(present, before - after, 0)
        shares = _softmax(kept["logits"], present)
        gradient = shares * (fell - tf.reduce_sum(shares * fell)) + self.decay * kept["logits"]
        moved = self._adam(kept, gradient)
        self.keep({name: tf.where(present, values, kept[name]) for name, values in moved.items()})

    def _adam(self, kept: dict[str, tf.Tensor], gradient: tf.Tensor) -> dict[str, tf.Tensor]:
        first, second = self.BETAS
        steps = kept["steps"] + 1
        means = first * kept["means"] + (1 - first) * gradient
        squares = second * kept["squares"] + (1 - second) * tf.square(gradient)
        length = tf.sqrt(squares / (1 - tf.pow(second, steps))) + self.LEAST
        logits = kept["logits"] - self.rate * means / (1 - tf.pow(first, steps)) / length
        return {"logits": logits, "means": means, "squares": squares, "steps": steps}


def _softmax(logits: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """The softmax over the tasks that are there; 0 for the others."""
    there = tf.cast(present, logits.dtype)
    powers = tf.exp(logits - tf.reduce_max(logits)) * there
    return tf.math.divide_no_nan(powers, tf.reduce_sum(powers))
