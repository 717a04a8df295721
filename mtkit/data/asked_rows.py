"""The rows of a part with the columns that a recipe asks for; no TensorFlow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from mtkit.data.known_as_of import known_columns
from mtkit.recipe.loader import Recipe
from mtkit.recipe.settings import LISTS
from mtkit.spec import Rows
from mtkit.types import Fold, Part, RowTable

PARTS: tuple[Part, ...] = ("train", "eval")

#: Columns that are asked for, by row table and part.
Asked = Mapping[tuple[str, Part], frozenset[str]]


def asked_columns(recipe: Recipe) -> Asked:
    """What heads read of the rows, and what lists of a slice leave out."""
    asked = {(table, part): recipe.plan.columns(table, part) for table in recipe.rows for part in PARTS}
    left_out = {LISTS[name] for name in recipe.evaluate.slices if isinstance(name, str) and name in LISTS}
    for spec in recipe.plan.rankings().values():
        asked[spec.evaluated_on, "eval"] |= left_out
    if recipe.recommend and not recipe.recommend.seen and (main := recipe.recommending):
        asked[recipe.task[main].evaluated_on, "eval"] |= {LISTS["new"]}
    return asked


def make_rows(name: str, rows: Rows, fold: Fold, part: Part, columns: Collection[str]) -> RowTable:
    """The rows of a part, with the columns that are asked for.

    Raises:
        DataError: the part would be empty.
    """
    return known_columns(fold, replace(rows.make(fold, part), name=name), columns, rows.counted)
