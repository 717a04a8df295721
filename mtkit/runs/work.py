"""What is at work: a bar in a terminal; in a log, a line once it takes longer than a moment, and one at its end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from mtkit.shown import shown_line

SILENCE = 2.0
"""Seconds that a log says nothing of what is at work, and from which on it says what that took."""
AGAIN = 30.0
"""Seconds until a log says again how far that is."""

Advance = Callable[[int], None]
"""Is told how many parts more are done."""


class Screen(Console):
    """A console that measures what it costs, in `seconds` of the CPU.

    Not in seconds of the clock: a bar is drawn by a thread of its own, and while that waits, the run goes on.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, **options)
        self.seconds = 0.0
        self._measuring = False

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        outer, self._measuring, begin = self._measuring, True, time.thread_time()
        try:
            yield
        finally:
            self._measuring = outer
            if not outer:
                self.seconds += time.thread_time() - begin

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints, as rich does."""
        with self._measured():
            super().print(*objects, **options)

    def __exit__(self, *error: object) -> None:
        with self._measured():
            super().__exit__(*error)


def indented(what: Any) -> Padding:
    """As lines of a run's course stand: two columns in."""
    return Padding(what, (0, 0, 0, 2), expand=False)


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Work:
    """One piece of work.

    Args:
        what: what it is.
        parts: how many parts it has; 0 = that is not known.
    """

    def __init__(self, what: str, parts: int = 0) -> None:
        self.what, self.parts, self.done = shown_line(what), parts, 0
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.perf_counter() - self._begin

    def told(self) -> str:
        """How far it is, and the time that is left, where that can be told."""
        if not self.done or self.done >= self.parts:
            return f"{clock(self.seconds)}"
        left = self.seconds / self.done * (self.parts - self.done)
        return f"{self.done}/{self.parts}, {clock(left)} left"


@contextlib.contextmanager
def at_work(console: Console, what: str, parts: int = 0) -> Iterator[Advance]:
    """Shows that something is at work as long as it is, and afterwards what it took, unless that was a moment.

    Args:
        console: where to; nothing is shown on a quiet one.
        what: what it is.
        parts: how many parts it has, of which the function that it gives is told; 0 = not known.
    """
    work = Work(what, parts)
    if not console.quiet:
        with _bar(console, work) if console.is_terminal else _lines(console, work) as advance:
            yield advance
        if work.seconds > SILENCE:
            console.print(indented(Text(f"{work.what}: {work.seconds:,.0f} s", "dim")))
        return
    yield lambda count: None  # noqa: ARG005 - nobody looks


@contextlib.contextmanager
def _bar(console: Console, work: Work) -> Iterator[Advance]:
    columns = (
        TextColumn("  {task.description}"), BarColumn(20), TaskProgressColumn(), TextColumn("{task.fields[told]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as progress:
        number = progress.add_task(escape(work.what), total=work.parts or None, told="")
        with _ticking(lambda: progress.update(number, told=work.told()), 1.0, 1.0):

            def advance(count: int) -> None:
                work.done += count
                progress.update(number, completed=work.done, told=work.told())

            yield advance


@contextlib.contextmanager
def _lines(console: Console, work: Work) -> Iterator[Advance]:
    def say() -> None:
        console.print(indented(Text(f"{work.what} ... {work.told()}", "dim")))

    def advance(count: int) -> None:
        work.done += count

    with _ticking(say, SILENCE, AGAIN):
        yield advance


@contextlib.contextmanager
def _ticking(tick: Callable[[], None], first: float, again: float) -> Iterator[None]:
    """Calls a function after some seconds, and again and again, from a thread of its own, until the block ends."""
    over = threading.Event()

    def wait() -> None:
        seconds = first
        while not over.wait(seconds):
            tick()
            seconds = again

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
