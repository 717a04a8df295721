import io
import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console

from mtkit.cli.program import main
from mtkit.errors import RunError
from mtkit.recipe.settings import Evaluate
from mtkit.runs.directory import RunDirectory
from mtkit.runs.results import RunResults
from mtkit.runs.text_report import TextReport, write_text


def test_a_finished_run_is_told_whole(tiny_run):
    done = CliRunner().invoke(main, ["report", str(tiny_run), "--text"], catch_exceptions=False)
    results = json.loads((tiny_run / "metrics.json").read_text(encoding="utf-8"))
    words = done.output.split()
    for key, value in results["test"].items():
        if value is not None:
            assert any(word.rstrip("*") == f"{value:.4f}" for word in words), key
    for part in ("beside the baseline that is best on validation", "next/new", "majority", "valid fit", "total"):
        assert part in done.output
    assert "\x1b" not in done.output


def test_what_is_not_complete_says_so(tiny_run, tmp_path):
    with pytest.raises(RunError, match="no such directory"):
        write_text(RunDirectory(tmp_path / "none"), Console(file=io.StringIO()))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.lock.toml").write_bytes((tiny_run / "recipe.lock.toml").read_bytes())
    with pytest.raises(RunError, match=r"not complete: there is no metrics\.json; finish it with mtkit run --resume"):
        write_text(RunDirectory(tmp_path / "run"), Console(file=io.StringIO()))
    (tmp_path / "run" / "metrics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="is damaged"):
        write_text(RunDirectory(tmp_path / "run"), Console(file=io.StringIO()))


def test_baselines_of_two_tasks_on_the_same_rows_are_shown_once():
    console = Console(file=io.StringIO(), width=80)
    recipe = SimpleNamespace(
        evaluate=Evaluate(), lower_is_better=lambda key: False, plan=SimpleNamespace(rankings=dict)
    )
    ranked = {"next/hit@5": 0.5, "two/hit@5": 0.5, "other/hit@5": 0.75}
    columns = {"mtkit": dict.fromkeys(ranked, 0.9), "popularity": ranked}
    TextReport(console, recipe).tables(columns, RunResults({}, {}, {}, dict.fromkeys(("next", "two", "other"), 7), {}))
    text = console.file.getvalue()
    assert text.count("0.5000") == 1
    assert text.count("popularity") == 2
    assert "two  7 rows; baselines as of next" in text
    assert "0.7500" in text
