"""Where tasks part, and training steps that work there."""

from typing import ClassVar

import numpy as np
import pytest
from small_model import DIM, ITEMS, LINES, NEXT, answers_of, numbered, prediction

from mtkit.backend import keras, tf
from mtkit.layers.task_states import TaskStates
from mtkit.layers.training_step import TrainingStep
from mtkit.model.forward import Forward
from mtkit.spec import Balancer, Correlation
from mtkit.standard import correlations
from mtkit.testing import check_training_step


class PcGrad(TrainingStep):
    """Projects conflicting gradients of two tasks at the cut (Yu et al., NeurIPS 2020, algorithm 1).

    What the cut lets through is corrected; private ways keep their plain gradients.
    """

    def gradients(self, run, scope):
        with tf.GradientTape(persistent=True) as tape:
            found = run()
            shares, _ = scope.shares(found.losses)
            total = tf.add_n(list(shares.values()))
        cut, self.cut = list(found.cut), [tensor.shape for tensor in found.cut]
        one, other = ([tf.convert_to_tensor(g) for g in tape.gradient(share, cut, unconnected_gradients="zero")]
                      for share in shares.values())  # fmt: skip
        dot = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(one, other, strict=True)])
        squares = [tf.add_n([tf.reduce_sum(a * a) for a in gradient]) for gradient in (one, other)]
        by = [tf.math.divide_no_nan(tf.minimum(dot, 0.0), square) for square in reversed(squares)]
        change = [-by[0] * b - by[1] * a for a, b in zip(one, other, strict=True)]
        variables = scope.trainable_variables
        plain = tape.gradient(total, variables, unconnected_gradients="zero")
        change = tape.gradient(cut, variables, output_gradients=change, unconnected_gradients="zero")
        self.conflict = dot < 0
        return found, [tf.convert_to_tensor(a) + tf.convert_to_tensor(b) for a, b in zip(plain, change, strict=True)]


class Projected(Balancer):
    def build(self, context):
        return PcGrad(name=context.name)


class Extracted(keras.layers.Layer):
    """Experts of the tasks and one that they share, whose state is handed on (Tang et al., RecSys 2020, without gates)."""

    def __init__(self, tasks, units, **options):
        super().__init__(**options)
        self.own = [keras.layers.Dense(units) for _ in range(tasks)]
        self.common = keras.layers.Dense(units)

    def call(self, inputs, training=False, shared=None):
        common = self.common(inputs if shared is None else shared)
        states = [inputs] * len(self.own) if inputs.shape.rank == 2 else tf.unstack(inputs, axis=1)
        own = tf.stack([layer(state) + common for layer, state in zip(self.own, states, strict=True)], 1)
        return TaskStates(own, common)


class Extraction(Correlation):
    takes_shared: ClassVar = True

    units: int = DIM

    def build(self, context):
        self.seen.append((context.name, context.tasks))
        return Extracted(len(context.tasks), self.units, name=context.name)

    seen: ClassVar = []


class Bottom(keras.layers.Layer):
    """A layer that all tasks share, and one for each (Caruana, 1997)."""

    def __init__(self, tasks, **options):
        super().__init__(**options)
        self.common, self.own = keras.layers.Dense(DIM), [keras.layers.Dense(DIM) for _ in range(tasks)]

    def call(self, inputs, training=False):
        common = self.common(inputs)
        return TaskStates(tf.stack([layer(common) for layer in self.own], 1), cut=(common,))


class SharedBottom(Correlation):
    def build(self, context):
        return Bottom(len(context.tasks), name=context.name)


BOTH = {"click": prediction("user", "item"), "like": prediction("user", "visit", label="liked")}


def _slow_projection(one, other):
    """Both gradients added, each without what conflicts with the other."""
    dot = sum((a * b).sum() for a, b in zip(one, other, strict=True))
    if dot >= 0:
        return [a + b for a, b in zip(one, other, strict=True)]
    first, second = (sum((a * a).sum() for a in gradient) for gradient in (one, other))
    return [a - dot / second * b + b - dot / first * a for a, b in zip(one, other, strict=True)]


def test_a_training_step_may_project_gradients_at_the_cut(make_model):
    """Of two tasks that read one encoder: its gradient is the projected one, and private parts have their plain one."""
    model, plain = make_model(BOTH, balance=Projected()), make_model(BOTH)
    rows = model.gather(numbered(lines=range(LINES)))
    _, found = model.step.gradients(lambda: model.run(rows, training=True), model)
    assert [tuple(shape) for shape in model.step.cut] == [(LINES, DIM)]
    assert bool(model.step.conflict)
    with tf.GradientTape(persistent=True) as tape:
        passed = plain.run(rows, training=True)
        shares, _ = plain.shares(passed.losses)
        total = tf.add_n(list(shares.values()))
    (cut,) = passed.cut
    by_task = [tape.gradient(share, cut).numpy() for share in shares.values()]
    projected = _slow_projection([by_task[0]], [by_task[1]])
    for variable, gradient in zip(plain.trainable_variables, found, strict=True):
        if "/user/" in variable.name:
            expected = tape.gradient(cut, variable, output_gradients=tf.constant(projected[0]))
        else:
            expected = tape.gradient(total, variable, unconnected_gradients="zero")
        np.testing.assert_allclose(gradient, tf.convert_to_tensor(expected), atol=1e-5, err_msg=variable.name)


