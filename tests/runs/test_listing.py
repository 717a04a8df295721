import json
import shutil

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.errors import RunError
from mtkit.runs.directory import RunDirectory
from mtkit.runs.listing import list_runs


@pytest.fixture
def runs(tiny_run, tmp_path):
    """A directory of runs in all states, made of a finished one."""
    for name in ("runs/done", "runs/stopped", "runs/running", "runs/damaged", "runs/seeds/seed-1", "runs/seeds/seed-2"):
        (tmp_path / name).mkdir(parents=True)
        shutil.copy(tiny_run / "recipe.lock.toml", tmp_path / name)
    shutil.copy(tiny_run / "metrics.json", tmp_path / "runs" / "done")
    several = {"test": {"next/ndcg@3": {"mean": 0.25, "std": 0.0, "values": [0.25, 0.25]}}, "verdicts": None}
    (tmp_path / "runs" / "seeds" / "metrics.json").write_text(json.dumps(several), encoding="utf-8")
    (tmp_path / "runs" / "damaged" / "recipe.lock.toml").write_text("name =", encoding="utf-8")
    (tmp_path / "runs" / "other").mkdir()
    return tmp_path / "runs"


def test_runs_are_listed_with_their_state_and_main_metric(runs, tiny_run):
    results = json.loads((tiny_run / "metrics.json").read_text(encoding="utf-8"))
    (line,) = (line for line in results["verdicts"] if line["task"] == "next")
    with RunDirectory(runs / "running").exclusive():
        found = {run.path.rpartition("/")[2]: run for run in list_runs(runs)}
    assert {name: run.state for name, run in found.items()} == {
        "done": "done", "stopped": "stopped", "running": "running", "damaged": "damaged", "seeds": "done",
    }  # fmt: skip
    done = found["done"]
    assert (done.name, done.metric, done.value) == ("tiny", "next/ndcg@3", results["test"]["next/ndcg@3"])
    assert (done.baseline, done.baseline_value, done.verdict) == (line["baseline"], line["value"], line["verdict"])
    assert done.tasks == ("next", "discounted", "gift", "department")
    assert (found["seeds"].runs, found["seeds"].value) == (2, 0.25)
    assert found["stopped"].value is None
    assert [run.path for run in list_runs(runs / "done")] == [str(runs / "done")]
    assert not (runs / "other" / ".lock").exists()


def test_what_the_command_prints(runs):
    done = CliRunner().invoke(main, ["ls", str(runs)], catch_exceptions=False)
    assert done.output.count("next/ndcg@3") == 4
    for word in ("stopped", "damaged", "4 tasks, 2 runs", "0.2500"):
        assert word in done.output
    as_json = CliRunner().invoke(main, ["ls", str(runs), "--json"], catch_exceptions=False)
    dates = [run["date"] for run in json.loads(as_json.output)["runs"]]
    assert dates == sorted(dates, reverse=True)
    assert len(dates) == 5


def test_no_runs(tmp_path):
    with pytest.raises(RunError, match="there is no such directory"):
        list_runs(tmp_path / "none")
    assert "no runs" in CliRunner().invoke(main, ["ls", str(tmp_path)], catch_exceptions=False).output
