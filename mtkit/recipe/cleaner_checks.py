"""Cleaners that do not fit the columns that they get, each under what those before it declare."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from mtkit.recipe.source_text import Mistake
from mtkit.schema import Schema
from mtkit.spec import Cleaned, Cleaner, DataSource


def check_cleaners(schema: Schema, cleaners: Mapping[str, Cleaner]) -> list[Mistake]:
    """What is wrong with the first cleaner that does not fit; of what comes after it nothing is known.

    Args:
        schema: what the source declares.
        cleaners: name -> cleaner, in their order.
    """
    for name, cleaner in cleaners.items():
        if found := [Mistake(("clean", name, *path), message) for path, message in cleaner.mistakes(schema)]:
            return found
        try:
            schema = cleaner.declares(schema)
        except ValidationError as error:  # of the schema, as of one that a source declares
            return [Mistake(("clean", name), f"{one['msg'].removeprefix('Value error, ')}") for one in error.errors()]
    return []


def with_cleaners(source: DataSource, cleaners: Mapping[str, Cleaner]) -> DataSource:
    """The source of the cleaned tables."""
    return Cleaned(source=source, by=cleaners) if cleaners else source
