"""Recipe values to pydantic models, and pydantic's errors to sentences that say what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mtkit.errors import nearest
from mtkit.recipe.source_text import Document, Mistake, has, value_at
from mtkit.recipe.toml_positions import KeyPath
from mtkit.spec import OrDirectory

Model = TypeVar("Model", bound=BaseModel)


def validate(
    model: type[Model], values: Mapping[str, Any], document: Document, path: KeyPath, reserved: Sequence[str] = ()
) -> Model | list[Mistake]:
    """A model from a table's values, or what is wrong with them.

    Values are validated as strict JSON: arrays become tuples, and dates, durations (`"28d"`) and paths are read from
    strings, but `true` is no integer. Relative paths are taken from the recipe's directory.

    Args:
        model: the class.
        values: the table without its reserved keys.
        document: where the table stands.
        path: the table's path.
        reserved: keys that the table may have beside the model's fields, for messages.
    """
    text = json.dumps(values, default=lambda moment: moment.isoformat())
    try:
        made = model.model_validate_json(text, strict=True)
    except ValidationError as error:
        known = (*reserved, *model.model_fields)
        return [_mistake(found, model, known, document, path) for found in error.errors()]
    return _with_absolute_paths(made, document.directory)


def _mistake(
    error: Mapping[str, Any],
    model: type[BaseModel],
    known: Iterable[str],
    document: Document,
    path: KeyPath,
) -> Mistake:
    if error["type"] == "missing":
        where = (*path, *error["loc"])
        field = model.model_fields.get(str(error["loc"][-1])) if len(error["loc"]) == 1 else None
        return Mistake(
            where, f"is missing; expected {field.description}" if field and field.description else "is missing"
        )
    inner = _existing(error["loc"], value_at(document.values, path))
    where = (*path, *inner)
    if error["type"] == "extra_forbidden":
        return Mistake(where, f"unknown key; {nearest(str(inner[-1]), known)}" if len(inner) == 1 else "unknown key")
    message = re.sub("^(Value error, |Assertion failed, )", "", error["msg"])
    message = re.sub("^Input should be ", "expected ", message)
    message = message[:1].lower() + message[1:]
    # What is wrong with a table as a whole says itself which of its values are.
    if inner and (got := document.shown(where)):
        message += f", got {got}"
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        expected = re.findall("'([^']*)'", error["ctx"]["expected"])
        message += f"; {nearest(error['input'], expected)}"
    return Mistake(where, message)


def _existing(location: Sequence[str | int], values: Any) -> KeyPath:
    """The parts of an error's location that are keys of the values; the others name members of unions."""
    path: list[str | int] = []
    for part in location:
        if has(values, part):
            values = values[part]
            path.append(part)
    return tuple(path)


def _with_absolute_paths(model: Model, directory: Path) -> Model:
    fields = type(model).model_fields
    values = {name: getattr(model, name) for name in fields}
    changed = {
        name: _directory(value, directory)
        if any(isinstance(mark, OrDirectory) for mark in fields[name].metadata)
        else _map_paths(value, directory.joinpath)
        for name, value in values.items()
    }
    changed = {name: value for name, value in changed.items() if value != values[name]}
    return model.model_copy(update=changed) if changed else model


def _directory(name: str, directory: Path) -> str:
    """The path of the directory of this name, or the name if there is none."""
    paths = (base / Path(name).expanduser() for base in (directory, Path.cwd()))
    return next((str(path) for path in paths if path.is_dir()), name)


def _map_paths(value: Any, absolute: Callable[[Path], Path]) -> Any:
    if isinstance(value, Path):
        return absolute(value)
    if isinstance(value, BaseModel):
        return _with_absolute_paths(value, absolute(Path()))
    if isinstance(value, tuple | list):
        return type(value)(_map_paths(inner, absolute) for inner in value)
    if isinstance(value, dict):
        return {key: _map_paths(inner, absolute) for key, inner in value.items()}
    return value
