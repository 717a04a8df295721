import os
import signal

import numpy as np
import pytest

from mtkit.backend import keras
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RunError
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.model.private_parts import private_weights
from mtkit.recipe.loader import load_recipe
from mtkit.training.fit import EpochLog, Training
from mtkit.training.interrupt import Interrupted, Signals
from mtkit.training.judging import Validation
from mtkit.training.schedule import Rules, Schedule

SETS = (
    "data.lines=1200",
    "data.users=40",
    "deterministic=true",
    "encoder.past.dropout=0.3",
    "train.epoch_of=lines",
    "train.steps_per_execution=2",
)
UNSETS = ("task.gift", "encoder.visit", "correlation.experts")
WITHOUT_NEXT = ("task.next", "rows.windows")
#: Figures of `discounted` and `department`, of which the first is best in its second epoch.
AUCS = (0.6, 0.9, 0.8, 0.7, 0.95)


@pytest.fixture
def make(tiny_recipe, tmp_path):
    dataset = load_recipe(tiny_recipe, SETS, UNSETS).data.source.load()

    def make(*sets, checkpoints=None, script=AUCS, repeats=None, unsets=WITHOUT_NEXT, **options):
        main = () if unsets == () else ("evaluate.main=department/accuracy",)
        recipe = load_recipe(tiny_recipe, (*SETS, "train.epochs=5", *main, *sets), (*UNSETS, *unsets))
        valid, _ = make_cuts(dataset, recipe.data.split)
        pipeline = assemble(recipe, dataset, valid, cache_dir=tmp_path)
        training = Training(pipeline, checkpoints, pytest.fail, validates=repeats is None, repeats=repeats, **options)
        if training.validation and script:
            training.validation.measured = lambda: {
                "discounted/auc": script[training.epoch - 1],
                "department/accuracy": 0.5 + 0.01 * training.epoch,
            }
        return training

    return make


class AtEnd(keras.callbacks.Callback):
    """Keeps the weights of a task's own part after each epoch, as they are when it is saved."""

    def __init__(self, task="discounted"):
        super().__init__()
        self.task, self.weights, self.others = task, [], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append([weight.numpy() for weight in private_weights(self.model, self.task)])
        self.others.append([weight.numpy() for weight in self.model.encoders["look"].weights])


def everything(training):
    course = [variable.numpy() for variable in training.course.variables]
    model = [v.numpy() for v in training.pipeline.model.variables + training.pipeline.model.optimizer.variables]
    return course + model + [generator.state.numpy() for generator in training.generators]


def assert_same(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def differ(found, expected):
    return not all(np.array_equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True))


def test_after_each_epoch_all_tasks_are_measured_as_they_are_in_the_end(make):
    training, epochs = make(script=None, unsets=()), []
    training.fit([EpochLog(training, epochs.append)])
    expected = evaluate(training.pipeline)
    keys = [key for key in epochs[-1] if key.startswith("val_")]
    assert {"val_next/ndcg@3", "val_discounted/auc", "val_discounted/accuracy", "val_department/accuracy"} <= {*keys}
    assert "val_next/recall@3" not in keys, "of rankings the figure that judges is enough"
    assert {key: epochs[-1][key] for key in keys} == {key: expected[key.removeprefix("val_")] for key in keys}
    assert len({epoch["val_discounted/auc"] for epoch in epochs}) > 1
    assert training.judged()["next"] == "next/ndcg@3"


