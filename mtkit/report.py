"""What a person sees of a run: populations, progress, and results beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mtkit.backend import keras
from mtkit.train import EpochLog

if TYPE_CHECKING:
    from mtkit.recipe import Recipe
    from mtkit.spec import Cut
    from mtkit.train import Training


class Reporter:
    """Prints a run's course and results.

    Args:
        console: where to.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def phase(self, cut: Cut) -> None:
        """Announces a phase."""
        does = "tune on" if cut.name == "valid" else "refit, then test on"
        self.console.print(f"\n[bold]{cut.name}[/bold]: {does} {_day(cut.cut)} to {_day(cut.end)}")

    def rows(self, notes: Mapping[str, Mapping[str, Mapping[str, Any]]], dropped: Mapping[str, int]) -> None:
        """Says what the rows are."""
        for name, parts in notes.items():
            for part, note in parts.items():
                self.console.print(f"  [cyan]{name}[/cyan] {part}: {note['rows']:,} rows, {note['population']}", soft_wrap=False)
        for reason, count in dropped.items():
            if count:
                self.console.print(f"  left out: {count:,} interactions, {reason}")

    def callbacks(self, phase: str, training: Training, log: Callable[[Mapping[str, float]], None]) -> list[Any]:
        """Keras callbacks that show progress and log epochs."""
        rows = sum(rate.batch_size for rate in training.rates.values())

        def done(numbers: Mapping[str, float]) -> None:
            log(numbers)
            losses = ", ".join(f"{k.removesuffix('_loss')} {v:.4f}" for k, v in numbers.items() if k.endswith("_loss"))
            self.console.print(
                f"  epoch {numbers['epoch']:.0f}: {numbers['seconds']:.1f} s, {numbers['rows_per_second']:,.0f} examples/s, loss: {losses}"
            )

        bar = [_Bar(self.console, phase, training, rows)] if self.console.is_terminal else []
        return [*bar, EpochLog(rows, done)]

    def exported(self, path: Path) -> None:
        """Says where the servable is."""
        self.console.print(f"  exported {path}")

    def start(self, recipe: Recipe, strategy: Any, directory: Path) -> None:
        """Announces a run."""
        devices = f"{strategy.num_replicas_in_sync} replica(s), {strategy.__class__.__name__}"
        self.console.print(f"[bold]{recipe.name}[/bold]: {len(recipe.task)} tasks, {devices}, run directory {directory}")

    def results(self, results: Mapping[str, Any], directory: Path) -> None:
        """Prints the test's metrics beside the baselines, a table per task, and what to try next."""
        model, baselines = results["test"], results["baselines"]
        for task in dict.fromkeys(key.split("/")[0] for key in model):
            keys = [key for key in model if key.split("/")[0] == task]
            columns = {"mtkit": model} | {n: b for n, b in baselines.items() if any(key in b for key in keys)}
            self.console.print(_table(task, keys, columns))
        self.console.print(
            f"\nEverything is in {directory}. Try next:\n"
            f"  mtkit recommend {directory} --user ID -k 10   recommendations of the exported model\n"
            f"  mtkit check RECIPE                            how the tasks are wired"
        )


def _table(task: str, keys: Sequence[str], columns: Mapping[str, Mapping[str, Any]]) -> Table:
    """Metrics down, model and baselines across; the best of a row is bold."""
    table = Table(title=f"[bold]{task}[/bold]", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("test", no_wrap=True)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for key in keys:
        numbers = [_mean(column[key]) for column in columns.values() if key in column]
        best = min(numbers) if key.endswith("log_loss") else max(numbers)
        cells = (_cell(column[key], best) if key in column else "" for column in columns.values())
        table.add_row(key.partition("/")[2], *cells)
    return table


def _cell(value: Any, best: float) -> str:
    mean = _mean(value)
    text = f"{mean:.4f}" + (f" ±{value['std']:.4f}" if isinstance(value, Mapping) else "")
    return f"[bold]{text}[/bold]" if mean == best else text


def _mean(value: Any) -> float:
    return float(value["mean"]) if isinstance(value, Mapping) else float(value)


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


class _Bar(keras.callbacks.Callback):
    """A progress bar over all steps, with the losses of the tasks and the speed."""

    def __init__(self, console: Console, phase: str, training: Training, rows_per_step: int) -> None:
        super().__init__()
        self.training, self.rows_per_step = training, rows_per_step
        self.progress = Progress(
            TextColumn(f"  {phase}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=console,
            transient=True,
        )
        done = training.epoch * training.steps_per_epoch
        self.bar = self.progress.add_task(phase, total=training.steps, completed=done, loss="")

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self.progress.start()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        step = int(self.model.optimizer.iterations.numpy())
        total = sum(float(value) for value in (logs or {}).values())
        self.progress.update(self.bar, completed=step, loss=f"loss {total:.3f}")

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.progress.stop()

