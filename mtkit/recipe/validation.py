"""Recipe values to pydantic models, and pydantic's errors to sentences that say what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mtkit.declared import at, existing, explained, independent
from mtkit.recipe.references import joined
from mtkit.recipe.source_text import Document, Mistake
from mtkit.recipe.toml_positions import KeyPath
from mtkit.spec import OrDirectory

Model = TypeVar("Model", bound=BaseModel)


def validate(
    model: type[Model], values: Mapping[str, Any], document: Document, path: KeyPath, reserved: Sequence[str] = ()
) -> Model | list[Mistake]:
    """A model from a table's values, or what is wrong with them.

    Values are validated as strict JSON: arrays become tuples, and dates, durations (`"28d"`) and paths are read from
    strings, but `true` is no integer. Relative paths begin at the directory of the file that says them.

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
        return [_mistake(found, model, known, document, path) for found in independent(error)]

    def directory(at: KeyPath) -> Path:
        return document.directory_of((*path, *at))

    return with_paths(
        made, lambda given, at: joined(directory(at), given), lambda name, at: _directory(name, directory(at))
    )


def _mistake(
    error: Mapping[str, Any],
    model: type[BaseModel],
    known: Iterable[str],
    document: Document,
    path: KeyPath,
) -> Mistake:
    inner = existing(error["loc"], at(document.values, path))
    inner, message = explained(error, model, inner, document.shown((*path, *inner)), known)
    return Mistake((*path, *inner), message, of_key=error["type"] == "extra_forbidden")


def with_paths(
    model: Model,
    path: Callable[[Path, KeyPath], Path],
    name_or_directory: Callable[[str, KeyPath], str],
    place: KeyPath = (),
) -> Model:
    """A model whose paths are changed, wherever they stand in it.

    Args:
        model: the model.
        path: changes a path, which stands at some keys.
        name_or_directory: changes an `mtkit.spec.NameOrDirectory`.
        place: keys of the model.
    """
    fields = type(model).model_fields
    values = {name: getattr(model, name) for name in fields}

    def changed(value: Any, at: KeyPath) -> Any:
        if isinstance(value, Path):
            return path(value, at)
        if isinstance(value, BaseModel):
            return with_paths(value, path, name_or_directory, at)
        if isinstance(value, tuple | list):
            return type(value)(changed(inner, (*at, index)) for index, inner in enumerate(value))
        if isinstance(value, dict):
            return {key: changed(inner, (*at, key)) for key, inner in value.items()}
        return value

    marked = {name for name, field in fields.items() if any(isinstance(mark, OrDirectory) for mark in field.metadata)}
    new = {
        name: name_or_directory(value, (*place, name)) if name in marked else changed(value, (*place, name))
        for name, value in values.items()
    }
    update = {name: value for name, value in new.items() if value != values[name]}
    return model.model_copy(update=update) if update else model


def _directory(name: str, directory: Path) -> str:
    """The path of the directory of this name, or the name if there is none."""
    paths = (joined(base, Path(name).expanduser()) for base in (directory, Path.cwd()))
    return next((str(path) for path in paths if path.is_dir()), name)
