import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.runs.json_log import EVENTS, JsonReporter

DOCS = Path(__file__).parents[2] / "docs" / "terminal.md"


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_without_a_model_is_lines_of_json(tiny_recipe, tmp_path):
    words = ["baselines", str(tiny_recipe), "--run-dir", str(tmp_path / "run"), "--log", "json"]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    found = lines(done.stdout)
    for line in found:
        assert tuple(line) == ("time", "event", *EVENTS[line["event"]])
    assert [line["event"] for line in found if line["event"] in ("start", "phase", "end")] == [
        "start", "phase", "phase", "end",
    ]  # fmt: skip
    begun, ended = (
        [line["what"] for line in found if line["event"] == "work" and line["state"] == state]
        for state in ("begun", "done")
    )
    assert sorted(begun) == sorted(ended)
    assert "reading the data" in ended
    results = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert found[-1]["seconds"] == results["timing"]["total_seconds"]
    assert 0 < results["timing"]["console_seconds"] < results["timing"]["total_seconds"]


def test_what_is_undefined_is_null_and_secrets_are_hidden(monkeypatch):
    file = io.StringIO()
    report = JsonReporter(file)
    monkeypatch.setattr("mtkit.shown._hidden", {"very-secret": "${env:KEY}"})
    report.warn("it is very-secret\x1b")
    report.training({"lines": float("nan")}, {})
    first, second = lines(file.getvalue())
    assert first["message"] == "it is ${env:KEY}\\u001b"
    assert second["passes"] == {"lines": None}


def test_only_one_way_to_say_it(tiny_recipe):
    for words in (("-q", "-v"), ("-q", "--log", "json"), ("-v", "--log", "json")):
        done = CliRunner().invoke(main, ["run", str(tiny_recipe), *words])
        assert done.exit_code == 2
        assert "expected at most one of --quiet, --verbose and --log json" in done.stderr


@pytest.mark.parametrize("event", EVENTS)
def test_events_are_documented(event):
    keys = ", ".join(f"`{key}`" for key in EVENTS[event])
    assert f"| `{event}` | {keys} |" in DOCS.read_text(encoding="utf-8")
