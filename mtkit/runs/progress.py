"""What a person sees of a fit: a bar with losses, speed and time left, and a line per epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mtkit.backend import keras
from mtkit.training.fit import Training

_LOSS = "_loss"
_MARGIN = "  "
_NARROWEST = 5
_LEFT = "left"
_REFRESH_SECONDS = 0.2


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


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Bar(keras.callbacks.Callback):
    """A bar over the steps of a fit, and below it the losses of the tasks in the epoch so far.

    Args:
        console: a terminal.
        training: the fit.
        fit: which fit of the run it is, counted from 1.
        fits: how many there are; those to come are taken to be as long as this one.
    """

    def __init__(self, console: Console, training: Training, fit: int, fits: int) -> None:
        super().__init__()
        self._training = training
        self._fit, self._fits = fit, fits
        self._begin: tuple[float, int] | None = None
        self._losses: Mapping[str, float] = {}
        self.live = Live(console=console, transient=True, auto_refresh=False)
        self._drawn = 0.0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Moves the bar."""
        now = time.perf_counter()
        self._losses = logs or {}
        if self._begin is None:  # the first block includes tracing
            self._begin = now, self._training.step
        if now - self._drawn > _REFRESH_SECONDS:
            self._drawn = now
            self.live.update(self._drawing(now), refresh=True)

    def _drawing(self, now: float) -> Group:
        training = self._training
        line = Table.grid(padding=(0, 1), expand=True)
        for _ in range(5):
            line.add_column(no_wrap=True)
        line.columns[1].ratio = 1
        epoch = min(training.epoch + 1, training.epochs)
        line.add_row(
            f"{_MARGIN}fit {self._fit}/{self._fits}, epoch {epoch}/{training.epochs}",
            ProgressBar(total=training.steps, completed=training.step),
            f"step {training.step}/{training.steps}",
            *self._speed(now),
        )
        losses = ", ".join(f"{name.removesuffix(_LOSS)} {short(float(v))}" for name, v in self._losses.items())
        return Group(line, Text(f"{_MARGIN}loss: {losses}", style="dim"))

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
