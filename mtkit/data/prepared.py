"""A directory of prepared data: what is on record of it, the recipes that it fits, and its tables as a data set.

`prepared.json` says all that a run asks of the whole of the data, so that nothing has to look at all again: the cuts, how
many interactions there are of which part, what was found. It is written last: a directory without it is not complete.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from mtkit.data.column_files import AGAIN, Columns, ColumnWriter, read_columns
from mtkit.declared import Declared
from mtkit.errors import DataError
from mtkit.files import write_text
from mtkit.recipe.drafts import with_known
from mtkit.recipe.loader import Recipe
from mtkit.schema import Schema
from mtkit.spec import Cut, Split
from mtkit.types import Dataset, Origin

RECORD, TABLES = "prepared.json", "tables"
_HASH = 8


class KeptCut(Declared):
    """A cut; of its clock, whether it has one of its own."""

    cut: int
    end: int
    fit: int | None
    clocked: bool
    about: str


class Record(Declared):
    """What is on record of prepared data.

    Attributes:
        format: of all files.
        engine: what prepared them.
        seconds: how long that took.
        fits: part of a recipe (`rows.lines`) -> a hash of what the data depend on there.
        split: the split, by which the cuts are found.
        cuts: `valid` and `test`.
        fingerprint: of the tables.
        notes: what readers of the results should know of the data.
        left_out: why interactions are not in the tables -> how many.
        origins: table -> name of its file, and of its key.
        sizes: users, items and interactions.
        parts: how many interactions train, validate and test.
        found: what was found in the data, as a run keeps it.
    """

    format: Literal[1] = 1
    engine: str
    seconds: float
    fits: Mapping[str, str]
    split: str
    cuts: Mapping[str, KeptCut]
    fingerprint: str
    notes: tuple[str, ...]
    left_out: Mapping[str, int]
    origins: Mapping[str, tuple[str, str]]
    sizes: tuple[int, int, int]
    parts: Mapping[str, int]
    found: Mapping[str, Any]

    def both(self) -> tuple[Cut, Cut]:
        """The cuts for validation and test."""
        valid, test = (_cut(name, self.cuts[name]) for name in ("valid", "test"))
        return valid, test


def _cut(name: str, kept: KeptCut) -> Cut:
    clock = np.zeros(0, np.int64) if kept.clocked else None
    return Cut(name, kept.cut, kept.end, kept.fit, clock, kept.about)


def kept_cut(cut: Cut) -> KeptCut:
    """What is kept of a cut."""
    return KeptCut(cut=cut.cut, end=cut.end, fit=cut.fit, clocked=cut.clock is not None, about=cut.about)


def read_record(directory: Path) -> Record:
    """What is on record of a directory.

    Raises:
        DataError: it is no directory of prepared data, or not a complete one.
    """
    path = directory / RECORD
    if not path.is_file():
        what = "is not complete" if directory.is_dir() and any(directory.iterdir()) else "has no prepared data"
        raise DataError(
            f"{directory}: {what}, for there is no {RECORD}; make it with `mtkit prepare RECIPE --out {directory}`"
        )
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, _: int) -> Record:
    try:
        return Record.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: cannot be understood ({str(error).splitlines()[0]}); {AGAIN}") from error


def write_record(directory: Path, record: Record) -> None:
    """Says what was prepared, which completes a directory."""
    write_text(directory / RECORD, record.model_dump_json(indent=1))


def add_tables(writer: ColumnWriter, dataset: Dataset) -> None:
    """Writes the tables of a data set."""
    writer.add_table("interactions", dataset.interactions)
    for name, table in dataset.entities.items():
        writer.add_table(f"entity/{name}", table)


def open_dataset(directory: Path, schema: Schema) -> Dataset:
    """The tables of a directory, mapped: nothing is read before it is asked for.

    Raises:
        DataError: it is not complete, or damaged.
    """
    record = read_record(directory)
    found = tables_of_directory(read_columns(directory / TABLES), schema)
    there = found.interactions.column_names
    if set(found.entities) != set(schema.entities) or not set(schema.interactions) <= set(there):
        raise DataError(
            f"{directory}: was prepared of other columns than the recipe declares; prepare another directory"
        )
    origins = {name: Origin(*of) for name, of in record.origins.items()}
    return replace(found, origins=origins, notes=record.notes, left_out=record.left_out, prepared=directory)


def tables_of_directory(columns: Columns, schema: Schema) -> Dataset:
    """The tables alone."""
    tables = columns.tables
    entities = {name.removeprefix("entity/"): table for name, table in tables.items() if name.startswith("entity/")}
    return Dataset(tables["interactions"], entities, schema)


def kept_record(dataset: Dataset) -> Record | None:
    """What is on record of prepared data; None where a data set was not prepared."""
    return None if dataset.prepared is None else read_record(dataset.prepared)


def kept_cuts(dataset: Dataset, split: Split) -> tuple[Cut, Cut] | None:
    """The cuts of prepared data, if these are of this split; else None."""
    if dataset.prepared is None:
        return None
    record = read_record(dataset.prepared)
    return record.both() if record.split == hash_of_split(split) else None


def hash_of_split(split: Split) -> str:
    """A hash of a split's settings."""
    return _hash([type(split).__name__, split.model_dump(mode="json")])


def check_fits(recipe: Recipe, directory: Path) -> None:
    """Refuses recipes whose rows are not those that were prepared.

    Raises:
        DataError: names the parts of the recipe that differ.
    """
    prepared, asked = read_record(directory).fits, fits(recipe)
    if differing := [name for name, part in asked.items() if prepared.get(name) != part]:
        raise DataError(
            f"{directory}: was prepared of another recipe, which differs in {', '.join(differing)}; prepare a directory of its "
            "own for this one (`mtkit prepare`), or leave data.prepared out"
        )


def fits(recipe: Recipe) -> dict[str, str]:
    """Part of a recipe -> a hash of what prepared data depend on there: not of what is trained, nor how."""
    plan, data = recipe.plan, recipe.data
    schema = with_known(data.source.schema(), recipe.preprocess)
    parts: dict[str, Any] = {"columns of data": schema.model_dump(mode="json"), "data.split": hash_of_split(data.split)}
    parts |= {f"clean.{name}": _plain(spec) for name, spec in data.source.cleaners.items()}
    parts |= {f"data.catalog.{name}": _plain(catalog) for name, catalog in data.catalog.items()}
    parts |= {f"rows.{name}": _plain(spec, "batch_size", "passes") for name, spec in recipe.rows.items()}
    parts |= {f"preprocess.{name}": _plain(spec) for name, spec in recipe.preprocess.items()}
    parts |= {f"reads of {address}": "" for address in plan.addresses()}
    for name, head in plan.tasks.items():
        columns = {part: sorted(head.columns(part)) for part in ("train", "eval")}
        told = (head.rows, head.evaluated_on, head.predicts, head.of_rows, head.weight_by, head.query_by, columns)
        beside = (getattr(head, "labels", ()), getattr(head, "repeats", 1), sorted(plan.statistics(head.rows)))
        parts[f"task.{name}"] = [str(each) for each in (*told, *beside)]
    return {name: _hash(part) for name, part in parts.items()}


def _plain(spec: Any, *without: str) -> Any:
    return [type(spec).__name__, spec.model_dump(mode="json", exclude=set(without))]


def _hash(part: Any) -> str:
    text = json.dumps(part, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=_HASH).hexdigest()
