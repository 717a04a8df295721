"""`mtkit tasks`: what tasks gain or lose by one another, from fits to `tasks.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from mtkit.errors import RunError
from mtkit.evaluation.task_relations import (
    Conflict,
    Effect,
    Gain,
    Key,
    Spread,
    Verdict,
    adjusted,
    conflict_of,
    effect_of,
    gain_of,
    gain_of_values,
    interval_of_mean,
    mean_gain,
    spread_of_fits,
    verdict_of,
)
from mtkit.evaluation.user_sums import MODEL, UserSums
from mtkit.model.task_probe import Probe
from mtkit.runs.task_fits import JOINT, Fit, Fits, Role
from mtkit.training.judging import VALIDATION
from mtkit.training.schedule import Judge, judges
from mtkit.types import MetricKey


class TaskReport:
    """What fits say of tasks.

    Args:
        fits: all of them done.
        roles: what they are for.

    Raises:
        RunError: a figure is undefined, fits were not measured on the same rows, or a file cannot be read.
    """

    def __init__(self, fits: Fits, roles: Sequence[Role]) -> None:
        self._fits, self._recipe = fits, fits.of(JOINT)[0].recipe
        self.tasks = list(self._recipe.task)
        self._roles = list(roles)
        self.judged = [role.task for role in roles if role.kind == "alone"]
        self._without = [role.task for role in roles if role.kind == "without"]
        self.judges: dict[str, Judge] = judges(self._recipe)
        self._read: dict[Any, Mapping[str, UserSums]] = {}

    def figures(self, role: Role, task: str) -> list[float]:
        """The figure by which a task is judged, on validation, of each seed."""
        return [self._figure(fit, self.judges[task].key) for fit in self._fits.of(role)]

    def _figure(self, fit: Fit, key: str) -> float:
        results = fit.results()
        value = results.model.get(key) if results and results.model else None
        if value is None:
            task = MetricKey.parse(key).task
            raise RunError(
                f"{fit.directory.path} ({fit.role}): {key} is undefined on validation; judge the task by another metric, with "
                f"task.{task}.judged_by"
            )
        return float(value)

    def gain(self, task: str, over: Role) -> Gain:
        """What a task gains by being fitted with all others, over another fit."""
        judge, key = self.judges[task], MetricKey.parse(self.judges[task].key)
        first, second = ([self._sums(fit, key) for fit in self._fits.of(role)] for role in (over, JOINT))
        one, other = self.figures(over, task), self.figures(JOINT, task)
        if None in first or None in second:
            return gain_of_values(one, other, lower=judge.lower, fits=self._spread(task))
        for before, after in zip(first, second, strict=True):
            _check_same(before, after, first[0], f"{over} and joint: {judge.key}")  # type: ignore[arg-type]
        return gain_of(first, second, key.label, lower=judge.lower, fits=self._spread(task))  # type: ignore[arg-type]

    def _spread(self, task: str) -> Spread:
        """How figures of a task vary with seeds, by all fits that it is in."""
        roles = [role for role in self._roles if task in self._fits.of(role)[0].recipe.task]
        return spread_of_fits([self.figures(role, task) for role in roles])

    def _sums(self, fit: Fit, key: MetricKey) -> UserSums | None:
        """What users add to a figure; None where that is not known."""
        path = fit.directory.path
        if path not in self._read:
            self._read[path] = fit.directory.read_sums().get(MODEL, {})
        sums = self._read[path].get(f"{key.group}/")
        known = sums is not None and key.label in sums.totals and np.isfinite(sums.totals[key.label]).all()
        return sums if known else None

    @cached_property
    def _gains(self) -> dict[Key, Gain]:
        gains = {("", task): self.gain(task, Role("alone", task)) for task in self.judged}
        for one in self._without:
            for other in self._beside(one):
                gains[one, other] = self.gain(other, Role("without", one))
        return gains

    def _beside(self, task: str) -> Iterator[str]:
        """The tasks that are judged and fitted where a task is left out; not where it is the only other one."""
        left = self._fits.of(Role("without", task))[0].recipe.task
        yield from (other for other in self.judged if other in left and not self._only_other(task, other))

    def _only_other(self, task: str, other: str) -> bool:
        left, only = (self._fits.of(role)[0].directory.path for role in (Role("without", task), Role("alone", other)))
        return left == only

    @cached_property
    def effects(self) -> dict[Key, Effect]:
        """Of all others, and of each other task, on each task; p is adjusted for all of them together."""
        over = {key: Role("without", key[0]) if key[0] else Role("alone", key[1]) for key in self._gains}
        found = {
            key: effect_of(gain, float(np.mean(self.figures(over[key], key[1])))) for key, gain in self._gains.items()
        }
        found = adjusted(found)
        if len(self.tasks) == 2:
            one, other = self.tasks
            pairs = {(other, one): ("", one), (one, other): ("", other)}
            found |= {key: found[of] for key, of in pairs.items() if of in found}
        return found

    @cached_property
    def delta(self) -> Effect:
        """Δm, the mean relative gain of the tasks over each alone (Maninis et al., CVPR 2019)."""
        relative = []
        for task in self.judged:
            over = float(np.mean(self.figures(Role("alone", task), task)))
            relative.append(self._gains["", task].scaled(1 / abs(over) if over else np.nan))
        return effect_of(mean_gain(relative))

    @cached_property
    def _probes(self) -> list[list[Probe]]:
        return [found for fit in self._fits.of(JOINT) if (found := fit.read_probes())]

    @cached_property
    def conflicts(self) -> list[Conflict]:
        """The gradients of each two tasks that share something."""
        found: dict[tuple[tuple[str, str], str], list[np.ndarray]] = {}
        for probes in self._probes:
            for number, pair in enumerate(probes[0].pairs):
                cosines = np.array([probe.pairs[number].cosines for probe in probes], float)
                found.setdefault((pair.tasks, pair.at), []).append(cosines)
        every = (conflict_of(tasks, at, cosines) for (tasks, at), cosines in found.items())
        return [one for one in every if one is not None]

    @cached_property
    def norms(self) -> dict[str, float]:
        """Task -> norm of its gradient in the joint fits, on average; empty where none was measured."""
        every = [probe.norms for probes in self._probes for probe in probes]
        return {task: float(np.mean([norms[task] for norms in every])) for task in every[0]} if every else {}

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """One for each task that is judged."""
        return [verdict_of(task, self.effects, self.conflicts, self.norms) for task in self.judged]

    def affinity(self) -> list[list[float | None]]:
        """What the task of a row does for that of a column, as a share of the latter's figure; None = not measured."""
        return [[0.0 if one == other else self._share((one, other)) for other in self.tasks] for one in self.tasks]

    def _share(self, key: Key) -> float | None:
        effect = self.effects.get(key)
        return None if effect is None else effect.share(effect.gain)

    def plain(self) -> dict[str, Any]:
        """What `tasks.json` holds."""
        return {
            "recipe": self._recipe.name,
            "seeds": self._fits.seeds,
            "tasks": self.tasks,
            "metrics": {task: {"key": of.key, "lower_is_better": of.lower} for task, of in self.judges.items()},
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "delta_m": _plain(self.delta),
            "single": {
                task: {
                    "joint": self.figures(JOINT, task),
                    "alone": self.figures(Role("alone", task), task),
                    **_plain(self.effects["", task]),
                }
                for task in self.judged
            },
            "transfer": [{"from": one, "to": to, **_plain(e)} for (one, to), e in self.effects.items() if one],
            "affinity": {"tasks": self.tasks, "matrix": self.affinity()},
            "left_out_with": self._left_out_with(),
            "gradients": [asdict(conflict) for conflict in self.conflicts],
            "norms": self._by_epoch(lambda probe: probe.norms),
            "weights": self._by_epoch(lambda probe: probe.weights),
            "gates": self.gates(),
            "curves": {task: self._curves(task) for task in self.judged},
            "fits": [
                {"role": str(fit.role), "seed": fit.recipe.seed, "directory": str(fit.directory.path.name)}
                for fit in self._fits.all()
            ],
        }

    def _left_out_with(self) -> dict[str, list[str]]:
        """Task -> those that were left out with it, because they read what it predicts."""
        found = {}
        for task in self._without:
            left = self._fits.of(Role("without", task))[0].recipe.task
            if others := [other for other in self.tasks if other != task and other not in left]:
                found[task] = others
        return found

    def _by_epoch(self, read: Any) -> dict[str, list[float]] | None:
        """Task -> a number at the end of each epoch of the joint fits, the mean over seeds that trained so long."""
        told = [[found for probe in probes if (found := read(probe)) is not None] for probes in self._probes]
        longest = max(map(len, told), default=0)
        if not longest:
            return None
        return {
            task: [float(np.mean([one[e][task] for one in told if e < len(one)])) for e in range(longest)]
            for task in self.tasks
        }

    def gates(self) -> dict[str, Any]:
        """Gates at the end of the joint fits: the mean over seeds, and intervals where there are several."""
        last = [probes[-1].gates for probes in self._probes]
        found = {}
        for name, gate in (last[0] if last else {}).items():
            shares = np.array([gates[name].shares for gates in last])
            bounds = [[interval_of_mean(cell) for cell in row] for row in np.moveaxis(shares, 0, -1)]
            entropies = {
                key: np.mean([getattr(g[name], key) for g in last], 0).tolist() for key in ("entropy", "row_entropy")
            }
            found[name] = {
                "tasks": gate.tasks, "experts": gate.experts, "shares": shares.mean(0).tolist(), "intervals": bounds, **entropies
            }  # fmt: skip
        return found

    def _curves(self, task: str) -> dict[str, list[list[float]]]:
        """The figure of a task after each epoch, by seed, with all others and alone; its loss where nothing validates."""
        return {
            str(role.kind): [_curve(fit, task, self.judges[task].key) for fit in self._fits.of(role)]
            for role in (JOINT, Role("alone", task))
        }


def _curve(fit: Fit, task: str, key: str) -> list[float]:
    rows = [row for row in fit.directory.read_history() if row["phase"] == "valid"]
    of = (row.get(f"{VALIDATION}{key}") or row.get(f"{task}_loss") for row in rows)
    return [float(value) for value in of if value]


def _plain(effect: Effect) -> dict[str, Any]:
    values = {name: value for name, value in asdict(effect).items() if name != "over"}
    shares = {"relative": effect.share(effect.gain), "detectable_relative": effect.share(effect.detectable)}
    return {**values, **shares, "told": effect.told}


def _check_same(one: UserSums, other: UserSums, first: UserSums, what: str) -> None:
    for sums in (other, first):
        if not (np.array_equal(one.users, sums.users) and np.array_equal(one.rows, sums.rows)):
            raise RunError(
                f"{what} was not measured on the same rows, so the fits cannot be compared; let the rows that are evaluated not "
                "depend on other tasks"
            )
