"""What a person sees of a fit: a bar with losses, speed and time left, and a line per epoch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mtkit.backend import keras
from mtkit.runs.work import AGAIN, at_work, clock, indented
from mtkit.training.fit import Training

_LOSS = "_loss"
_MARGIN = "  "
_NARROWEST = 5
_LEFT = "left"
_REFRESH_SECONDS = 0.5


class EpochTable:
    """A line per epoch under one head: number, seconds, examples per second, and the loss of each task and beside them.

    Where tasks are measured, a second line has the figure by which each is judged, under a head of their names.

    Args:
        console: where to.
        losses: names, those of tasks in the order of the recipe.
        judged: task -> key of its figure among the numbers of an epoch.
    """

    def __init__(
        self, console: Console, losses: Sequence[str], judged: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._console, self._judged = console, judged
        room = console.width - len(self._line("epoch", "sec", "rows/s", ()))
        if len(losses) * (_NARROWEST + 1) > room:
            room -= len(_more(len(losses)))
        fit = room // (_NARROWEST + 1)
        self._shown, self._hidden = losses[:fit], len(losses[fit:])
        labels = {task: key.rpartition("/")[2] for task, key in judged.items()}
        self._labels = [labels.get(task, "") for task in self._shown]
        widest = max(map(len, [*self._shown, *self._labels]), default=0)
        self._width = max(_NARROWEST, min(widest, room // max(len(self._shown), 1) - 1))
        self._begun = False

    def add(self, numbers: Mapping[str, float]) -> None:
        """Prints an epoch's lines."""
        if not self._begun:
            head = self._line("epoch", "sec", "rows/s", self._shown)
            self._print(
                f"{_MARGIN}losses are on a scale of their own for each task: compare them down a column", style="dim"
            )
            self._print(head + (_more(self._hidden) if self._hidden else ""), style="dim")
            if self._judged:
                self._print(self._line("", "", "valid", self._labels), style="dim")
            self._begun = True
        losses = [short(numbers[task + _LOSS]) if task + _LOSS in numbers else _LEFT for task in self._shown]
        cells = f"{numbers['epoch']:.0f}", f"{numbers['seconds']:.1f}", f"{numbers['rows_per_second']:,.0f}"
        self._print(self._line(*cells, losses))
        figures = [numbers.get(self._judged.get(task, "")) for task in self._shown]
        if any(figure is not None for figure in figures):
            texts = ["" if figure is None else short(figure) for figure in figures]
            self._print(self._line("", "", "valid", texts), style="bold")

    def _line(self, epoch: str, seconds: str, speed: str, losses: Sequence[str]) -> str:
        cells = "".join(f" {_clipped(loss, self._width)}" for loss in losses)
        return f"{_MARGIN}{epoch:>5} {seconds:>6} {speed:>7}{cells}"

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style=style, no_wrap=True, overflow="ellipsis"))


def _more(count: int) -> str:
    return f" +{count} more"


def _clipped(text: str, width: int) -> str:
    return f"{text if len(text) <= width else text[: width - 1] + '…':>{width}}"


def short(value: float) -> str:
    """A loss in five characters, as far as they reach."""
    if abs(value) >= 1e5:
        return f"{value:.0e}"
    digits = 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0
    return f"{value:.{digits}f}"


class Bar(keras.callbacks.Callback):
    """A bar over the steps of a fit, and below it the losses of the tasks in the epoch so far; in a log, a line now and then.

    A context, within which the fit happens. Until the first block of steps is done it says that the step is being compiled.

    Args:
        console: where to.
        training: the fit.
        fit: which fit of the run it is, counted from 1.
        fits: how many there are; those to come are taken to be as long as this one.
    """

    def __init__(self, console: Console, training: Training, fit: int, fits: int) -> None:
        super().__init__()
        self._console, self._training = console, training
        self._fit, self._fits = fit, fits
        self._begin: tuple[float, int] | None = None
        self._losses: Mapping[str, float] = {}
        self._compiling, self._stopping = contextlib.ExitStack(), contextlib.ExitStack()
        self._live = Live(console=console, transient=True, auto_refresh=False)
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._compiling.enter_context(
            at_work(self._console, f"fit {self._fit}/{self._fits}, compiling the training step")
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._compiling.close()
        self._stopping.close()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Moves the bar."""
        now = time.perf_counter()
        self._losses = logs or {}
        if self._begin is None:  # the first block includes tracing
            self._begin, self._drawn = (now, self._training.step), now if not self._console.is_terminal else 0.0
            self._compiling.close()
            if self._console.is_terminal:
                self._stopping.enter_context(self._live)
        if self._console.is_terminal:
            if now - self._drawn > _REFRESH_SECONDS or self._validates():
                self._drawn = now
                self._live.update(self._drawing(now), refresh=True)
        elif now - self._drawn > AGAIN:
            self._drawn = now
            self._console.print(indented(Text(f"{self._place()}, {', '.join(self._speed(now))}", "dim")))

    def _validates(self) -> bool:
        """Whether an epoch is over, and validation follows."""
        return self._training.validation is not None and self._training.step % self._training.steps_per_epoch == 0

    def _place(self) -> str:
        training = self._training
        epoch = min(training.epoch + 1, training.epochs)
        return f"fit {self._fit}/{self._fits}, epoch {epoch}/{training.epochs}"

    def _drawing(self, now: float) -> Group:
        training = self._training
        line = Table.grid(padding=(0, 1), expand=True)
        for _ in range(5):
            line.add_column(no_wrap=True)
        line.columns[1].ratio = 1
        line.add_row(
            f"{_MARGIN}{self._place()}",
            ProgressBar(total=training.steps, completed=training.step),
            "validating" if self._validates() else f"step {training.step}/{training.steps}",
            *self._speed(now),
        )
        losses = ", ".join(f"{name.removesuffix(_LOSS)} {short(float(v))}" for name, v in self._losses.items())
        return Group(line, Text(f"{_MARGIN}loss: {losses}", style="dim", no_wrap=True, overflow="ellipsis"))

    def _speed(self, now: float) -> tuple[str, str]:
        assert self._begin is not None
        begin, first = self._begin
        training = self._training
        done = training.step - first
        if done <= 0:
            return "", ""
        per_step = (now - begin) / done
        to_come = (self._fits - self._fit) * training.steps + training.steps - training.step
        rows = sum(rate.batch_size for rate in training.rates.values())
        return f"{rows / per_step:,.0f} rows/s", f"{clock(per_step * to_come)} left"
