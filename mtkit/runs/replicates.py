"""Runs of a recipe: of several seeds, or of all folds of its split; what is on record of them; no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtkit.data.catalogs import part_sizes
from mtkit.errors import RunError
from mtkit.evaluation.significance import interval_results
from mtkit.evaluation.user_sums import Sums, mean_of
from mtkit.evaluation.verdicts import verdicts
from mtkit.recipe.loader import Recipe
from mtkit.recipe.settings import LARGEST_SEED
from mtkit.runs.results import RunResults
from mtkit.spec import Cut
from mtkit.types import Dataset


def runs_of(recipe: Recipe, seeds: int) -> dict[str, Recipe]:
    """Name of a directory below the run's -> the recipe that runs there: of several seeds, or of a split's folds.

    Raises:
        RunError: several of both are asked for, or the last seed would be too large.
    """
    folds = recipe.data.split.each()
    if len(folds) == 1 and seeds == 1:
        return {"": recipe}
    if len(folds) == 1:
        if recipe.seed + seeds - 1 > LARGEST_SEED:
            raise RunError(
                f"{seeds} seeds from {recipe.seed} on go beyond {LARGEST_SEED}, the largest; set a smaller seed"
            )
        several = range(recipe.seed, recipe.seed + seeds)
        return {f"seed-{seed}": recipe.model_copy(update={"seed": seed}) for seed in several}
    if seeds > 1:
        raise RunError(
            f"the split has {len(folds)} folds, and {seeds} seeds are asked for; choose one fold with data.split.fold, or "
            "run one seed"
        )
    datas = [recipe.data.model_copy(update={"split": split}) for split in folds]
    return {f"fold-{number}": recipe.model_copy(update={"data": data}) for number, data in enumerate(datas, 1)}


def split_record(recipe: Recipe, dataset: Dataset, valid: Cut, test: Cut) -> dict[str, Any]:
    """How the data were read and are split, and against how many sampled items rows are ranked (None: against all)."""
    split, sampled = recipe.data.split, recipe.evaluate.sampled
    options = split.model_dump(mode="json", exclude={"refit"}, exclude_none=True)
    sizes = part_sizes(dataset, valid, test)
    record = {"split": recipe.uses["data.split"], "refit": split.refit, "options": options, "interactions": sizes}
    return record | {"sampled": sampled, "data": list(dataset.notes)}


def combined(recipe: Recipe, several: Sequence[RunResults], sums: Sequence[Sums]) -> RunResults:
    """Results of several runs; of the protocol and the counts, what is the same in all of them, and else a list.

    Args:
        recipe: of any of them.
        several: what the runs found.
        sums: what their users add to the figures.
    """
    first, mean = several[0], mean_of(sums)
    test = None if first.test is None else _spread([one.test or {} for one in several])
    baselines = _spread([one.baselines for one in several])
    valid = _spread([one.valid.baselines if one.valid else {} for one in several])
    return RunResults(
        protocol=_common([one.protocol for one in several]),
        test=test,
        baselines=baselines,
        verdicts=verdicts(recipe.plan, recipe.evaluate, test or {}, baselines, valid, mean) or None,
        constants=None if first.constants is None else _spread([one.constants or {} for one in several]),
        counts=_common([one.counts for one in several]),
        intervals=interval_results(mean, recipe.evaluate.limits),
        timing=_spread([one.timing for one in several]),
        left_out=_common([one.left_out for one in several]),
        warnings=list(dict.fromkeys(text for one in several for text in one.warnings or ())) or None,
        init=_common([one.init or {} for one in several]) or None,
    )


def _common(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = {key: [result[key] for result in several] for key in several[0]}
    return {key: v[0] if all(other == v[0] for other in v) else v for key, v in values.items()}


def _spread(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Values of several seeds by key, nested as they were: mean, standard deviation (n - 1) and the values."""
    spread: dict[str, Any] = {}
    for key, value in results[0].items():
        values = [result[key] for result in results]
        if isinstance(value, Mapping):
            spread[key] = _spread(values)
        else:
            numbers = np.array(values, float)  # None, what is undefined, becomes nan
            spread[key] = {"mean": float(numbers.mean()), "std": float(numbers.std(ddof=1)), "values": values}
    return spread
