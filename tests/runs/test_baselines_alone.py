import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main

SETS = ["--set", "evaluate.baselines=['popularity', 'own_recency', 'ease', 'majority', 'logistic_regression']"]


@pytest.fixture
def run(tiny_recipe, tmp_path):
    """`run(*options)` of the tiny recipe in the directory `run`; what was printed and `metrics.json`, if it is there."""

    def run(*options):
        done = CliRunner().invoke(main, ["baselines", str(tiny_recipe), "--run-dir", str(tmp_path / "run"), *options])
        path = tmp_path / "run" / "metrics.json"
        return done, json.loads(path.read_text()) if path.exists() else None

    return run


def test_baselines_are_those_of_a_run(run, tiny_run):
    done, results = run()
    assert done.exit_code == 0, done.output
    beside = json.loads((tiny_run / "metrics.json").read_text())
    assert results["baselines"] == beside["baselines"]
    assert results["valid"] == {part: beside["valid"][part] for part in ("baselines", "tuned")}
    assert results["protocol"] == beside["protocol"]
    assert results["intervals"]["baselines"] == beside["intervals"]["baselines"]
    assert results["counts"] == beside["counts"]


def test_what_is_shown_and_written(run, tmp_path):
    done, results = run(*SETS, "--set", "evaluate.baselines=['popularity', 'majority', {use='ease', max_items=5}]")
    assert done.exit_code == 0, done.output
    for task in ("next", "gift", "department"):
        assert f"\n{task}  " in done.output
    assert "do not apply to these tasks and data: ease" in done.output
    assert results["baselines"]["ease"] == {}
    assert set(results["valid"]["tuned"]["majority"]) == {"discounted", "gift", "department"}
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"metrics.json", "per_user.parquet", "recipe.lock.toml", "data.json", "evidence"}


def test_each_is_tuned_and_judged(run):
    done, results = run(*SETS)
    assert done.exit_code == 0, done.output
    tuned = results["valid"]["tuned"]
    assert set(tuned["own_recency"]) == {"next"}
    assert set(tuned["logistic_regression"]) == {"discounted", "gift", "department"}
    learned, majority = (results["baselines"][name]["discounted/auc"] for name in ("logistic_regression", "majority"))
    assert learned > majority == 0.5


def test_mistakes(run, tmp_path):
    done, _ = run("--set", "evaluate.baselines=[]")
    assert done.exit_code == 2
    assert "evaluate.baselines: names none" in done.output
    done, _ = run("--set", "rows.lines.labels=['gift']")
    assert done.exit_code == 2
    assert "has no label 'discounted'" in done.output
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("")
    done, _ = run()
    assert done.exit_code == 2
    assert done.output.rstrip().endswith("the directory is not empty; choose another with --run-dir")


def test_tensorflow_is_not_imported(tiny_recipe, tmp_path):
    program = (
        "import sys; from mtkit.cli.program import main; main(sys.argv[1:], standalone_mode=False); "
        "print([name for name in ('tensorflow', 'tf_keras') if name in sys.modules])"
    )
    options = ["--run-dir", str(tmp_path / "run"), "--set", "evaluate.baselines=['popularity', 'majority']"]
    words = [sys.executable, "-c", program, "baselines", str(tiny_recipe), *options]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_folds_have_directories_of_their_own_and_a_mean(run, tmp_path):
    split = 'data.split={use="rolling", folds=2, length="30d"}'
    done, results = run("--unset", "data.split", "--set", split, "--set", "evaluate.baselines=['popularity']")
    assert done.exit_code == 0, done.output
    folds = [json.loads((tmp_path / "run" / f"fold-{n}" / "metrics.json").read_text()) for n in (1, 2)]
    values = [fold["baselines"]["popularity"]["next/ndcg@3"] for fold in folds]
    assert results["baselines"]["popularity"]["next/ndcg@3"]["values"] == values
    assert values[0] != values[1]


def test_leaks_are_refused(run, tmp_path):
    split = "{use='column', column='channel', train='store', valid=0.1, test='web'}"
    done, _ = run("--unset", "data.split", "--set", f"data.split={split}")
    assert done.exit_code == 2
    assert "context.channel: says which part an interaction is in" in done.output
    assert not (tmp_path / "run").exists()
