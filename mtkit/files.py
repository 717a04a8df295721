"""Files and directories that are there whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from mtkit.errors import RunError

#: `.NAME.PROCESS-RANDOM`: who writes it can be told.
_TEMPORARY = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure of the file system into a message for the user.

    Raises:
        RunError: `path` cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path`, at which a file or a directory is to be made: it takes the place in the end, or goes.

    Raises:
        RunError: `path` cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            yield temporary
            _sync(temporary)
            if path.is_dir():
                shutil.rmtree(path)
            temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def new_version(directory: Path, write: Callable[[Path], None]) -> Path:
    """Makes the next version directory (1, 2, ...) under `directory`, whole or not at all, and returns it.

    Args:
        directory: holds the versions.
        write: fills an empty directory.

    Raises:
        RunError: the directory cannot be written.
    """
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        sweep(directory)
        with _temporary(directory / "version") as temporary:
            temporary.mkdir()
            write(temporary)
            _sync(temporary)
            return _numbered(temporary, directory)


def versions(directory: Path) -> list[int]:
    """The versions under a directory, ascending."""
    return sorted(int(path.name) for path in directory.glob("*") if path.name.isdigit())


def sweep(directory: Path) -> None:
    """Removes what processes were writing in a directory that were killed."""
    for path in directory.glob(".*"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and not _alive(int(found.group(1))):
            _remove(path)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield temporary
    finally:
        _remove(temporary)


def _numbered(temporary: Path, directory: Path) -> Path:
    """Gives a finished directory its number; someone else may take the same at the same time."""
    while True:
        target = directory / str(max(versions(directory), default=0) + 1)
        try:
            return temporary.rename(target)
        except OSError:
            if not target.exists():
                raise


def _sync(path: Path) -> None:
    """Makes what was written last through a loss of power."""
    for part in (*path.rglob("*"), path):
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
