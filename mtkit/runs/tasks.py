"""A task report: what is fitted for it, and what it finds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtkit.errors import RunError
from mtkit.recipe.blame import of_recipe
from mtkit.recipe.loader import Recipe
from mtkit.runs.directory import RunDirectory, write_json
from mtkit.runs.hooks import relay_of
from mtkit.runs.run import checked_data
from mtkit.runs.task_fits import JOINT, Fits, missing, roles
from mtkit.runs.task_report import TaskReport
from mtkit.runs.task_tables import TaskScreen
from mtkit.runs.trainer import Trainer
from mtkit.shown import shown_values
from mtkit.training.interrupt import Signals

REPORT = "tasks.json"


@of_recipe
def report_tasks(
    recipe: Recipe,
    directory: Path,
    judged: Sequence[str] = (),
    seeds: int = 3,
    signals: Signals | None = None,
    *,
    quiet: bool = False,
    screen: TaskScreen | None = None,
) -> Mapping[str, Any]:
    """Fits what is not fitted yet, and reports; validation alone is looked at, and hooks of the recipe are not called.

    Args:
        recipe: read from a file.
        directory: fits go to `fits/HASH` below it, the report to `tasks.json`.
        judged: the tasks that are judged; empty = all.
        seeds: how many, from the recipe's on.
        signals: where a wish to stop comes from.
        quiet: whether nothing but warnings is printed.
        screen: what a person sees; default: standard output.

    Returns:
        What `tasks.json` holds.

    Raises:
        MtkitError: something that was given is wrong.
        Interrupted: it was asked to stop.
    """
    screen = screen or TaskScreen(quiet=quiet)
    recipes = roles(recipe, judged)
    _check_directory(directory)
    trainer = Trainer.of(recipes[JOINT], relay_of({}), signals or Signals())
    trainer.warn(screen.fits)
    dataset = checked_data(recipes[JOINT], screen.fits)
    fits = Fits(directory, recipes, seeds, dataset, trainer)
    screen.plan(recipe.name, list(recipes), fits)
    to_do = list(missing(fits))
    with screen.progress(len(to_do)) as told:
        for fit in to_do:
            begin = time.perf_counter()
            fits.run(fit, screen.fits)
            told(fit, time.perf_counter() - begin)
    report = TaskReport(fits, list(recipes))
    found: dict[str, Any] = shown_values(report.plain())
    write_json(directory / REPORT, found)
    if not quiet:
        screen.report(report, directory / REPORT)
    return found


def _check_directory(directory: Path) -> None:
    """Refuses a directory of something else."""
    other = RunDirectory(directory)
    if other.lock.exists() or other.replicates():
        raise RunError(f"{directory}: holds a run, and not fits of tasks; choose another with --run-dir")
    if directory.is_dir() and any(directory.iterdir()) and not (directory / "fits").is_dir():
        raise RunError(f"{directory}: the directory is not empty; choose another with --run-dir")
