import json
import shutil

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main

#: One task alone.
UNSETS = (
    "task.next", "task.gift", "task.department", "rows.items", "rows.windows", "correlation.experts", "encoder.visit",
    "encoder.past", "encoder.product", "evaluate.slices", "evaluate.main",
)  # fmt: skip
SETS = (
    "deterministic=true", "data.lines=800", "data.users=20", 'task.discounted.inputs=["customer", "look"]', "train.epochs=1",
    'evaluate.baselines=["majority"]', "export.unseen=false",
)  # fmt: skip


def mtkit(*words):
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.fixture
def exported(monkeypatch):
    """What the exporter was asked for: a list, one for each export."""
    asked = []
    monkeypatch.setattr(
        "mtkit.serving.export.save", lambda _, directory, *options: asked.append(options) or directory / "2"
    )
    return asked


def test_the_export_can_be_another_one(tiny_run, tmp_path, exported):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    lock = (run / "recipe.lock.toml").read_text()
    result = mtkit("export", run, "--set", "export.unseen=false", "--set", "export.together=0")
    assert result.exit_code == 0, result.output
    assert exported == [(False, False, None, False)]
    assert (run / "recipe.lock.toml").read_text() == lock


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "train.epochs=3"], "--set: train.epochs=3: expected a key of the export"),
        (["--set", "export.unsen=false"], "--set: export.unsen: unknown key; did you mean 'unseen'?"),
        (["--unset", "balance"], "--unset: balance: expected a key of the export"),
    ],
)
def test_nothing_else_is_changed(tiny_run, exported, words, message):
    result = mtkit("export", tiny_run, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert exported == []


@pytest.mark.slow
def test_a_lock_repeats_the_run(tiny_recipe, tmp_path, exported):
    words = [word for one in UNSETS for word in ("--unset", one)] + [word for one in SETS for word in ("--set", one)]
    assert mtkit("run", tiny_recipe, *words, "--run-dir", tmp_path / "one").exit_code == 0
    assert mtkit("run", tmp_path / "one" / "recipe.lock.toml", "--run-dir", tmp_path / "two").exit_code == 0
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    for key in ("test", "baselines", "counts", "protocol"):
        assert first[key] == second[key]
    assert mtkit("diff", tmp_path / "one", tmp_path / "two").exit_code == 0