def test_it_conforms():
    check_training_step(PcGrad())


def test_it_trains_under_fit(make_model):
    model = make_model(BOTH, balance=Projected())
    model.compile(keras.optimizers.Adam(0.05))
    rows = tf.data.Dataset.from_tensors(numbered(lines=range(LINES))).repeat()
    history = model.fit(rows, steps_per_epoch=20, epochs=2, verbose=0).history
    assert history["click_loss"][1] < history["click_loss"][0]


def test_the_cut_is_what_several_tasks_read_last(make_model):
    experts = {"experts": correlations.Mmoe(experts=2, units=3, on=("user",))}
    for after, shape in (({}, (3, DIM)), (experts, (3, DIM))):
        model = make_model(BOTH, after)
        batch = model.gather(numbered(lines=[0, 5, 7]))
        (cut,) = model.run(batch, training=False).cut
        assert tuple(cut.shape) == shape
    tasks = {**BOTH, "next": NEXT}
    model = make_model(tasks)
    shapes = {tuple(cut.shape) for cut in model.run(model.gather(numbered(lines=[0, 1], windows=[0, 2, 3])), False).cut}
    assert shapes == {(ITEMS, DIM), (2, DIM), (3, DIM)}  # the catalog, and users of both tables; `visit` is of one task


def test_correlations_hand_on_what_is_shared_and_name_the_cut(make_model):
    levels = {name: Extraction(on=("user",)) for name in ("first", "second")}
    model = make_model(BOTH, levels)
    batch = model.gather(numbered(lines=[0, 5, 7]))["lines"]
    encoded = Forward(make_model(BOTH)).states("user", batch)
    first = model.correlations["first"]["user"](encoded)
    second = model.correlations["second"]["user"](first.own, shared=first.shared)
    forward = Forward(model)
    np.testing.assert_allclose(forward.states("user", batch), second.own, atol=1e-6)
    whole, of_rows = forward.cut()
    assert not whole
    for found, expected in zip(of_rows, (first.own, first.shared), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def _pair(*on):
    return {"both": correlations.Mmoe(experts=2, units=3, apply="pair", on=on)}


@pytest.mark.parametrize(
    ("tasks", "after", "shared"),
    [
        (BOTH, {}, {"user"}),
        (BOTH, {name: Extraction(on=("user",)) for name in ("first", "second")}, {"user"}),
        (BOTH, {"bottom": SharedBottom(on=("user",))}, {"user"}),
        (BOTH, {"shared": correlations.SharedBottom(on=("user",), units=[5, DIM])}, {"user"}),
        (BOTH, {"cgc": correlations.Ple(on=("user",), levels=1, units=DIM)}, {"user"}),
        (
            BOTH,
            {
                "stitched": correlations.CrossStitch(on=("user",), units=[5, DIM]),
                "levels": correlations.Ple(on=("user",), levels=2, own=2, units=DIM),
            },
            {"user"},
        ),
        ({"click": prediction("both"), "like": prediction("user", label="liked")}, _pair("user", "item"), {"user"}),
        ({"click": prediction("past"), "like": prediction("item", label="liked")}, {}, {"item"}),
        ({"click": prediction("past", "item"), "next": NEXT}, {}, {"item", "past"}),
    ],
    ids=["plain", "levels", "bottom", "shared", "cgc", "stitched", "pair", "content", "catalog"],
)
def test_the_cut_leads_to_all_that_is_shared(make_model, tasks, after, shared):
    """Pulled back from the cut, the gradient of each loss is its gradient by what several tasks share, once."""
    model = make_model(tasks, after)
    rows = {"lines": [0, 5, 7, 8], "windows": [0, 2, 3]}
    rows = model.gather(numbered(**{spec.rows: rows[spec.rows] for spec in tasks.values()}))
    with tf.GradientTape(persistent=True) as tape:
        found = model.run(rows, training=False)
        shares, _ = model.shares(found.losses)
    variables = [v for name in shared for v in model.encoders[name].trainable_variables]
    for share in shares.values():
        expected = tape.gradient(share, variables, unconnected_gradients="zero")
        at_the_cut = tape.gradient(share, found.cut, unconnected_gradients="zero")
        pulled = tape.gradient(found.cut, variables, output_gradients=at_the_cut, unconnected_gradients="zero")
        for one, other in zip(pulled, expected, strict=True):
            np.testing.assert_allclose(tf.convert_to_tensor(one), tf.convert_to_tensor(other), atol=1e-5)
            assert np.abs(tf.convert_to_tensor(other)).max() > 0


def test_correlations_may_run_for_those_that_read_them(make_model):
    """Three tasks, of which two read the user: the axis has these two, and answers are theirs."""
    Extraction.seen.clear()
    tasks = {"other": prediction("item"), **BOTH}
    model = make_model(tasks, {"first": Extraction(on=("user",), tasks="reading"), "second": Extraction(on=("user",))})
    assert Extraction.seen == [("first_user", ("click", "like")), ("second_user", ("click", "like"))]
    batch = model.gather(numbered(lines=[0, 5, 7]))["lines"]
    forward = Forward(model)
    states = forward.states("user", batch)
    assert states.shape == (3, 2, DIM)
    expected = model.heads["like"]({"user": states[:, 1], "visit": forward.states("visit", batch)})
    np.testing.assert_allclose(answers_of(forward, "like", batch), tf.sigmoid(expected), atol=1e-6)
