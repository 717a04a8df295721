import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from mtkit.recipe.settings import Evaluate
from mtkit.runs.last_screen import MOST_WARNINGS, LastScreen
from mtkit.runs.results import RunResults

RUN = Path("runs/first")
TASKS = {
    "next": ("ndcg@10", 0.5717, "own_recency", 0.5569, "better"),
    "two_tower": ("ndcg@10", 0.4296, "own_recency", 0.5569, "worse"),
    "recommendation": ("log_loss", 0.5134, "fading_popularity", 0.6739, "better"),
    "department": ("accuracy", 0.7109, "bag_of_words", 0.7018, "not told apart"),
}


def line(task, metric, model, baseline, value, word):
    difference = None if value is None else model - value
    return {"task": task, "metric": metric, "model": model, "baseline": baseline, "value": value,
            "difference": difference, "verdict": word}  # fmt: skip


def recipe(**changes):
    parts = {
        "name": "groceries",
        "plan": SimpleNamespace(recommending=lambda preferred: "next", rankings=dict),
        "evaluate": Evaluate(),
        "export": SimpleNamespace(servable=True),
        "lower_is_better": lambda key: "log_loss" in key,
    }
    return SimpleNamespace(**parts | changes)


def screen(directory, verdicts, width=80, warnings=(), terminal=False, **options):
    console = Console(file=io.StringIO(), width=width, highlight=False, force_terminal=terminal, **options)
    bounds = {f"{one['task']}/{one['metric']}": [one["model"] - 0.01, one["model"] + 0.01] for one in verdicts}
    timing = {"total_seconds": 245.3}
    results = RunResults({}, {}, {}, {}, {"test": bounds}, verdicts, timing=timing)
    LastScreen(console, recipe(), directory, directory).show(results, ["a section"], warnings)
    return console.file.getvalue()


@pytest.fixture
def verdicts():
    lines = [line(task, *rest) for task, rest in TASKS.items()]
    return [*lines[:3], line("recommendation", "auc", 0.7, "majority", 0.5, "better"), lines[3]]


def test_each_task_has_a_line_with_its_main_metric(verdicts):
    lines = [of.split() for of in screen(RUN, verdicts).splitlines()]
    assert ["next", "ndcg@10", "0.5717*", ".5617-.5817", "own", "recency", "0.5569", "+0.0148", "better"] in lines
    assert ["two_tower", "ndcg@10", "0.4296", ".4196-.4396", "own", "recency", "0.5569*", "-0.1273", "worse"] in lines
    assert sum(of[:1] == ["recommendation"] for of in lines) == 1
    (losses,) = (of for of in lines if of[:1] == ["recommendation"])
    assert losses[1:4] == ["log_loss", "0.5134*", ".5034-.5234"]  # less is better, and said to be
    assert ["less", "is", "better:", "log_loss"] in lines
    (unclear,) = (of for of in lines if of[:1] == ["department"])
    assert unclear[-1] == "unclear"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_and_nothing_is_cut(verdicts, width):
    lines = screen(RUN, verdicts, width).splitlines()
    assert max(len(of.rstrip()) for of in lines) <= width
    text = " ".join(" ".join(lines).split())
    for whole in ("better", "worse", "unclear", "0.5717*", "recommendation"):
        assert whole in text
    assert "…" not in text
    assert len(lines) <= 24 or width == 60
    assert ("95 %" in text) is (width >= 78)


def test_a_log_has_no_control_sequences(verdicts, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in screen(RUN, verdicts, warnings=["a"])
    assert "\x1b[1;32m" in screen(RUN, verdicts, terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "32m" not in screen(RUN, verdicts, terminal=True, color_system="standard")


def test_warnings_are_last_and_not_too_many(verdicts):
    *_, last, more = screen(RUN, verdicts, warnings=[f"w{n}" for n in range(MOST_WARNINGS + 2)]).splitlines()
    assert last == f"warning: w{MOST_WARNINGS - 1}"
    assert more == "and 2 more warnings in metrics.json"


def test_intervals_of_values_above_1_are_no_wider():
    lines = [
        line("watch", "rmse", 123.4567, "ridge", 130.0, "better"),
        line("department", "loss", 1.2898, None, None, "alone"),
    ]
    lines[1]["verdict"] = "no baseline"
    text = screen(RUN, lines)
    assert "123.4-123.5" in text
    assert "1.28-1.3 " in text


def test_one_task_without_a_baseline():
    text = screen(RUN, [line("next", "ndcg@10", 0.5, None, None, "no baseline")])
    assert "groceries: 1 task on the test, 1 alone, 4:05" in text
    assert "alone: no baseline has this metric" in text
    assert "*" not in text
