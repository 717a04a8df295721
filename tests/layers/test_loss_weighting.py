"""Weights that follow from losses, beside NumPy."""

import numpy as np
import pytest
from toy_tasks import TASKS, THERE, Toy, check_sum, plain_of

from mtkit.backend import tf
from mtkit.layers.draws import normal
from mtkit.layers.loss_weighting import Dwa, Famo, Rlw
from mtkit.testing import check_training_step

ABSENT = THERE.copy()
ABSENT[:, 1] = 0


def _softmax(values):
    return np.exp(values) / np.exp(values).sum()


def test_random_weights_are_those_of_seed_and_step():
    step, toy, seen = Rlw(TASKS), Toy(), []
    for number in range(2):
        toy.step.assign(number)
        weights = _softmax(normal(toy.stream("[balance]"), 3).numpy())
        _, found = step.gradients(toy.run, toy)
        check_sum(found, plain_of(), weights, weights)
        seen.append(weights)
    assert np.abs(seen[0] - seen[1]).max() > 0.01


def test_normal_draws_are_normal_and_the_same_under_xla():
    drawn = normal(tf.constant([1, 2], tf.int64), 4000).numpy()
    assert abs(drawn.mean()) < 0.05
    assert abs(drawn.std() - 1) < 0.05
    assert abs((drawn**4).mean() - 3) < 0.5
    compiled = tf.function(normal, jit_compile=True)(tf.constant([1, 2], tf.int64), 50)
    np.testing.assert_allclose(compiled, normal(tf.constant([1, 2], tf.int64), 50), rtol=1e-4, atol=1e-5)


def test_dwa_goes_by_the_means_of_two_epochs():
    step, toy = Dwa(TASKS, temperature=0.5), Toy()
    losses, means = np.array([of[0] for of in plain_of().values()]), []
    for factor in (1, 2):
        for there in (THERE, ABSENT):
            toy.there = np.float32(there)
            _, found = step.gradients(toy.run, toy)
            check_sum(found, plain_of(there), np.ones(3), np.ones(3))
        step.kept["sums"].assign(step.kept["sums"] * [1, factor, 1])
        step.epoch_ended()
        means.append(step.kept["last"].numpy())
    np.testing.assert_allclose(means[0], losses, rtol=1e-5)  # of the second task, of the steps where it has labels
    np.testing.assert_allclose(means[1], losses * [1, 2, 1], rtol=1e-5)
    weights = 3 * _softmax(np.array([1, 2, 1]) / 0.5)
    toy.there = np.float32(THERE)
    _, found = step.gradients(toy.run, toy)
    check_sum(found, plain_of(), weights, weights)


@pytest.mark.parametrize("there", [THERE, ABSENT])
def test_famo_learns_from_the_losses_after_the_update(there):
    step, toy, present = Famo(TASKS, rate=0.025, decay=0.01), Toy(there), there.any(0)
    start = np.where(present, np.array([0.3, -0.2, 0.1]), 0)
    step.kept["logits"].assign(np.float32(start))
    before = np.array([of[0] for of in plain_of(there).values()])
    found, gradients = step.gradients(toy.run, toy)
    shares = np.where(present, np.exp(start), 0) / np.exp(start)[present].sum()
    weights = np.divide(shares, before, where=present, out=np.zeros(3))
    weights /= weights.sum()
    check_sum(gradients, plain_of(there), weights, weights)
    for variable, gradient in zip(toy.trainable_variables, gradients, strict=True):
        variable.assign_sub(0.01 * tf.convert_to_tensor(gradient))
    step.updated(found, toy.run, toy)
    after = np.array([float(toy.shares(toy.run().losses)[0][task]) for task in TASKS])
    fell = np.where(present, np.log(np.where(present, before, 1)) - np.log(np.where(present, after, 1)), 0)
    gradient = shares * (fell - shares @ fell) + 0.01 * start
    # The first step of Adam has the length of its rate.
    moved = np.where(present, start - 0.025 * np.sign(gradient), start)
    np.testing.assert_allclose(step.kept["logits"], moved, atol=1e-4)


def test_they_conform():
    for make in (Rlw, Dwa, Famo):
        check_training_step(make(("one", "other")))
