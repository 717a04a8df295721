"""The fits behind a task report: all tasks together, each alone, each left out; every fit once, where its hash says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mtkit.backend import keras
from mtkit.data.catalogs import make_cuts
from mtkit.data.fingerprint import fingerprint
from mtkit.data.label_counts import check_labels
from mtkit.errors import Problem, RecipeError, RunError, nearest
from mtkit.model.task_probe import Probe, TaskProbe
from mtkit.recipe.alone import alone, bare, of_tasks
from mtkit.recipe.loader import Recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.settings import LARGEST_SEED
from mtkit.runs.console import Reporter
from mtkit.runs.damage import read_json
from mtkit.runs.directory import RunDirectory, write_json
from mtkit.runs.procedure import Run
from mtkit.runs.results import PhaseResults
from mtkit.runs.trainer import Trainer
from mtkit.training.fit import Training
from mtkit.training.schedule import judges
from mtkit.types import Dataset


class Role(NamedTuple):
    """What a fit is for: `joint`, of all tasks; `alone`, of one; `without` one."""

    kind: str
    task: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.task}".rstrip()


JOINT = Role("joint")


def roles(recipe: Recipe, judged: Sequence[str] = ()) -> dict[Role, Recipe]:
    """What is fitted, each with its recipe; of two tasks, one is alone where the other is left out.

    With a task, those are left out that read its predictions; a task that all others need is not left out.

    Args:
        recipe: read from a file.
        judged: the tasks that are judged; empty = all.

    Raises:
        RecipeError: there is one task alone, or a task is not in the recipe, or is measured by nothing.
    """
    _check(recipe, judged)
    joint, judged = bare(recipe), judged or list(recipe.task)
    found = {JOINT: joint} | {Role("alone", task): alone(joint, task) for task in judged}
    known = {frozenset(one.task): one for role, one in found.items() if role != JOINT}
    for task in recipe.task:
        left = [other for other in recipe.task if task not in joint.plan.with_read([other])]
        if set(left) & set(judged) - {task}:
            found[Role("without", task)] = known.get(frozenset(left)) or of_tasks(joint, left)
    return found


def _check(recipe: Recipe, judged: Sequence[str]) -> None:
    if len(recipe.task) < 2:
        (task,) = recipe.task
        message = f"{task!r} is the only task, and a report is on what tasks do to one another; add a task"
        raise RecipeError([recipe.problem(("task",), message)])
    unknown = [task for task in judged if task not in recipe.task]
    if unknown:
        message = "the recipe has no such task; {}"
        raise RecipeError([Problem("--tasks", task, message.format(nearest(task, recipe.task))) for task in unknown])
    measured = judges(recipe)
    without = [task for task in judged or recipe.task if task not in measured]
    if without:
        message = "nothing of it is measured; add metrics that fit it to [evaluate], or name other tasks with --tasks"
        raise RecipeError([recipe.problem(("task", task), message) for task in without])
    if len(recipe.data.split.each()) > 1:
        raise RecipeError([recipe.problem(("data", "split"), "has several folds; choose one with data.split.fold")])


@dataclass(frozen=True)
class Probes:
    """What `probes.json` holds: what was seen of the tasks at the end of each epoch."""

    probes: list[Probe]


@dataclass(frozen=True)
class Fit:
    """One fit.

    Attributes:
        role: what for; the first of several.
        recipe: with its seed.
        directory: where it is, or will be.
    """

    role: Role
    recipe: Recipe
    directory: RunDirectory

    def results(self) -> PhaseResults | None:
        """What was found; None where it is not done.

        Raises:
            RunError: that cannot be read.
        """
        return self.directory.read_phase("valid")

    @property
    def probes(self) -> Path:
        """The file of what was seen of the tasks."""
        return self.directory.path / "probes.json"

    def read_probes(self) -> list[Probe]:
        """What was seen of the tasks; nothing where several replicas trained.

        Raises:
            RunError: the file cannot be read.
        """
        if not self.probes.exists():
            return []
        kept: Probes = read_json(self.probes, Probes, f"remove {self.directory.path}, and it is fitted again")
        return kept.probes


class Fits:
    """The fits of a report, in directories below one, named by a hash of recipe, data and seed.

    Args:
        directory: above them.
        recipes: role -> recipe.
        seeds: how many, from the recipe's on.
        dataset: the data.
        trainer: trains them.

    Raises:
        RunError: seeds are too large, or several processes train together.
    """

    def __init__(
        self, directory: Path, recipes: Mapping[Role, Recipe], seeds: int, dataset: Dataset, trainer: Trainer
    ) -> None:
        recipe = recipes[JOINT]
        if recipe.seed + seeds - 1 > LARGEST_SEED:
            raise RunError(
                f"{seeds} seeds from {recipe.seed} on go beyond {LARGEST_SEED}, the largest; set a smaller seed"
            )
        if trainer.strategy.cluster_resolver is not None:
            raise RunError(f"train.strategy: {recipe.train.strategy!r} is of several processes; fit tasks in one")
        self.directory, self._dataset, self._trainer = directory, dataset, trainer
        self._data, self._cuts = fingerprint(dataset), make_cuts(dataset, recipe.data.split)
        self.seeds = list(range(recipe.seed, recipe.seed + seeds))
        for one in recipes.values():
            check_labels(one, dataset, *self._cuts)
        self._fits = {
            (role, seed): self._fit(role, one.model_copy(update={"seed": seed}))
            for seed in self.seeds
            for role, one in recipes.items()
        }

    def _fit(self, role: Role, recipe: Recipe) -> Fit:
        run = Run(recipe, self._dataset, RunDirectory(self.directory), Reporter(), self._trainer)
        told = [
            lock(recipe, recipe.document.directory),
            self._data,
            json.dumps(run.checksums(self._cuts), sort_keys=True),
        ]
        name = hashlib.blake2b("\0".join(told).encode(), digest_size=8).hexdigest()
        return Fit(role, recipe, RunDirectory(self.directory / "fits" / name))

    def all(self) -> list[Fit]:
        """Each once, all roles of a seed before those of the next."""
        return list({fit.directory.path: fit for fit in self._fits.values()}.values())

    def of(self, role: Role) -> list[Fit]:
        """The fits of a role, by seed."""
        return [self._fits[role, seed] for seed in self.seeds]

    def run(self, fit: Fit, report: Reporter) -> PhaseResults:
        """Fits what is not done yet, from where it was stopped.

        Raises:
            RunError: the directory cannot be used, or training failed.
        """
        directory = fit.directory
        with directory.claimed(resume=directory.path.exists()):
            run = Run(fit.recipe, self._dataset, directory, report, self._trainer, keeps="valid")
            self._trainer.watching = self._watching(fit)
            return run.validate(resume=directory.lock.exists())

    def _watching(self, fit: Fit) -> Callable[[Training, RunDirectory], Sequence[Any]]:
        watched = fit.role == JOINT and self._trainer.strategy.num_replicas_in_sync == 1
        return lambda training, _: [_Watch(training, fit)] if watched else []


class _Watch(keras.callbacks.Callback):
    """Looks at the tasks at the end of each epoch, before it is saved, and keeps what it sees."""

    def __init__(self, training: Training, fit: Fit) -> None:
        super().__init__()
        self._fit, self._probe = fit, TaskProbe.of(training.pipeline)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Adds the epoch; one that is trained again after a stop takes the place of its first try."""
        before = [probe for probe in self._fit.read_probes() if probe.epoch <= epoch]
        probes = [*before, self._probe.look(epoch + 1)]
        write_json(self._fit.probes, asdict(Probes(probes)))


def missing(fits: Fits) -> Iterator[Fit]:
    """The fits that are not done."""
    yield from (fit for fit in fits.all() if fit.results() is None)
