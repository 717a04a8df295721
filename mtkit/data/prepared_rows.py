"""Catalogs, events and row tables in files: written by their parts, and read as those that were made in memory.

Rows have places in the log of events (`history`, `event`): no past is written out. What they have of the columns of their
event lies there, too, and is read when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mtkit.data.column_files import Columns, ColumnWriter, read_columns
from mtkit.data.columns import UNKNOWN_NUMBER, UNKNOWN_TEXT, raw
from mtkit.errors import DataError
from mtkit.schema import Schema
from mtkit.types import Entity, Events, Fold, Part, Ragged, RowTable, Shared

#: Kinds of columns of a row table that are arrays by name.
_NAMED = ("ids", "statistics", "labels", "weights", "dense", "unseen")
_SINGLE = ("time", "history", "known")
_ABOUT = ("name", "classes", "left_out", "note", "kept", "copies")


class OfEvents(Mapping[str, np.ndarray]):
    """Columns of the context of rows that are events: raw values, made of the log's columns when they are asked for.

    Args:
        names: of the columns.
        fold: has the log.
        event: int64 `[rows]`, places in it.
    """

    def __init__(self, names: tuple[str, ...], fold: Fold, event: np.ndarray) -> None:
        self._names, self._fold, self._event = names, fold, event

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        taken = self._fold.events.columns[name].take(pa.array(self._event))
        return raw(taken, self._fold.schema.interactions[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def add_rows(writer: ColumnWriter, table: RowTable, event_base: int = 0) -> None:
    """Writes the next rows of a table.

    Args:
        writer: of the table's directory.
        table: the rows; of those that lie in sequences, whole ones.
        event_base: the place in the whole log of the first event of the log that the rows know.

    Raises:
        DataError: rows have a context that is not that of their events.
    """
    if table.context and table.event is None:
        raise DataError(
            f"rows.{table.name}: its rows have columns of their own and are no events; they cannot be prepared"
        )
    first = writer.rows("sequence") and int(writer.about["sequences"])
    for name in _SINGLE:
        writer.add(name, getattr(table, name) + (event_base if name == "history" else 0))
    for kind in _NAMED:
        for name, values in getattr(table, kind).items():
            writer.add(f"{kind}/{name}", values)
    if table.ends is not None:
        writer.add("ends", table.ends)
    if table.event is not None:
        writer.add("event", table.event + event_base)
    if table.sequence is not None:
        writer.add("sequence", table.sequence + np.int32(first))
        writer.about["sequences"] = first + table.units
    for name, ragged in table.lists.items():
        _add_ragged(writer, f"lists/{name}", ragged)
    for name, shared in table.shared.items():
        writer.add(f"shared/{name}/index", shared.index)
        writer.add(f"shared/{name}/values", shared.values)
    writer.about |= {name: _plain(getattr(table, name)) for name in _ABOUT} | {"context": list(table.context)}


def _add_ragged(writer: ColumnWriter, key: str, ragged: Ragged) -> None:
    before = writer.about.setdefault("entries", {}).get(key)
    offsets = ragged.offsets.astype(np.int64)
    writer.add(f"{key}/offsets", offsets if before is None else offsets[1:] + before)
    writer.about["entries"][key] = int(offsets[-1]) + (before or 0)
    for name, values in ragged.values.items():
        writer.add(f"{key}/values/{name}", values)


def read_rows(directory: Path, fold: Fold) -> RowTable:
    """A row table, mapped.

    Raises:
        DataError: a file is missing or damaged.
    """
    found = read_columns(directory)
    arrays, about = found.arrays, found.about
    event = arrays.get("event")
    table = RowTable(
        name=about["name"],
        ids=_under("ids/", arrays),
        time=arrays["time"],
        history=arrays["history"],
        known=arrays["known"],
        **{kind: _under(f"{kind}/", arrays) for kind in _NAMED if kind != "ids"},
        lists={name: _ragged(f"lists/{name}", arrays) for name in _names("lists/", arrays)},
        shared={
            name: Shared(arrays[f"shared/{name}/index"], arrays[f"shared/{name}/values"])
            for name in _names("shared/", arrays)
        },
        classes={name: tuple(classes) for name, classes in about["classes"].items()},
        left_out=about["left_out"],
        note=about["note"],
        ends=arrays.get("ends"),
        event=event,
        sequence=arrays.get("sequence"),
        kept=about["kept"],
        copies=about["copies"],
    )
    return table if event is None else replace(table, context=OfEvents(tuple(about["context"]), fold, event))


def _ragged(key: str, arrays: Mapping[str, np.ndarray]) -> Ragged:
    return Ragged(arrays[f"{key}/offsets"], _under(f"{key}/values/", arrays))


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _names(prefix: str, arrays: Mapping[str, Any]) -> dict[str, None]:
    """What stands behind a prefix, up to the part of the name that follows."""
    ends = ("/offsets", "/index")
    return dict.fromkeys(
        name.removeprefix(prefix).removesuffix(end)
        for name in arrays
        for end in ends
        if name.startswith(prefix) and name.endswith(end)
    )


def add_events(writer: ColumnWriter, events: Events, *, last: bool = True) -> None:
    """Writes the next events of a log, those of later users than all before.

    Args:
        writer: of the log's directory.
        events: the events.
        last: whether there are none behind; the bounds of users are written then, which are known from the number of each.
    """
    for role, ids in events.ids.items():
        writer.add(f"ids/{role}", ids)
    group = events.group + int(writer.about.get("groups", 0))
    writer.about["groups"] = int(group.max(initial=-1)) + 1 if len(group) else writer.about.get("groups", 0)
    for name, values in (("time", events.time), ("group", group)):
        writer.add(name, values)
    if events.weight is not None:
        writer.add("weight", events.weight)
    writer.add_table("columns", events.columns)
    if last:
        writer.add("offsets", events.offsets)


def read_events(found: Columns) -> Events:
    """A log of events, mapped."""
    arrays = found.arrays
    return Events(
        ids=_under("ids/", arrays),
        time=arrays["time"],
        group=arrays["group"],
        columns=found.tables["columns"],
        offsets=arrays["offsets"],
        weight=arrays.get("weight"),
    )


def add_catalogs(writer: ColumnWriter, fold: Fold) -> None:
    """Writes the catalogs of a fold, row i = id i, and what else it says."""
    for name, entity in fold.entities.items():
        known = entity.ids[1:]
        ids = pa.array(known.tolist(), pa.string()) if known.dtype == object else pa.array(known)
        key = pa.concat_arrays([pa.nulls(1, ids.type), ids])
        columns = {f"column/{column}": entity.columns[column] for column in entity.columns.column_names}
        writer.add_table(f"catalog/{name}", pa.table({"id": key, **columns}))
    writer.about |= {
        "name": fold.name,
        "fit": fold.fit,
        "cut": fold.cut,
        "end": fold.end,
        "dropped": dict(fold.dropped),
    }
    writer.about["guests"] = {name: entity.guests for name, entity in fold.entities.items()}


def read_fold(directory: Path, schema: Schema) -> Fold:
    """A fold: its catalogs in memory, its events mapped.

    Raises:
        DataError: a file is missing or damaged.
    """
    found = read_columns(directory / "catalogs")
    about, catalogs = found.about, _names_of(found.tables)
    entities = {name: _entity(name, found.tables[f"catalog/{name}"], about["guests"][name]) for name in catalogs}
    events = read_events(read_columns(directory / "log"))
    return Fold(about["name"], about["fit"], about["cut"], about["end"], entities, events, schema, about["dropped"])


def _names_of(tables: Mapping[str, pa.Table]) -> list[str]:
    return [name.removeprefix("catalog/") for name in tables]


def _entity(name: str, table: pa.Table, guests: int) -> Entity:
    key = table["id"].slice(1)
    if pa.types.is_string(key.type):
        ids = np.array([UNKNOWN_TEXT, *key.to_pylist()], dtype=object)
    else:
        ids = np.append(np.int64(UNKNOWN_NUMBER), key.to_numpy())
    columns = table.drop_columns(["id"])
    return Entity(name, ids, columns.rename_columns([n.removeprefix("column/") for n in columns.column_names]), guests)


def read_tables(directory: Path, names: Mapping[str, Any], fold: Fold) -> dict[str, dict[Part, RowTable]]:
    """The row tables of a fold, mapped: name -> part -> rows."""
    parts: tuple[Part, ...] = ("train", "eval")
    return {name: {part: read_rows(rows_directory(directory, name, part), fold) for part in parts} for name in names}


def rows_directory(directory: Path, table: str, part: Part) -> Path:
    """Where the rows of a table lie in the directory of a fold."""
    return directory / "rows" / f"{table}-{part}"


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
