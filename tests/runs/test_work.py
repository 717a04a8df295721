import io
import time

import pytest
from rich.console import Console

from mtkit.runs import work
from mtkit.runs.work import Screen, Work, at_work, clock


@pytest.mark.parametrize(("seconds", "text"), [(4.6, "0:05"), (61, "1:01"), (3661, "1:01:01")])
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.fixture
def soon(monkeypatch):
    """A tenth of a second stands for the time from which on something is said."""
    monkeypatch.setattr(work, "SILENCE", 0.1)
    monkeypatch.setattr(work, "AGAIN", 0.1)


def log(width=80):
    return Console(file=io.StringIO(), width=width, highlight=False)


@pytest.mark.usefixtures("soon")
def test_a_log_says_what_takes_long_while_it_does_and_what_it_took():
    console = log()
    with at_work(console, "baseline ease, tuned", 4) as advance:
        advance(1)
        time.sleep(0.25)
        amid = console.file.getvalue()
    first, *_, last = console.file.getvalue().splitlines()
    assert amid.startswith("  baseline ease, tuned ... 1/4, 0:00 left\n") or "left" in amid
    assert first.rstrip().startswith("  baseline ease, tuned ... 1/4, 0:0")
    assert last.rstrip() == "  baseline ease, tuned: 0 s"


def test_a_moment_is_not_worth_a_line():
    console = log()
    with at_work(console, "features"):
        pass
    assert console.file.getvalue() == ""


def test_a_log_has_no_control_sequences_and_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setattr(work, "SILENCE", -1.0)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for terminal in (False, True):
        console = Screen(
            file=io.StringIO(), width=80, force_terminal=terminal, color_system="standard" if terminal else "auto"
        )
        with at_work(console, "reading [the] data", 2) as advance:
            advance(1)
        assert ("\x1b" in console.file.getvalue()) is terminal
        assert "reading [the] data" in console.file.getvalue()


def test_what_goes_wrong_ends_the_bar():
    console = Screen(file=io.StringIO(), width=80, force_terminal=True)
    with pytest.raises(KeyError), at_work(console, "tables"):
        raise KeyError
    assert console.file.getvalue().count("\x1b[?25h") == 1  # the cursor is back


def test_time_left_follows_from_what_is_done(monkeypatch):
    moments = iter([0.0, 30.0, 30.0, 90.0])
    monkeypatch.setattr(work.time, "perf_counter", lambda: next(moments))
    of = Work("ease", 4)
    assert of.told() == "0:30"
    of.done = 1
    assert of.told() == "1/4, 1:30 left"
    of.done = 4
    assert of.told() == "1:30"


def test_a_screen_knows_what_it_costs():
    console = Screen(file=io.StringIO(), width=80)
    begin = time.thread_time()
    for _ in range(20):
        console.print("a line")
    assert 0 < console.seconds <= time.thread_time() - begin
