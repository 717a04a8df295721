"""Balancers that work on gradients, and those that learn from losses, in a model."""

from pathlib import Path

import numpy as np
import pytest
from small_model import DIM, LINES, NEXT, WINDOWS, numbered, prediction

from mtkit.backend import keras, tf
from mtkit.layers.gradient_balancing import GramianStep
from mtkit.layers.gramian import Weighting
from mtkit.spec import BuildContext
from mtkit.standard import balancers, correlations

BOTH = {"click": prediction("user", "item"), "like": prediction("user", "visit", label="liked")}
MORE = {**BOTH, "more": prediction("visit", "item", label="liked")}
#: Balancer -> by what it multiplies the gradient of a task that is alone, where that is one number.
ALONE = {
    balancers.PcGrad(): 1,
    balancers.CaGrad(): 1.4,
    balancers.Mgda(): 1,
    balancers.NashMtl(): None,
    balancers.ImtlG(): 1,
    balancers.AlignedMtl(): 1,
    balancers.ConFig(): 1,
    balancers.UpGrad(): 1,
    balancers.GradNorm(): 1,
    balancers.GradDrop(): 1,
    balancers.Rlw(): 1,
    balancers.Dwa(): 1,
    balancers.Famo(): 1,
}


class Stated(Weighting):
    """Weights as they are stated."""

    def __init__(self, weights):
        self.stated = weights

    def __call__(self, gramian, memory, seed):
        return tf.constant(self.stated), memory


def _by_task(model, rows):
    """In a plain model: task -> gradient of its loss by each variable, or None."""
    with tf.GradientTape(persistent=True) as tape:
        shares, _ = model.shares(model.run(model.gather(rows), training=True).losses)
    found = {task: tape.gradient(share, model.trainable_variables) for task, share in shares.items()}
    return {task: [None if g is None else tf.convert_to_tensor(g).numpy() for g in of] for task, of in found.items()}


def _gradients(model, step, rows):
    model.step = step
    _, found = model.step.gradients(lambda: model.run(model.gather(rows), training=True), model)
    return [None if g is None else tf.convert_to_tensor(g).numpy() for g in found]


@pytest.mark.parametrize("at", ["cut", "parameters"])
@pytest.mark.parametrize(
    "after",
    [
        {},
        {"experts": correlations.Mmoe(experts=2, units=DIM, residual=True)},
        {"bottom": correlations.SharedBottom(units=DIM), "cgc": correlations.Ple(levels=1, units=3)},
    ],
    ids=["plain", "experts", "cgc"],
)
def test_what_several_train_is_weighted_and_what_one_trains_is_plain(make_model, after, at):
    """Three tasks of one table; with experts, gradients of single tasks go their own way through the mixture."""
    model, rows = make_model(MORE, after), numbered(lines=[0, 2, 3, 5, 8, 9])
    weights = dict(zip(MORE, [0.5, -1.5, 3.0], strict=True))
    plain = _by_task(model, rows)
    found = _gradients(model, GramianStep(MORE, Stated(list(weights.values())), at), rows)
    for number, variable in enumerate(model.trainable_variables):
        of = {task: gradients[number] for task, gradients in plain.items() if gradients[number] is not None}
        expected = [gradient * (weights[task] if len(of) > 1 else 1) for task, gradient in of.items()]
        if not expected:
            assert found[number] is None
            continue
        np.testing.assert_allclose(found[number], sum(expected), atol=2e-5, err_msg=variable.name)


@pytest.mark.slow
def test_a_task_without_labels_leaves_the_other_as_if_it_were_alone(make_model):
    """What both train has the gradient of the one that is there, times what the method makes of one; its head the plain one."""
    model, rows = make_model(BOTH), numbered(lines=[1, 4, 7])
    plain = _by_task(model, rows)["like"]
    before = {id(v) for v in model.encoders["user"].trainable_variables}
    for spec, factor in ALONE.items():
        context = _context(model)
        found = _gradients(model, spec.build(context), rows)
        for gradient, expected, variable in zip(found, plain, model.trainable_variables, strict=True):
            if expected is None:
                assert gradient is None or not gradient.any(), (spec, variable.name)
                continue
            times = factor if id(variable) in before else 1
            if times is None:
                times = np.vdot(gradient, expected) / np.vdot(expected, expected)
                assert times > 0
            np.testing.assert_allclose(gradient, times * expected, atol=1e-5, err_msg=f"{spec} {variable.name}")


