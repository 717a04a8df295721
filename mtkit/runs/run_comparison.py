"""Runs against one another, on the same users: which of them is better than chance lets it look."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtkit.errors import RunError, nearest
from mtkit.evaluation.significance import LEVEL, Difference, holm, paired
from mtkit.evaluation.user_sums import MODEL, Sums, UserSums, mean_of
from mtkit.recipe.loader import Recipe
from mtkit.recipe.toml_writer import toml_value
from mtkit.runs.directory import RunDirectory
from mtkit.shown import counted


@dataclass(frozen=True)
class Verdict:
    """One metric of two contestants.

    Attributes:
        first: name of the one that is compared with.
        second: name of the one of which something is said.
        difference: the figures.
        p: as adjusted for all comparisons that are made together (Holm).
        word: `better` or `worse`, of the second, where p is below 0.05; else empty.
    """

    first: str
    second: str
    difference: Difference
    p: float
    word: str

    def plain(self) -> dict[str, Any]:
        """The verdict for JSON."""
        found = self.difference
        return {
            "metric": found.key,
            "first": self.first,
            "second": self.second,
            "values": list(found.values),
            "difference": found.difference,
            "relative": found.relative,
            "interval": list(found.interval),
            "effect": found.effect,
            "detectable": found.detectable,
            "p": found.p,
            "p_holm": self.p,
            "verdict": self.word,
        }


@dataclass(frozen=True)
class _Finished:
    """A run whose test is done, or the mean of several."""

    path: Path
    recipe: Recipe
    fingerprint: str
    sums: Sums


@dataclass(frozen=True)
class _Contestant:
    name: str
    parts: Mapping[str, UserSums]


def compare_runs(paths: Sequence[Path], keys: Collection[str] = ()) -> list[Verdict]:
    """Each later run against the first, or the model of an only run against its baselines.

    Args:
        paths: run directories; one of several seeds counts as the mean over its seeds, user by user.
        keys: the metrics that are asked about; empty = all that have values per user. The fewer, the sharper the tests.

    Returns:
        Verdicts on all of them together: where nothing differs, the chance that any has a word is at most 5 %.

    Raises:
        RunError: a run is not complete or damaged, or they were not measured on the same users in the same way.
    """
    first, *others = (_finished(path) for path in paths)
    for other in others:
        _check_comparable(first, other)
    contestants = [_Contestant(str(run.path), run.sums.get(MODEL, {})) for run in (first, *others)]
    pairs = [(contestants[0], contestant) for contestant in contestants[1:]]
    if not others:
        baselines = [_Contestant(name, parts) for name, parts in first.sums.items() if name != MODEL]
        pairs = [(baseline, contestants[0]) for baseline in baselines]
    found = [(one.name, two.name, difference) for one, two in pairs for difference in _differences(one, two)]
    return _judged(_asked(found, keys), first.recipe)


def recipe_differences(first: Path, second: Path) -> list[tuple[str, Any, Any]]:
    """What the recipes of two runs do not have in common: dotted key, value in the first, and in the second; None = not there.

    Args:
        first: a run directory; of several seeds or folds, the first stands for all.
        second: another one.

    Raises:
        RunError: there is no run, or its lock cannot be read.
    """
    one, two = (dict(_flat(_any_part(path).read_lock())) for path in (first, second))
    return [(key, one.get(key), two.get(key)) for key in dict.fromkeys((*one, *two)) if one.get(key) != two.get(key)]


def _any_part(path: Path) -> RunDirectory:
    directory = RunDirectory(path)
    return next((RunDirectory(part) for part in directory.replicates()), directory)


def _flat(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key -> value; components in a list are told by their names."""
    if isinstance(values, list) and values and all(isinstance(value, Mapping) and "use" in value for value in values):
        values = {value["use"]: {key: of for key, of in value.items() if key != "use"} or True for value in values}
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from _flat(value, f"{path}.{key}" if path else key)
    else:
        yield path, values


def _finished(path: Path) -> _Finished:
    directory = RunDirectory(path)
    parts = [RunDirectory(part) for part in directory.replicates()] or [directory]
    parts[0].check_run()
    if len(parts) > 1 and parts[0].path.name.startswith("fold"):
        raise RunError(
            f"{path}: holds folds, each with rows of its own; compare them one by one, as in {parts[0].path}"
        )
    recipe = parts[0].read_recipe()
    return _Finished(path, recipe, parts[0].read_fingerprint(), mean_of([part.read_sums() for part in parts]))


def _check_comparable(first: _Finished, other: _Finished) -> None:
    """Refuses runs that were not measured in the same way, and says what differs."""
    one, two = first.recipe.data, other.recipe.data
    settings, others = first.recipe.evaluate, other.recipe.evaluate
    sides = [
        ("data", first.fingerprint, other.fingerprint),
        ("data.split", one.split, two.split),
        ("data.catalog", dict(one.catalog), dict(two.catalog)),
        ("evaluate.cold", settings.cold, others.cold),
        ("evaluate.tail", settings.tail, others.tail),
        ("evaluate.sampled", settings.sampled, others.sampled),
    ]
    sides += [(f"metric {name!r}", m, others.metrics.get(name, m)) for name, m in settings.metrics.items()]
    predicting = others.prediction_metrics
    sides += [(f"metric {name!r}", m, predicting.get(name, m)) for name, m in settings.prediction_metrics.items()]
    for name, a, b in sides:
        if a != b:
            raise RunError(
                f"{first.path} and {other.path} cannot be compared: {name} is {_shown(a)} in the one and "
                f"{_shown(b)} in the other; run one of them again as the other was"
            )


def _shown(value: Any) -> str:
    """A value; tables by name as a recipe has them."""
    if not isinstance(value, Mapping):
        return repr(value)
    return toml_value({name: table.model_dump(mode="json", exclude_none=True) for name, table in value.items()})


def _differences(first: _Contestant, second: _Contestant) -> Iterator[Difference]:
    for path in (path for path in first.parts if path in second.parts):
        one, two = first.parts[path], second.parts[path]
        if not (np.array_equal(one.users, two.users) and np.array_equal(one.rows, two.rows)):
            raise RunError(
                f"{first.name} and {second.name} cannot be compared: {path[:-1]} was measured on {_rows(one)} in the one "
                f"and on {_rows(two)} in the other; evaluate both on the same row table"
            )
        yield from paired(path, one, two)


def _rows(sums: UserSums) -> str:
    return f"{counted(round(sums.rows.sum()), 'row')} of {counted(len(sums.users), sums.entity)}"


Found = list[tuple[str, str, Difference]]


def _asked(found: Found, keys: Collection[str]) -> Found:
    """Those that are asked about.

    Raises:
        RunError: there are none.
    """
    known = {difference.key for _, _, difference in found}
    for key in keys:
        if key not in known:
            raise RunError(f"no metric that both have per user is called {key!r}; {nearest(key, known)}")
    if not found:
        raise RunError(
            "nothing to compare: no metric has values per user on both sides; coverage and gini never have any"
        )
    return [one for one in found if not keys or one[2].key in keys]


def _judged(found: Found, recipe: Recipe) -> list[Verdict]:
    adjusted = holm([difference.p for _, _, difference in found])
    verdicts = []
    for (first, second, difference), p in zip(found, adjusted, strict=True):
        gain = difference.difference * (-1 if recipe.lower_is_better(difference.key) else 1)
        word = ("better" if gain > 0 else "worse") if p < 1 - LEVEL else ""
        verdicts.append(Verdict(first, second, difference, p, word))
    return verdicts
