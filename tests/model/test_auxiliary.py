"""Losses beside those of the tasks: what they are, what is minimized of them, and where they are shown."""

from typing import ClassVar

import numpy as np
import pytest
from small_model import DIM, NEXT, answers_of, numbered, prediction

from mtkit.backend import keras, tf
from mtkit.model.auxiliary import ADDED
from mtkit.model.forward import Forward
from mtkit.spec import Correlation
from mtkit.standard.correlations import Aitm

TASKS = {"click": prediction("user", "item"), "like": prediction("user", "item", label="liked")}


def funnel(**options):
    return {"funnel": Aitm(on=("user",), units=DIM, **options)}


def test_the_calibrator_is_the_mean_over_rows_that_are_there(make_model):
    """Whether they have labels or not."""
    model = make_model(TASKS, funnel(order=("click", "like"), calibrator=0.25))
    batches = model.gather(numbered(lines=[0, 1, 2, 3, -1]))
    forward = Forward(model)
    click, like = (answers_of(forward, task, batches["lines"]).numpy()[:4] for task in TASKS)
    found = model.run(batches, training=True)
    expected = np.maximum(like - click, 0).mean()
    assert expected > 0.01
    assert {name: float(loss) for name, loss in found.auxiliary.items()} == {
        "funnel.calibrator": pytest.approx(expected, rel=1e-4)
    }
    assert float(found.regularization) == pytest.approx(0.25 * expected, rel=1e-4)


def test_it_is_minimized_with_the_losses_and_has_a_line_among_them(make_model):
    model = make_model(TASKS, funnel(order=("click", "like"), calibrator=30.0))
    model.compile(keras.optimizers.SGD(0.05))
    rows = numbered(lines=[1, 4, 7])  # `click` has no labels there
    batches = model.gather(rows)
    before = model.run(batches, training=True)
    logs = {name: float(value) for name, value in model.train_step(rows).items()}
    assert list(logs) == ["click_loss", "like_loss", "funnel.calibrator_loss"]
    assert logs["funnel.calibrator_loss"] == pytest.approx(float(before.auxiliary["funnel.calibrator"]), rel=1e-5)
    for _ in range(20):
        model.train_step(rows)
    assert float(model.run(batches, training=True).auxiliary["funnel.calibrator"]) < logs["funnel.calibrator_loss"] / 2


def test_without_two_tasks_there_is_none(make_model):
    model = make_model({"click": TASKS["click"], "next": NEXT}, funnel(order=("click",)))
    assert model.run(model.gather(numbered(lines=[0, 1], windows=[0])), training=True).auxiliary == {}
    assert list(model.trackers) == ["click", "next"]


def test_a_task_that_rests_is_compared_with_nothing(make_model):
    model = make_model(TASKS, funnel(order=("click", "like")))
    model.rest(frozenset({"like"}))
    assert model.run(model.gather(numbered(lines=[0, 1])), training=True).auxiliary == {}


class Adding(keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight("kernel", (shape[-1], DIM), regularizer=keras.regularizers.L2(0.5))

    def call(self, inputs, training=False):
        return tf.matmul(inputs, self.kernel)


class Added(Correlation):
    seen: ClassVar = []

    def build(self, context):
        return Adding(name=context.name)


def test_what_layers_add_as_keras_has_it_has_a_line(make_model):
    model = make_model(TASKS, {"own": Added(on=("user",))})
    kernel = model.correlations["own"]["user"].kernel.numpy()
    found = model.run(model.gather(numbered(lines=[0, 1])), training=True)
    assert {name: float(loss) for name, loss in found.auxiliary.items()} == {
        ADDED: pytest.approx(0.5 * np.square(kernel).sum(), rel=1e-5)
    }
    assert ADDED in model.trackers


@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_what_rows_cost_an_encoder_has_a_line_where_they_cost_something(make_model, monkeypatch, l2):
    import small_model

    user = small_model.ENCODERS["user"].model_copy(update={"l2": l2})
    monkeypatch.setitem(small_model.ENCODERS, "user", user)
    model = make_model(TASKS)
    assert list(model.trackers) == ["click", "like", *(["user.penalty"] if l2 else [])]
    assert set(model.run(model.gather(numbered(lines=[0])), training=True).auxiliary) == (
        {"user.penalty"} if l2 else set()
    )
