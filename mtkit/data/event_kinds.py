"""Interactions of several kinds that a recipe takes as one: a note for those who overlooked the column."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc

from mtkit.data.columns import plain
from mtkit.recipe.drafts import conditions
from mtkit.recipe.loader import Recipe
from mtkit.schema import HISTORY, Address
from mtkit.types import Dataset

#: Words for what people do with items, as logs have them.
_WORDS = """
    view click impression show shown display open cart add_to_cart addtocart basket remove remove_from_cart buy purchase order
    transaction checkout like dislike rate rating share comment follow favorite favourite bookmark save wishlist watch play
    skip read download install search return refund apply
"""
WORDS = frozenset(_WORDS.split())
#: A column with more values holds something else.
MOST_KINDS = 30


def unused_kinds(recipe: Recipe, dataset: Dataset) -> Iterator[str]:
    """Notes on columns that say what kind of event an interaction is, and that no condition or past of the recipe looks at."""
    asked = {column for _, where in conditions(recipe.sections) for column in where.columns}
    read = (address for spec in recipe.encoder.values() for address in map(Address, spec.reads))
    asked |= {address.column for address in read if address.scope == HISTORY}
    for name in dataset.schema.of_kind("categorical"):
        if name in asked:
            continue
        column = plain(dataset.interactions[name])
        values = [str(value) for value in pc.unique(column).drop_null().slice(0, MOST_KINDS + 1).to_pylist()]
        known = [value for value in values if value.lower().replace("-", "_").replace(" ", "_") in WORDS]
        if 1 < len(values) <= MOST_KINDS and 2 * len(known) >= len(values):
            some = ", ".join(values[:4]) + (", …" if len(values) > 4 else "")
            yield (
                f"note: {name}: looks like kinds of events ({some}), and all of them count alike; name those that are meant, as "
                f'in [events.chosen] where = {{{name} = "{known[0]}"}}, in `where` of row tables, histories and catalogs'
            )
