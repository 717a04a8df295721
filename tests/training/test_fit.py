import os
import shutil
import signal

import numpy as np
import pytest
from interrupting import SETS, UNSETS, install

from mtkit.backend import keras, tf
from mtkit.data.catalogs import make_cuts
from mtkit.errors import RunError
from mtkit.model.assembly import assemble
from mtkit.recipe.loader import load_recipe
from mtkit.runtime.optimizers import FINAL_RATE
from mtkit.training.checkpoints import Checkpoints
from mtkit.training.fit import EpochLog, Training
from mtkit.training.interrupt import Interrupted, Signals


class At(keras.callbacks.Callback):
    """Does something after a step that ends a block."""

    def __init__(self, training, step, does):
        super().__init__()
        self.training, self.step, self.does = training, step, does

    def on_train_batch_end(self, batch, logs=None):
        if self.training.step == self.step:
            self.does()


@pytest.fixture
def make_training(tiny_recipe, tmp_path):
    install(tmp_path / "site")
    dataset = load_recipe(tiny_recipe, SETS, UNSETS).data.source.load()

    def make(checkpoints=None, warnings=None, sets=(), **options):
        recipe = load_recipe(tiny_recipe, (*SETS, "deterministic=false", *sets), UNSETS)
        _, test = make_cuts(dataset, recipe.data.split)
        pipeline = assemble(recipe, dataset, test, cache_dir=tmp_path)
        return Training(pipeline, checkpoints, (warnings if warnings is not None else []).append, **options)

    return make


def everything(training):
    values = [v.numpy() for v in training.pipeline.model.variables + training.pipeline.model.optimizer.variables]
    return values + [generator.state.numpy() for generator in training.generators]


def fit(training, callbacks=(), signals=None):
    """The epochs' losses."""
    epochs = []
    training.fit([EpochLog(training, epochs.append), *callbacks], signals)
    return [{k: v for k, v in epoch.items() if not k.endswith(("seconds", "second"))} for epoch in epochs]


def poison(training):
    """Makes a weight of one head nan, and tells its name."""
    weight = training.pipeline.model.heads["discounted"].trainable_variables[0]
    weight.assign(tf.fill(weight.shape, np.nan))


def test_training_goes_on_to_the_bit_within_an_epoch_and_past_a_damaged_checkpoint(make_training, tmp_path):
    reference = make_training()
    epochs = fit(reference)
    assert reference.step == 72
    assert len(reference.generators) >= 2
    assert reference.rates["lines"].rows % reference.rates["lines"].batch_size

    first = make_training(tmp_path / "kept", save_seconds=0.0)
    with Signals() as signals, pytest.raises(Interrupted) as stopped:
        fit(first, [At(first, 40, lambda: os.kill(os.getpid(), signal.SIGTERM))], signals)
    assert stopped.value.exit_code == 143
    kept = sorted((tmp_path / "kept").iterdir())
    assert [path.name for path in kept] == ["step-00000032", "step-00000040"]
    data = kept[-1] / "checkpoint.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-100])

    warnings = []
    second = make_training(tmp_path / "kept", warnings)
    assert second.restore() == 32
    assert [str(kept[-1]) in warning for warning in warnings] == [True]
    # The mean losses of the epoch go on from where they were, too.
    assert fit(second) == epochs[1:]
    for mine, theirs in zip(everything(second), everything(reference), strict=True):
        np.testing.assert_array_equal(mine, theirs)

    # `first` is at its step 40 still. One step after the first bad one the other task's loss is nan, too.
    first.save_seconds = 60.0
    with pytest.raises(RunError, match=r"^the loss of task discounted is not finite at step 57 of 72 \(epoch 3\)"):
        fit(first, [At(first, 56, lambda: poison(first))])
    with pytest.raises(RunError, match=r"^the weights .* are not finite at step 64"):
        first.save()


