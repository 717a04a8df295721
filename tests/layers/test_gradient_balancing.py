"""Steps that weigh gradients, on a table and a layer that three tasks share, beside NumPy, and on one and two replicas."""

import numpy as np
import pytest
from toy_tasks import DIM, IDS, ROWS, SHARED, TABLE, TASKS, THERE, Toy, check_sum, plain_of

from mtkit.backend import tf
from mtkit.layers.gradient_balancing import DbMtl, GradDrop, GradientStep, GradNorm, GramianStep
from mtkit.layers.gramian import Weighting
from mtkit.layers.gramian_weights import MGDA, CAGrad, PCGrad
from mtkit.layers.training_step import Pass, TaskLoss
from mtkit.testing import check_training_step


class Stated(Weighting):
    """Weights as they are stated; remembers the Gramian."""

    def memory(self, tasks):
        return {"gramian": np.zeros([tasks, tasks], np.float32)}

    def __call__(self, gramian, memory, seed):
        return tf.constant([0.5, 2.0, -1.0]), {"gramian": gramian}


def _gramian(plain, at):
    flat = [of[1].ravel() if at == "cut" else np.concatenate([of[2].ravel(), of[3].ravel()]) for of in plain.values()]
    return np.array(flat) @ np.array(flat).T


@pytest.mark.parametrize("at", ["cut", "parameters"])
@pytest.mark.parametrize(("scale", "dtype"), [(1.0, tf.float32), (512.0, tf.float32), (64.0, tf.float16)])
def test_the_gradient_is_the_weighted_sum_of_the_tasks(at, scale, dtype):
    toy, step = Toy(scale=scale, dtype=dtype), GramianStep(TASKS, Stated(), at)
    _, found = step.gradients(toy.run, toy)
    plain, close = plain_of(), 1e-4 if dtype == tf.float32 else 2e-2
    check_sum(found, plain, [0.5, 2, -1], rtol=close)
    np.testing.assert_allclose(step.kept["gramian"], _gramian(plain, at), rtol=close, atol=close)


def test_ways_past_the_cut_are_plain():
    """The third task reads the table once more, without the layer."""
    toy = Toy()

    def run():
        found = Toy.run(toy)
        beside = tf.reduce_sum(tf.gather(toy.trainable_variables[0], IDS), 1)
        three = found.losses["three"]
        losses = {**found.losses, "three": TaskLoss(three.losses + beside, three.weights)}
        return Pass(losses, found.cut, regularization=tf.reduce_sum(tf.square(toy.trainable_variables[1])))

    _, found = GramianStep(TASKS, Stated()).gradients(run, toy)
    plain = plain_of()
    past = np.zeros_like(TABLE)
    np.add.at(past, IDS, 1 / ROWS)
    table, shared = (sum(w * of[place] for w, of in zip([0.5, 2, -1], plain.values(), strict=True)) for place in (2, 3))
    np.testing.assert_allclose(tf.convert_to_tensor(found[0]), table + past, atol=1e-4)
    np.testing.assert_allclose(found[1], shared + 2 * SHARED, atol=1e-4)


def _projected(gramian, one, two):
    """Of two tasks: weights after projection."""
    dot = min(gramian[one, two], 0)
    return 1 - dot / gramian[one, one], 1 - dot / gramian[two, two]


@pytest.mark.parametrize("at", ["cut", "parameters"])
def test_two_tasks_are_projected_as_by_hand(at):
    there = THERE.copy()
    there[:, 1] = 0
    toy, plain = Toy(there), plain_of(there)
    gramian = _gramian(plain, at)
    _, found = GramianStep(TASKS, PCGrad(), at).gradients(toy.run, toy)
    one, three = _projected(gramian, 0, 2)
    assert at == "parameters" or one > 1
    check_sum(found, plain, [one, 0, three])


def test_db_mtl_by_hand():
    step, toy, plain = DbMtl(TASKS, beta=0.9, sigma=0.5), Toy(), plain_of()
    losses, squares = np.array([of[0] for of in plain.values()]), np.diag(_gramian(plain, "cut"))
    _, found = step.gradients(toy.run, toy)
    lengths = np.sqrt(squares) / losses
    check_sum(found, plain, lengths.max() / lengths / losses, 1 / losses)
    step.kept["squares"].assign(2 * step.kept["squares"])
    _, found = step.gradients(toy.run, toy)
    moved = np.sqrt(1 + 0.9 / np.sqrt(2)) * lengths
    np.testing.assert_allclose(np.sqrt(step.kept["squares"]), moved, rtol=1e-5)


