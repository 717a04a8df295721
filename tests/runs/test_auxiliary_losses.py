"""Losses beside those of the tasks, in a run: its table, `history.csv`, `metrics.json`, and after it was stopped."""

import csv
import os
import signal

import numpy as np
import pytest

from mtkit.data.catalogs import make_cuts
from mtkit.model.assembly import assemble
from mtkit.recipe.loader import load_recipe
from mtkit.runs.run import run_recipe
from mtkit.training.fit import EpochLog, Training
from mtkit.training.interrupt import Interrupted, Signals

SETS = (
    "correlation.funnel={use='aitm', on=['customer'], order=['gift', 'discounted'], units=8, calibrator=0.5}",
    "correlation.by_channel={use='star', apply='pair', on=['look', 'product'], scenario='context.channel', units=8}",
    "encoder.customer.l2=0.1",
    "task.gift={use='user_preference', rows='lines', inputs=['customer', 'by_channel'], label='gift'}",
    "task.discounted.inputs=['customer', 'by_channel']",
    "rows.lines.since='30d'",
    "deterministic=true",
    "train.epochs=2",
    "data.lines=1500",
    "train.epoch_of=lines",
    "evaluate.baselines=['majority']",
    "evaluate.slices=[]",
    "export.unseen=false",
)
UNSETS = (
    "correlation", "task.next", "task.department", "rows.windows", "rows.items", "encoder.past", "encoder.visit",
    "evaluate.main",
)  # fmt: skip
LOSSES = ["customer.penalty", "funnel.calibrator"]


def test_a_run_shows_and_keeps_them(tiny_recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    metrics = run_recipe(load_recipe(tiny_recipe, SETS, UNSETS), tmp_path / "run")
    shown = capsys.readouterr().out
    head = next(line.split() for line in shown.splitlines() if "epoch" in line and "rows/s" in line)
    assert head[3:] == ["discounted", "gift", *LOSSES]
    with (tmp_path / "run" / "history.csv").open() as file:
        last = [row for row in csv.DictReader(file) if row["phase"] == "test"][-1]
    found = metrics.training["test"]["auxiliary"]
    assert {name: of["weight"] for name, of in found.items()} == {"customer.penalty": 1.0, "funnel.calibrator": 0.5}
    for name in LOSSES:
        assert found[name]["loss"] == pytest.approx(float(last[f"{name}_loss"]), rel=1e-6)
        assert 0 < found[name]["loss"] < 1


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_to_the_bit(tiny_recipe, tmp_path):
    recipe = load_recipe(tiny_recipe, (*SETS, "train.steps_per_execution=4"), UNSETS)
    dataset = recipe.data.source.load()
    _, test = make_cuts(dataset, recipe.data.split)

    def training(checkpoints=None):
        return Training(assemble(recipe, dataset, test, cache_dir=tmp_path), checkpoints, save_seconds=0.0)

    def losses(of, callbacks=(), signals=None):
        epochs = []
        of.fit([EpochLog(of, epochs.append), *callbacks], signals)
        return [{key: value for key, value in epoch.items() if key.endswith("_loss")} for epoch in epochs]

    class Stop(EpochLog):
        def on_train_batch_end(self, batch, logs=None):
            if self.training.step == 4:
                os.kill(os.getpid(), signal.SIGTERM)

    whole, first = training(), training(tmp_path / "kept")
    expected = losses(whole)
    with Signals() as signals, pytest.raises(Interrupted):
        losses(first, [Stop(first, lambda _: None)], signals)
    second = training(tmp_path / "kept")
    assert second.restore() == 4
    assert losses(second) == expected
    for mine, theirs in zip(second.pipeline.model.weights, whole.pipeline.model.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