def _context(model):
    return BuildContext(
        name="balance", tasks=tuple(model.heads), features={}, sizes={}, classes={}, candidates={}, cache_dir=Path(),
        column=lambda *_: np.array([]),
    )  # fmt: skip


def test_the_gradient_of_the_logarithm_is_that_of_one_task(make_model):
    model, rows = make_model(BOTH), numbered(lines=[1, 4, 7])
    plain = _by_task(model, rows)["like"]
    shares, _ = model.shares(model.run(model.gather(rows), training=True).losses)
    found = _gradients(model, balancers.DbMtl().build(_context(model)), rows)
    for gradient, expected in zip(found, plain, strict=True):
        if expected is not None:
            np.testing.assert_allclose(gradient, expected / float(shares["like"]), atol=1e-5)


@pytest.mark.slow
def test_tables_that_share_rows_of_no_batch_do_not_meet_at_the_cut(make_model):
    """Two row tables have users of their own: their product is 0 at the cut, and not by the parameters."""
    tasks = {"click": prediction("user", "visit"), "next": NEXT}
    model, seen = make_model(tasks), {}

    class Seen(Stated):
        def memory(self, tasks):
            return {"gramian": np.zeros([tasks, tasks], np.float32)}

        def __call__(self, gramian, memory, seed):
            return tf.constant(self.stated), {"gramian": gramian}

    for at in ("cut", "parameters"):
        step = GramianStep(tasks, Seen([1.0, 1.0]), at)
        _gradients(model, step, numbered(lines=[0, 2, 3], windows=[0, 2]))
        seen[at] = step.kept["gramian"].numpy()
    assert seen["cut"][0, 1] == 0
    assert seen["parameters"][0, 1] != 0
    assert (np.diag(seen["cut"]) > 0).all()


@pytest.mark.parametrize("balance", [balancers.Famo(rate=0.5), balancers.GradNorm(rate=0.5), balancers.Dwa()])
def test_what_learns_moves_under_fit(make_model, balance):
    model = make_model(BOTH, balance=balance)
    model.compile(keras.optimizers.Adam(0.05), steps_per_execution=3)
    rows = tf.data.Dataset.from_tensors(numbered(lines=range(LINES))).repeat()
    history = model.fit(rows, steps_per_epoch=6, epochs=3, verbose=0).history
    assert history["click_loss"][2] < history["click_loss"][0]
    learned = {"Famo": "logits", "GradNorm": "weights", "Dwa": "last"}[type(balance).__name__]
    values = model.balancer.kept[learned].numpy()
    assert np.abs(values - values[::-1]).min() > 1e-3
    if learned == "last":
        np.testing.assert_allclose(values, [history["click_loss"][2], history["like_loss"][2]], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("at", ["cut", "parameters"])
def test_xla_trains_the_same(make_model, at):
    found = []
    for compiled in (False, True):
        model = make_model(MORE, balance=balancers.CaGrad(at=at))
        model.compile(keras.optimizers.Adam(0.05), jit_compile=compiled)
        rows = tf.data.Dataset.from_tensors(numbered(lines=range(LINES))).repeat()
        found.append(model.fit(rows, steps_per_epoch=5, epochs=2, verbose=0).history)
    for key, losses in found[0].items():
        np.testing.assert_allclose(found[1][key], losses, rtol=1e-3)


def test_a_task_that_rests_is_left_out(make_model):
    model = make_model(MORE, balance=balancers.Mgda())
    model.rest(frozenset({"more", "like"}))
    rows = numbered(lines=[0, 2, 3])
    found = _gradients(model, model.step, rows)
    plain = _by_task(model, rows)
    assert set(plain) == {"click"}
    for gradient, expected in zip(found, plain["click"], strict=True):
        assert (gradient is None) == (expected is None)


@pytest.mark.slow
def test_rows_of_two_tables_train(make_model):
    model = make_model({**BOTH, "next": NEXT}, balance=balancers.UpGrad())
    model.compile(keras.optimizers.Adam(0.05))
    rows = tf.data.Dataset.from_tensors(numbered(lines=range(LINES), windows=range(WINDOWS))).repeat()
    history = model.fit(rows, steps_per_epoch=10, epochs=2, verbose=0).history
    for name in ("click_loss", "like_loss", "next_loss"):
        assert history[name][1] < history[name][0]