def test_grad_norm_by_hand():
    step, toy, plain = GradNorm(TASKS, alpha=1.5, rate=0.1), Toy(), plain_of()
    losses, squares = np.array([of[0] for of in plain.values()]), np.diag(_gramian(plain, "cut"))
    _, found = step.gradients(toy.run, toy)
    check_sum(found, plain, [1, 1, 1])
    lengths = np.sqrt(squares)
    moved = np.exp(-0.1 * np.sign(lengths - lengths.mean()) * lengths / lengths.mean())
    weights = 3 * moved / moved.sum()
    np.testing.assert_allclose(step.kept["weights"], weights, rtol=1e-5)
    step.kept["first"].assign(np.float32(losses * [1, 2, 4]))
    _, found = step.gradients(toy.run, toy)
    check_sum(found, plain, weights, weights)
    left = np.array([1, 1 / 2, 1 / 4])
    target = (weights * lengths).mean() * (left / left.mean()) ** 1.5
    moved = weights * np.exp(
        -0.1 * np.sign(weights * lengths - target) * weights * lengths / (weights * lengths).mean()
    )
    np.testing.assert_allclose(step.kept["weights"], 3 * moved / moved.sum(), rtol=1e-5)


@pytest.mark.parametrize("leak", [0.0, 0.25])
def test_grad_drop_keeps_one_sign_of_each_feature(leak):
    toy, plain, seen = Toy(), plain_of(), set()
    state = TABLE[IDS] @ SHARED
    sums = np.stack([(np.sign(state) * of[1]).sum(0) for of in plain.values()])
    options = {}
    for signs in np.ndindex(2, 2, 2):
        kept = np.where((sums > 0) == np.array(signs, bool), 1, leak)
        cut = sum(part * of[1] for part, of in zip(kept, plain.values(), strict=True))
        options[signs] = TABLE[IDS].T @ cut
    step = GradDrop(TASKS, leak)
    compiled = tf.function(lambda: step.gradients(toy.run, toy)[1][:2])
    for _ in range(12):
        toy.step.assign_add(1)
        found = compiled()
        (kept,) = {key for key, one in options.items() if np.allclose(found[1], one, atol=1e-4)} or {None}
        assert kept is not None
        seen.add(kept)
    assert len(seen) > 1
    for feature in range(DIM):  # where tasks agree, nothing is dropped
        if (sums[:, feature] > 0).all() or (sums[:, feature] < 0).all():
            assert {signs[feature] for signs in seen} == {int(sums[0, feature] > 0)}


@pytest.mark.parametrize("make", [GradNorm, GradDrop, DbMtl])
def test_rows_without_labels_are_as_if_absent(make):
    there = THERE.copy()
    there[[1, 4]] = 0
    kept, found = [row for row in range(ROWS) if row not in (1, 4)], []
    for rows in (tf.range(ROWS), tf.constant(kept)):
        step, toy = make(TASKS), Toy(there)
        _, gradients = step.gradients(lambda toy=toy, rows=rows: toy.run(rows), toy)
        found.append([*map(tf.convert_to_tensor, gradients), *step.kept.values()])
    for masked, absent in zip(*found, strict=True):
        np.testing.assert_allclose(masked, absent, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GradNorm(TASKS, rate=0.5),
        lambda: GramianStep(TASKS, Stated(), "parameters"),
        pytest.param(lambda: GramianStep(TASKS, Stated()), marks=pytest.mark.slow),
        pytest.param(lambda: GradDrop(TASKS), marks=pytest.mark.slow),
        pytest.param(lambda: DbMtl(TASKS, at="parameters"), marks=pytest.mark.slow),
    ],
    ids=["grad_norm", "parameters", "cut", "grad_drop", "db_mtl"],
)
def test_two_replicas_have_the_gradient_of_one(two_replicas, make):
    def steps(strategy):
        with strategy.scope():
            toy, step = Toy(), make()
        count = strategy.num_replicas_in_sync

        @tf.function
        def once(rows):
            return [tf.convert_to_tensor(g) for g in step.gradients(lambda: toy.run(rows), toy)[1]]

        # Rows of unequal weight: the second task has two labels less on the first replica.
        part = strategy.experimental_distribute_values_from_function(
            lambda context: tf.range(ROWS)[context.replica_id_in_sync_group :: count]
        )
        for _ in range(2):
            found = strategy.run(once, (part,))
        return [strategy.reduce("SUM", one, axis=None) for one in found], [v.numpy() for v in step.kept.values()]

    one, two = steps(tf.distribute.get_strategy()), steps(two_replicas)
    for expected, gradient in zip(tf.nest.flatten(one), tf.nest.flatten(two), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("weighting", "at"), [(CAGrad(), "cut"), (MGDA(), "parameters")], ids=["cut", "parameters"])
def test_conforms(weighting, at):
    check_training_step(GramianStep(("one", "other"), weighting, at))


def test_others_conform():
    check_training_step(GradDrop(("one", "other")))
    check_training_step(GradNorm(("one", "other")))


def test_steps_ask_where_tasks_part():
    assert GradientStep.parts
