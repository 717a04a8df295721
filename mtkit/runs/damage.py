"""Files of a run that cannot be read any more: one message, which says which file it is and what to do."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from mtkit.errors import RunError

Kept = TypeVar("Kept")


@contextlib.contextmanager
def reading(path: Path, remedy: str) -> Iterator[None]:
    """Turns what readers say of a damaged or missing file into a message.

    Args:
        path: the file.
        remedy: what the user can do.

    Raises:
        RunError: the file is not there, or does not hold what was written.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise RunError(f"{path}: is missing; {remedy}") from error
    except (OSError, ValueError, KeyError, csv.Error, pa.ArrowException) as error:
        raise RunError(f"{path}: is damaged: {_reason(error)}; {remedy}") from error


def _reason(error: Exception) -> str:
    """The first line of what a reader says."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_json(path: Path, kind: type[Kept] | Any, remedy: str) -> Kept:
    """What a JSON file holds.

    Args:
        path: the file.
        kind: a type that pydantic reads.
        remedy: as for `reading`.

    Raises:
        RunError: as of `reading`.
    """
    with reading(path, remedy):
        value: Kept = TypeAdapter(kind).validate_json(path.read_text(encoding="utf-8"))
    return value