@pytest.mark.slow
def test_an_epoch_that_ends_early_is_gone_on_with_and_scheduled_as_it_is(make_training, tmp_path):
    sets = ("train.steps_per_epoch=10", "train.schedule=cosine", "train.steps_per_execution=4")
    reference = make_training(sets=sets)
    rates = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: rates.append(float(reference.pipeline.model.optimizer.learning_rate.numpy()))
    )
    rows = [{name: r.numpy() for name, r in step.items()} for step in reference.pipeline.train_data().take(99)]
    assert len(rows) == 10
    epochs = fit(reference, [callback])
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert (reference.step, reference.steps, reference.epoch) == (30, 30, 3)
    cosine = [0.02 * ((1 - FINAL_RATE) * (1 + np.cos(np.pi * step / 30)) / 2 + FINAL_RATE) for step in (9, 19, 29)]
    np.testing.assert_allclose(rates, cosine, rtol=1e-5)

    first = make_training(tmp_path / "kept", sets=sets, save_seconds=0.0)
    with Signals() as signals, pytest.raises(Interrupted):
        fit(first, [At(first, 14, lambda: os.kill(os.getpid(), signal.SIGTERM))], signals)
    second = make_training(tmp_path / "kept", sets=sets)
    assert second.restore() == 14
    assert fit(second) == epochs[1:]
    for mine, theirs in zip(everything(second), everything(reference), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert make_training(sets=("train.steps_per_epoch=1000",)).steps_per_epoch == 24


@pytest.mark.parametrize("damage", ["index", "data", "empty"])
def test_without_a_good_checkpoint_nothing_changes(tmp_path, damage):
    variable = tf.Variable(tf.range(1000.0))
    warnings = []
    checkpoints = Checkpoints(tf.train.Checkpoint(v=variable), tmp_path, warnings.append)
    checkpoints.restore()
    assert not warnings
    checkpoints.save(7)
    if damage == "empty":
        shutil.rmtree(tmp_path / "step-00000007")
        (tmp_path / "step-00000007").mkdir()
    else:
        (path,) = (tmp_path / "step-00000007").glob(f"*{damage}*")
        path.write_bytes(path.read_bytes()[:-40])
    variable.assign(tf.ones(1000))
    checkpoints.restore()
    assert "damaged" in warnings[0]
    np.testing.assert_array_equal(variable, np.ones(1000))


def test_a_full_disk_is_one_message_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    checkpoint = tf.train.Checkpoint(v=tf.Variable(1.0))
    checkpoints = Checkpoints(checkpoint, tmp_path, pytest.fail)
    checkpoints.save(1)

    def full(path):
        raise tf.errors.ResourceExhaustedError(None, None, f"{{{{node}}}} {path}; No space left on device [Op:SaveV2]")

    monkeypatch.setattr(checkpoint, "write", full)
    with pytest.raises(RunError, match=r"step-00000002: cannot be written: No space left on device$"):
        checkpoints.save(2)
    checkpoints.restore()
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == ["step-00000001"]


def test_only_checkpoints_that_were_made_here_are_removed(tmp_path):
    directory, behind = tmp_path / "kept", tmp_path / "behind"
    for path in (directory / "step-by-step", behind / ".step.1-0123abcd"):
        path.mkdir(parents=True)
    (directory / "step-00000000").symlink_to(behind)
    checkpoints = Checkpoints(tf.train.Checkpoint(v=tf.Variable(1.0)), directory, pytest.fail)
    for step in range(1, 5):
        checkpoints.save(step)
    checkpoints.restore()
    assert sorted(path.name for path in directory.iterdir()) == [
        "step-00000000", "step-00000003", "step-00000004", "step-by-step"
    ]  # fmt: skip
    assert list(behind.iterdir()) == [behind / ".step.1-0123abcd"]
    linked = Checkpoints(tf.train.Checkpoint(v=tf.Variable(1.0)), directory / "step-00000000", pytest.fail)
    with pytest.raises(RunError, match="is a symbolic link"):
        linked.save(1)
    assert list(behind.iterdir()) == [behind / ".step.1-0123abcd"]
