import json

import numpy as np
import pytest

from mtkit.backend import keras
from mtkit.errors import RunError
from mtkit.model.non_finite import all_zero
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.settings import Train
from mtkit.runs.directory import RunDirectory
from mtkit.runs.run import run_recipe
from mtkit.runtime.optimizers import make_optimizer, steps_at_full_rate
from mtkit.training.interrupt import Interrupted
from mtkit.training.movement import Movement

ONE_TASK = (
    *("task.gift", "task.department", "task.discounted", "rows.items", "rows.lines"),
    *("encoder.visit", "correlation.experts", "balance"),
)


@pytest.fixture
def model():
    """A kernel of ones, and a bias of zeros."""
    model = keras.Sequential([keras.layers.Dense(4, kernel_initializer="ones")])
    model.build([None, 100])
    return model


def test_the_largest_change_of_what_moved_counts(model):
    movement, (kernel, bias) = Movement(model), model.trainable_variables
    assert movement.relative() == 0
    bias.assign_add(np.ones(4))  # had no size
    assert movement.relative() == 0
    kernel[0].assign(kernel[0] + 0.5)  # the rows that did not move do not thin it out
    assert movement.relative() == pytest.approx(0.5)
    assert movement.warning(epochs=1) == ""


def test_a_small_change_is_one_that_all_epochs_do_not_make_up_for(model):
    movement, (kernel, _) = Movement(model), model.trainable_variables
    kernel.assign_add(np.full(kernel.shape, 0.004))
    assert movement.warning(epochs=20) == ""
    assert movement.warning(epochs=3).startswith(
        "the first of 3 epochs moved no weights by more than 0.40% of their size: train"
    )


def test_an_epoch_of_warm_up_tells_less(model):
    movement, (kernel, _) = Movement(model), model.trainable_variables
    kernel.assign_add(np.full(kernel.shape, 0.004))
    settings = Train(epochs=3, learning_rate=1e-3, warmup_steps=20)
    schedule = make_optimizer(settings, 300)._learning_rate
    for steps in (10, 20, 300):
        summed = sum(float(schedule(step)) for step in range(steps)) / settings.learning_rate
        assert steps_at_full_rate(settings, steps) == pytest.approx(summed, abs=steps / 20)
    to_come = steps_at_full_rate(settings, 30) / steps_at_full_rate(settings, 10)
    assert to_come == 8
    assert movement.warning(epochs=3)
    assert movement.warning(3, 2 * to_come) == ""


@pytest.mark.slow
def test_a_run_says_and_keeps_it(tiny_recipe, tmp_path, capsys):
    sets = ("data.lines=600", "data.users=30", "evaluate.baselines=['popularity']", "evaluate.slices=[]")
    for rate, warned in ((1e-7, True), (0.02, False)):
        recipe = load_recipe(tiny_recipe, (*sets, f"train.learning_rate={rate}"), ONE_TASK)
        run_recipe(recipe, tmp_path / str(rate))
        warnings = json.loads((tmp_path / str(rate) / "metrics.json").read_text()).get("warnings", [])
        assert ("epochs moved no weights" in capsys.readouterr().out) == warned
        assert [text.partition(":")[0] for text in warnings] == (["valid", "test"] if warned else [])


@pytest.mark.slow
def test_a_run_that_is_interrupted_later_keeps_it(tiny_recipe, tmp_path, monkeypatch):
    sets = (
        "data.lines=600",
        "data.users=30",
        "evaluate.baselines=[]",
        "evaluate.slices=[]",
        "train.learning_rate=1e-7",
    )
    recipe, run = load_recipe(tiny_recipe, sets, ONE_TASK), tmp_path / "run"
    append = RunDirectory.append_history

    def interrupted(directory, row):
        if row["epoch"] == 2:
            raise Interrupted(2)
        append(directory, row)

    monkeypatch.setattr(RunDirectory, "append_history", interrupted)
    with pytest.raises(Interrupted):
        run_recipe(recipe, run)
    monkeypatch.setattr(RunDirectory, "append_history", append)
    run_recipe(recipe, run, resume=True)
    told = json.loads((run / "metrics.json").read_text())["warnings"]
    assert [text.partition(" epochs moved no weights")[0] for text in told] == [
        "valid: the first of 2",
        "test: the first of 2",
    ]
    (run / "warnings.json").write_text("[")
    (run / "phases/test.json").unlink()
    with pytest.raises(RunError, match=r"warnings\.json: is damaged: .*; remove it"):
        run_recipe(recipe, run, resume=True)


def test_weights_that_are_all_0(model):
    assert not all_zero(model)
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    assert all_zero(model)
