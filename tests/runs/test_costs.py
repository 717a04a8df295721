import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from mtkit.cli.program import main
from mtkit.runs.console import Reporter
from mtkit.runs.costs import costs, tables
from mtkit.runs.results import RunResults
from mtkit.training.step_trace import PartCost, StepCosts

TIMING = {"data_load_seconds": 1.0, "valid_build_seconds": 2.0, "valid_fit_seconds": 5.0, "valid_evaluate_seconds": 1.0,
          "valid_calibrate_seconds": 0.5, "test_export_seconds": 0.5, "total_seconds": 99.0}  # fmt: skip
STEP = StepCosts(8, 0.01, {"encoder.user": PartCost(0.003, 0.003, 12.0), "optimizer": PartCost(0.002, 0.0, 3.0)})


def results(timing, memory=None):
    return RunResults({}, {}, {}, {}, {}, timing=timing, memory=memory)


def test_laps_of_a_phase_are_summed():
    memory = {"data_load": 10.0, "valid_evaluate": 30.0, "valid_calibrate": 20.0}
    record = costs(results(TIMING, memory), STEP)
    found = {(one["of"], one["phase"]): (one["seconds"], one["share"], one["mebibytes"]) for one in record["phases"]}
    assert found == {
        ("data", "load"): (1.0, 0.1, 10.0),
        ("valid", "prepare"): (2.0, 0.2, None),
        ("valid", "train"): (5.0, 0.5, None),
        ("valid", "evaluate"): (1.5, 0.15, 30.0),
        ("test", "export"): (0.5, 0.05, None),
    }
    assert [(one["part"], one["share"]) for one in record["step"]["parts"]] == [
        ("encoder.user", 0.75),
        ("optimizer", 0.25),
    ]
    assert json.loads(json.dumps(record)) == record


def test_means_of_several_runs_are_told_and_what_was_not_traced():
    record = costs(results({"valid_fit_seconds": {"mean": 4.0, "std": 0.0, "values": [4.0, 4.0]}}), None)
    assert [one["seconds"] for one in record["phases"]] == [4.0]
    assert record["step"] is None
    console = Console(width=80, record=True, quiet=False, file=None)
    with console.capture() as shown:
        Reporter(console).costs(record, None)
    assert "valid train" in shown.get()
    assert "no training step was traced" in shown.get()


@pytest.mark.parametrize("width", [70, 120])
def test_tables_fit_a_screen(width):
    console = Console(width=width)
    with console.capture() as shown:
        for table in tables(costs(results(TIMING), STEP)):
            console.print(table)
    text = shown.get()
    assert max(map(len, text.splitlines())) <= width
    assert "encoder.user" in text
    assert " 75%" in text


@pytest.mark.slow
def test_a_run_tells_what_its_components_cost(tiny_recipe, tiny_run, tmp_path):
    words = ["run", str(tiny_recipe), "--run-dir", str(tmp_path / "run"), "--profile"]
    found = CliRunner().invoke(main, words, catch_exceptions=False)
    assert "A trace of 8 steps is in" in found.output
    record = json.loads((tmp_path / "run" / "costs.json").read_text())
    assert {"load", "prepare", "train", "evaluate", "baselines", "export"} == {one["phase"] for one in record["phases"]}
    parts = {one["part"]: one for one in record["step"]["parts"]}
    expected = {
        "encoder.past",
        "encoder.customer",
        "correlation.experts",
        "task.next",
        "task.gift",
        "data",
        "optimizer",
    }
    assert expected | {"balance", "between"} <= set(parts)
    assert parts["between"]["share"] < 0.3
    assert parts["correlation.experts"]["backward"] > 0
    same, other = (json.loads((run / "metrics.json").read_text())["test"] for run in (tiny_run, tmp_path / "run"))
    assert same == other
    assert list((tmp_path / "run" / "trace").rglob("*.xplane.pb"))
