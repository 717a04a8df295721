"""Which baselines are too dear for a data set, by an estimate from its sizes alone: the same on every machine, every time."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow.compute as pc

from mtkit.data.prepared import kept_record
from mtkit.recipe.loader import Recipe
from mtkit.spec import Baseline
from mtkit.types import Dataset, Sizes


def within_budget(recipe: Recipe, dataset: Dataset) -> tuple[Recipe, list[str]]:
    """The recipe without the baselines that would take longer than `evaluate.baseline_budget`, and a line for each of these.

    Args:
        recipe: the resolved recipe.
        dataset: the cleaned tables.
    """
    budget = recipe.evaluate.baseline_budget
    if budget is None:
        return recipe, []
    size = sizes_of(recipe, dataset)
    seconds = {name: estimated(baseline, size) for name, baseline in recipe.evaluate.baselines.items()}
    dear = {name: cost for name, cost in seconds.items() if cost > budget}
    if not dear:
        return recipe, []
    kept = {name: baseline for name, baseline in recipe.evaluate.baselines.items() if name not in dear}
    evaluate = recipe.evaluate.model_copy(update={"baselines": kept})
    return recipe.model_copy(update={"evaluate": evaluate}), [*_lines(dear, size, budget)]


def estimated(baseline: Baseline, size: Sizes) -> float:
    """Seconds that all settings of a baseline take on validation, and one of them on the test."""
    return (len(baseline.grid()) + 1) * baseline.cost(size)


def sizes_of(recipe: Recipe, dataset: Dataset) -> Sizes:
    """How large the data are: users, items as often as the catalog asks for, and interactions."""
    if kept := kept_record(dataset):
        return Sizes(*kept.sizes)
    schema, log = dataset.schema, dataset.interactions
    counts = []
    for role, entity in [*schema.roles.items()][:2]:
        catalog = recipe.data.catalog.get(entity)
        found = pc.value_counts(log[schema.reference(role)].drop_null()).field("counts")
        counts.append(pc.sum(pc.greater_equal(found, max(1, catalog.min_count if catalog else 1))).as_py() or 0)
    users, items = (*counts, 0, 0)[:2]
    return Sizes(users, items, len(log))


def _lines(dear: Mapping[str, float], size: Sizes, budget: float) -> list[str]:
    of = f"{size.users:,} users, {size.items:,} items and {size.events:,} interactions"
    return [
        f"baseline {name} is left out: about {seconds:,.0f} s for {of}, and evaluate.baseline_budget is {budget:g}; raise it, "
        f'or list the baseline in the place of "auto"'
        for name, seconds in dear.items()
    ]