def test_a_sample_is_spread_over_the_rows(make):
    training = make("train.validation_rows=7")
    sizes = training.validation.sizes()
    assert sizes["lines"][0] == 7 < sizes["lines"][1]
    pipeline = training.pipeline
    labels = pipeline.tables["lines"]["eval"].labels["discounted"]
    rows = np.unique(np.linspace(0, len(labels) - 1, 7).astype(int))
    answers = pipeline.model.predict(pipeline.eval_data("lines"))["discounted"]
    accuracy = np.mean((answers[rows] > 0.5) == labels[rows])
    assert Validation(pipeline, 7).measured()["discounted/accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize("main", ["next/tail/ndcg@3", "next/new/ndcg@3"])
def test_a_figure_of_a_slice_can_judge(make, main):
    training = make("evaluate.slices=['new','tail']", f"evaluate.main={main}", script=None, unsets=())
    found = training.validation.measured()
    assert training.judged()["next"] == main
    assert found[main] == evaluate(training.pipeline)[main]


def test_a_task_leaves_as_it_was_at_its_best_and_others_go_on(make):
    training, kept, epochs = make("train.stop=task"), AtEnd(), []
    assert training.rates.keys() == {"lines", "items"}
    training.fit([kept, EpochLog(training, epochs.append)])
    assert training.pipeline.model.resting == {"discounted"}
    assert training.rates.keys() == {"items"}, "a table whose tasks have left is not read any more"
    assert differ(kept.weights[2], kept.weights[1])
    for later in kept.weights[3:]:
        assert_same(later, kept.weights[1])
    assert differ(kept.others[4], kept.others[3])
    assert ["discounted_loss" in epoch for epoch in epochs] == [True, True, True, True, False]
    steps = training.steps_per_epoch
    assert training.passes()["lines"] == pytest.approx(4 * steps / training.pipeline.rates()["lines"].steps)


def test_the_main_task_ends_training_in_its_best_epoch(make):
    training, kept = make("train.stop=main", "evaluate.main=discounted/auc"), AtEnd()
    training.fit([kept])
    assert (training.epoch, training.epochs) == (4, 4)
    assert_same(kept.weights[3], kept.weights[1])
    assert_same(kept.others[3], kept.others[1])


@pytest.mark.parametrize("stop", ["task", pytest.param("main", marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_to_the_bit(make, tmp_path, stop):
    sets = (f"train.stop={stop}", "evaluate.main=discounted/auc")
    reference = make(*sets)
    reference.fit()
    first = make(*sets, checkpoints=tmp_path, save_seconds=0.0)
    at = {"task": 4, "main": 2}[stop] * first.steps_per_epoch  # after the task has left; after the best epoch
    with Signals() as signals, pytest.raises(Interrupted):
        first.fit([_StopAt(first, at + 1)], signals)
    second = make(*sets, checkpoints=tmp_path)
    assert second.restore() > at
    second.fit()
    assert second.pipeline.model.resting == reference.pipeline.model.resting
    assert_same(everything(second), everything(reference))


class _StopAt(keras.callbacks.Callback):
    def __init__(self, training, step):
        super().__init__()
        self.training, self.step = training, step

    def on_train_batch_end(self, batch, logs=None):
        if self.training.step >= self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_another_training_repeats_the_schedule(make):
    training = make("train.stop=task")
    training.fit()
    scores = training.course.schedule(training.epoch).plain()
    tables = {name: spec.rows for name, spec in training.pipeline.plan.tasks.items()}
    schedule = Schedule(Rules.of(training.pipeline.recipe), tables, scores, repeated=True)
    again, kept = make("train.stop=task", repeats=schedule), AtEnd()
    again.fit([kept])
    assert again.pipeline.model.resting == {"discounted"}
    assert_same(kept.weights[-1], kept.weights[1])
    assert_same([w.numpy() for w in again.pipeline.model.weights], [w.numpy() for w in training.pipeline.model.weights])


@pytest.mark.slow
def test_a_task_has_epochs_a_learning_rate_and_a_decay_of_its_own(make):
    other = 'task.gift={use="user_preference", rows="lines", inputs=["customer"], label="gift"}'
    training, kept = make("task.discounted.epochs=2", other), AtEnd()
    training.fit([kept])
    assert_same(kept.weights[4], kept.weights[1])
    still = make("task.discounted.learning_rate_factor=1e-9")
    before = [weight.numpy() for weight in private_weights(still.pipeline.model, "discounted")]
    still.fit()
    for weight, value in zip(private_weights(still.pipeline.model, "discounted"), before, strict=True):
        np.testing.assert_allclose(weight, value, atol=1e-6)
    decayed = make("task.discounted.weight_decay=5.0")
    decayed.fit()
    sizes = [
        sum(float(np.abs(weight.numpy()).sum()) for weight in private_weights(of.pipeline.model, "discounted"))
        for of in (training, decayed)
    ]
    assert sizes[1] < 0.7 * sizes[0]


def test_damaged_scores_are_one_message(tmp_path):
    from mtkit.runs.directory import RunDirectory

    directory = RunDirectory(tmp_path)
    directory.write_scores({"a": [1.0, float("nan")]})
    assert directory.read_scores() == {"a": [1.0, None]}
    directory.scores.write_text("{")
    with pytest.raises(RunError, match=r"scores.json: is damaged"):
        directory.read_scores()


@pytest.mark.slow
def test_learned_rates_follow_validation_and_go_on_to_the_bit(make, tmp_path):
    sets = ("train.rates=learned", "train.epochs=4")
    reference = make(*sets)
    stated = {name: rate.batch_size for name, rate in reference.rates.items()}
    reference.fit()
    learned = {name: rate.batch_size for name, rate in reference.rates.items()}
    assert learned["items"] > stated["items"], "from the third epoch on `department` alone progresses"
    assert sum(learned.values()) == pytest.approx(sum(stated.values()), abs=2)
    first = make(*sets, checkpoints=tmp_path, save_seconds=0.0)
    with Signals() as signals, pytest.raises(Interrupted):
        first.fit([_StopAt(first, 3 * first.steps_per_epoch + 1)], signals)
    second = make(*sets, checkpoints=tmp_path)
    assert second.restore() > 3 * second.steps_per_epoch
    second.fit()
    assert_same(everything(second), everything(reference))
