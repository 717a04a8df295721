"""The tables of a recipe that declare data: files, columns, and what is left out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtkit.draft.facts import Facts
from mtkit.draft.outline import Draft
from mtkit.draft.roles import Guess
from mtkit.draft.toml_text import Part
from mtkit.schema import INTERACTIONS

#: Columns that a comment names.
_SHOWN = 12


def data_parts(draft: Draft, directory: Path) -> Iterator[Part]:
    """What `[data]` says of the files, with paths relative to a directory."""
    tables = draft.tables
    every = {INTERACTIONS: tables.interactions} | {name: found.table for name, found in tables.entities.items()}
    paths = {name: os.path.relpath(table.path.absolute(), directory.absolute()) for name, table in every.items()}
    values: dict[str, Any] = {"use": "files", "interactions": paths.pop(INTERACTIONS)}
    if paths:
        values["entities"] = paths
        values["keys"] = {name: found.key for name, found in tables.entities.items()}
    separators = {table.reading.separator for table in every.values()} - {""}
    if separators:
        values["separator"] = separators.pop()
    encodings = {table.reading.encoding for table in every.values()} - {"utf-8"}
    if encodings:
        values["encoding"] = encodings.pop()
    if names := {name: list(table.reading.names) for name, table in every.items() if table.reading.names}:
        values["names"] = names
    if headers := {name: _called(draft, name, table.headers) for name, table in every.items()}:
        headers = {name: called for name, called in headers.items() if called}
        if headers:
            values["headers"] = headers
    split = {key: values.pop(key) for key in ("names", "headers") if key in values}
    yield Part("data", values)
    for key, of_tables in split.items():
        about = "The files have no header." if key == "names" else "What headers call these columns."
        yield Part(f"data.{key}", of_tables, about)
    yield Part("data.columns", _columns(draft), notes=_reasons(draft, INTERACTIONS))
    for entity in tables.entities:
        if columns := _entity_columns(draft, entity):
            yield Part(f"data.entity_columns.{entity}", columns, notes=_reasons(draft, entity))


def _called(draft: Draft, table: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Declared columns that the header of a file calls otherwise."""
    declared = _columns(draft) if table == INTERACTIONS else _entity_columns(draft, table)
    keys = {draft.tables.entities[table].key} if table in draft.tables.entities else set()
    return {name: header for name, header in headers.items() if name in declared or name in keys}


def _columns(draft: Draft) -> dict[str, dict[str, Any]]:
    """The declared columns of the interactions."""
    found = {name: _declared(draft, name, guess) for name, guess in draft.guesses[INTERACTIONS].items()}
    declared = {name: column for name, column in found.items() if column}
    first = [draft.tables.user, draft.tables.item] if draft.tables.user else []
    return {name: declared[name] for name in [*first, *(name for name in declared if name not in first)]}


def _declared(draft: Draft, name: str, guess: Guess) -> dict[str, Any]:
    known_before = draft.shape in ("rows", "outcomes")
    if guess.role in ("user", "item"):
        return {"kind": "id", "entity": guess.role}
    if guess.role in ("rating", "label"):
        return {"kind": "label"} | ({"classes": True} if draft.form(name) == "classes" else {})
    if guess.role == "event":
        return {"kind": "label", "classes": True}
    if guess.role == "list" and known_before:
        return _list(draft.tables.facts[name])
    if guess.role in ("categorical", "numeric") and not known_before:
        return {}
    kinds = {"time": "time", "basket": "id", "weight": "weight", "part": "categorical"}
    kind = kinds.get(guess.role, guess.role)
    return {"kind": kind} if kind in ("time", "id", "weight", "categorical", "numeric") else {}


def _list(one: Facts) -> dict[str, Any]:
    return {"kind": "list"} | ({"separator": one.separator} if one.separator else {})


def _entity_columns(draft: Draft, entity: str) -> dict[str, dict[str, Any]]:
    facts = draft.tables.entities[entity].facts
    if draft.shape == "profiles" and not draft.one("rating"):
        return {}
    columns = {}
    for name, guess in draft.guesses[entity].items():
        if guess.role == "list":
            columns[name] = _list(facts[name])
        elif guess.role in ("categorical", "numeric") or (name in draft.text_columns and entity == "item"):
            columns[name] = {"kind": guess.role}
    return columns


def _reasons(draft: Draft, table: str) -> dict[str, str]:
    """Why columns are what they are, and why others are left out."""
    declared = _columns(draft) if table == INTERACTIONS else _entity_columns(draft, table)
    guesses = draft.guesses[table]
    reasons = {name: guess.why for name, guess in guesses.items() if name in declared and table == INTERACTIONS}
    asked = [(name, guess) for name, guess in guesses.items() if name not in declared and not guess.sure]
    reasons |= {f"left out {name}": guess.why for name, guess in asked[:_SHOWN]}
    others = [name for name in guesses if name not in declared and guesses[name].sure]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        reasons["not read"] = ", ".join(others[:_SHOWN]) + more
    return reasons
