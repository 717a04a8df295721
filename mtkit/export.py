"""Writes a servable as a SavedModel with its descriptions: a new version directory, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from mtkit.answers import signatures
from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.pipeline import Pipeline
from mtkit.servable import Servable
from mtkit.signatures import describe, tensor_names

SIGNATURES = "signatures.md"
TENSORS = "signatures.json"
_PREFIX = ".export-"


def save(pipeline: Pipeline, directory: Path, unseen: bool = True, strings: bool = False) -> Path:
    """Writes a new version directory (1, 2, ...) under `directory`, whole or not at all, and returns it.

    It is a SavedModel, with `signatures.md` for people and `signatures.json` for callers of the C API.

    Args:
        pipeline: the trained pipeline.
        directory: holds the versions.
        unseen: whether there are signatures for users and items that are not in the data.
        strings: whether there are signatures that take texts as strings, beside those that take token ids.

    Raises:
        RunError: the directory cannot be written.
        WiringError: a task has the name of another signature.
    """
    servable = Servable(pipeline, _main(pipeline), unseen, strings)
    answers = signatures(servable)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _sweep(directory)
        temporary = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=directory))
        try:
            functions = {name: signature.function for name, signature in answers.items()}
            tf.saved_model.save(servable, str(temporary), signatures=functions)
            (temporary / SIGNATURES).write_text(describe(answers), encoding="utf-8")
            (temporary / TENSORS).write_text(tensor_names(temporary), encoding="utf-8")
            return _published(temporary, directory)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except (OSError, tf.errors.OpError) as error:
        raise RunError(f"{directory}: the model cannot be exported here: {error}") from error


def versions(directory: Path) -> list[int]:
    """The versions under a directory, ascending."""
    return sorted(int(path.name) for path in directory.glob("*") if path.name.isdigit())


def _main(pipeline: Pipeline) -> str | None:
    """The retrieval task to be served: the one that validation chose by, or else the first."""
    retrievals = pipeline.plan.retrievals()
    main = pipeline.recipe.evaluate.main_task
    return main if main in retrievals else next(iter(retrievals), None)


def _published(temporary: Path, directory: Path) -> Path:
    """Gives a finished export its number; someone else may take the same at the same time."""
    temporary.chmod(0o755)
    number = max(versions(directory), default=0)
    while True:
        number += 1
        target = directory / str(number)
        if not target.exists():
            try:
                return temporary.rename(target)
            except OSError:
                if not target.exists():
                    raise


def _sweep(directory: Path) -> None:
    """Removes what exports left behind that were killed."""
    for path in directory.glob(f"{_PREFIX}*"):
        if not _alive(int(path.name.removeprefix(_PREFIX).split("-")[0])):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
