import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from mtkit.recipe.settings import Evaluate
from mtkit.runs.console import Reporter
from mtkit.runs.progress import EpochTable, short
from mtkit.runs.results import RunResults
from mtkit.standard.prediction_metrics import LogLoss

TASKS = ("next", "two_tower", "discounted", "coupon", "multiple", "preference", "department", "recommendation")


def console(width=80):
    return Console(file=io.StringIO(), width=width, highlight=False)


def printed(terminal):
    return [line.rstrip() for line in terminal.file.getvalue().splitlines()]


def epochs(tasks, width=80):
    terminal = console(width)
    table = EpochTable(terminal, tasks)
    for number in (1, 2):
        losses = {f"{task}_loss": 10.0 ** (n % 8 - 2) for n, task in enumerate(tasks)}
        table.add({"epoch": float(number), "seconds": 123.4, "rows_per_second": 12345.6} | losses)
    explained, *lines = printed(terminal)
    assert explained == "  losses are on a scale of their own for each task: compare them down a column"
    return lines


def test_epochs_of_eight_tasks_fit_into_80_columns():
    head, first, second = epochs(TASKS)
    assert max(map(len, (head, first, second))) <= 80
    assert head == "  epoch    sec  rows/s   next two_t… disco… coupon multi… prefe… depar… recom…"
    assert first == "      1  123.4  12,346  0.010  0.100  1.000  10.00  100.0   1000  10000  1e+05"
    assert second[:24] == "      2  123.4  12,346  "


def test_names_of_tasks_are_whole_where_there_is_room():
    head, first, _ = epochs(TASKS[:3])
    assert head.split() == ["epoch", "sec", "rows/s", *TASKS[:3]]
    assert len(head) == len(first)
    head, _, _ = epochs(TASKS, width=160)
    assert head.split()[3:] == list(TASKS)


def test_tasks_that_do_not_fit_are_in_the_file():
    head, first, _ = epochs([f"task_{n}" for n in range(30)])
    assert head.endswith(" +22 more")
    assert max(len(head), len(first)) <= 80


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (12.345, "12.35"), (123.45, "123.5"), (1234.5, "1234")]
)
def test_short_numbers(value, text):
    assert short(value) == text


def test_each_slice_has_a_table_and_its_rows(tmp_path):
    terminal = console()
    reporter = Reporter(terminal)
    settings = Evaluate(prediction_metrics={"log_loss": LogLoss()}, sampled=100)
    recipe = SimpleNamespace(
        name="a",
        task=dict.fromkeys(("gift", "next")),
        plan=SimpleNamespace(rankings=lambda: {"next": None}),
        evaluate=settings,
        lower_is_better=lambda key: "log_loss" in key,
    )
    reporter.start(recipe, None, tmp_path, 2)
    values = {"gift/log_loss": 0.3, "gift/tail/log_loss": 0.4}
    other = {"gift/log_loss": 0.5, "gift/tail/log_loss": 0.2}
    counts = {"gift": 2345, "gift/tail": [12, 13], "next": 7}
    values["next/hit@5"] = 0.5
    reporter.baselines(RunResults({}, None, {"one": values, "other": other}, counts, {}))
    lines = printed(terminal)
    assert [line for line in lines if line.startswith("gift")] == ["gift  2,345 rows", "gift/tail  12, 13 rows"]
    assert "next  7 rows, each ranked against 100 sampled items: biased" in lines
    assert [line.split() for line in lines if "log_loss" in line] == [
        ["log_loss", "0.3000*", "0.5000"],
        ["log_loss", "0.4000", "0.2000*"],
    ]


def test_populations_have_a_line_that_hangs():
    terminal = console()
    note = "users with a past who act in the 31 days from the cut; targets: their distinct items of the month"
    Reporter(terminal).rows(
        {"windows": {"train": {"rows": 12345, "population": note}}},
        {"interactions": {"of an unknown item": 3}, "rows": {"windows": {"train: user without a past": 1200}}},
    )
    first, second, dropped, newcomers = printed(terminal)
    assert first.startswith("  windows train 12,345 users with")
    assert second == " " * 23 + "targets: their distinct items of the month" or second.startswith(" " * 23)
    assert dropped == "  left out: 3 interactions, of an unknown item"
    assert newcomers == "  left out: 1,200 rows of windows, train: user without a past"
    assert max(map(len, printed(terminal))) <= 80


def test_text_of_others_is_not_taken_for_markup():
    terminal = console()
    Reporter(terminal).rows(
        {"a": {"train": {"rows": 1, "population": "labels [bold] of [/x]"}}},
        {"interactions": {"why [/y]": 1}, "rows": {}},
    )
    Reporter(terminal).warn("/runs/[a]/x is damaged [/z]")
    text = terminal.file.getvalue()
    for part in ("labels [bold] of [/x]", "why [/y]", "/runs/[a]/x is damaged [/z]"):
        assert part in text


@pytest.mark.parametrize(
    ("ranks", "servable", "asked"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_an_export_that_recommends_is_asked_next(tmp_path, ranks, servable, asked):
    terminal = console()
    reporter = Reporter(terminal)
    recipe = SimpleNamespace(
        name="a",
        task={"next": None},
        plan=SimpleNamespace(recommending=lambda preferred: "next" if ranks else None),
        evaluate=Evaluate(),
        export=SimpleNamespace(servable=servable),
        document=SimpleNamespace(file="a.toml"),
        lower_is_better=lambda key: False,
    )
    reporter.start(recipe, None, tmp_path, 1)
    reporter.run("")
    reporter.results(RunResults({}, {"next/auc": 0.5}, {}, {"next": 7}, {}), [])
    lines = printed(terminal)
    assert [line for line in lines if "mtkit evaluate" in line]
    assert bool([line for line in lines if "mtkit recommend" in line]) is asked


def test_a_long_name_leaves_room_for_the_rest():
    console = Console(width=60, file=io.StringIO())
    Reporter(console).rows(
        {"n" * 300: {"train": {"rows": 1_234, "population": "all lines"}}}, {"interactions": {"no time": 1}, "rows": {}}
    )
    text = console.file.getvalue()
    assert "train 1,234 all lines" in text
    assert "left out: 1 interaction, no time" in text


def test_alarms_are_printed_last(tmp_path):
    terminal = console()
    reporter = Reporter(terminal)
    recipe = SimpleNamespace(
        name="a",
        task={"next": None},
        plan=SimpleNamespace(recommending=lambda preferred: None),
        evaluate=Evaluate(),
        export=SimpleNamespace(servable=False),
        document=SimpleNamespace(file="a.toml"),
        lower_is_better=lambda key: False,
    )
    reporter.start(recipe, None, tmp_path, 2)
    reporter.run("seed-1")
    reporter.alarm(["test: task a: worse"])
    reporter.results(RunResults({}, {"next/auc": 0.5}, {}, {"next": 7}, {}), ["a section"])
    assert printed(terminal)[-1] == "warning: seed-1: test: task a: worse"
