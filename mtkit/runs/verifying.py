"""Whether a run's figures are what its recipe expects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mtkit.errors import RunError
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.recipe.settings import Interval
from mtkit.runs.damage import reading
from mtkit.runs.directory import RunDirectory
from mtkit.runs.recipe_difference import differing
from mtkit.shown import counted


class Verified(NamedTuple):
    """A figure beside what is expected of it.

    Attributes:
        key: metric key.
        value: of the test, of several seeds their mean; None = not measured, or undefined.
        expected: where it has to lie.
        holds: whether it does.
    """

    key: str
    value: float | None
    expected: Interval
    holds: bool


def verify(path: Path, run_dir: Path | None = None) -> list[Verified]:
    """The figures of a run beside what is expected: by its lock, or by a recipe whose run it is.

    Args:
        path: of a run directory, or of a recipe.
        run_dir: of the recipe's run; default: `runs/NAME`.

    Raises:
        MtkitError: nothing is expected, the run is not there or has not come to its end, or it is of another recipe.
    """
    if path.is_dir():
        directory, recipe = RunDirectory(path), _recipe_of(RunDirectory(path))
    else:
        recipe = load_recipe(path)
        directory = RunDirectory(run_dir or Path("runs") / recipe.name)
        _check_same(directory, recipe)
    if not recipe.expect or not recipe.expect.root:
        raise RunError(
            f'{path}: nothing is expected; add [expect] to the recipe, with lines as "next/ndcg@10" = [0.5, 0.6]'
        )
    figures = _figures(directory)
    return [
        Verified(key, value := _value(figures.get(key)), interval, interval.holds(value))
        for key, interval in recipe.expect.root.items()
    ]


def _recipe_of(directory: RunDirectory) -> Recipe:
    """The recipe of a run, or of the first of several seeds."""
    several = directory.replicates()
    if not directory.lock.exists() and several:
        return RunDirectory(several[0]).read_recipe()
    directory.check_run()
    return directory.read_recipe()


def _check_same(directory: RunDirectory, recipe: Recipe) -> None:
    """Refuses to judge a run of another recipe; what is expected, and the seed of one of several, may differ."""
    other = [each for each in differing(_recipe_of(directory), recipe, ("expect",)) if each.key != "seed"]
    if other:
        keys = ", ".join(each.key for each in other[:3])
        more = ", and so on" if len(other) > 3 else ""
        raise RunError(
            f"{directory.path}: is a run of another recipe: {counted(len(other), 'key differs', 'keys differ')} ({keys}{more}); "
            "run the recipe again, or name its run by --run-dir"
        )


def _figures(directory: RunDirectory) -> Mapping[str, Any]:
    if not directory.metrics.exists():
        raise RunError(f"{directory.path}: has no {directory.metrics.name} yet; finish it with mtkit run --resume")
    with reading(directory.metrics, "restore it, or run the recipe anew"):
        figures: Mapping[str, Any] = json.loads(directory.metrics.read_text(encoding="utf-8")).get("test") or {}
    return figures


def _value(figure: Any) -> float | None:
    """A figure, of several seeds the mean."""
    value = figure.get("mean") if isinstance(figure, Mapping) else figure
    return float(value) if isinstance(value, int | float) else None
