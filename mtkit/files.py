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

Identity = tuple[int, int]

#: `.NAME.PROCESS-RANDOM`: who writes it can be told.
_TEMPORARY = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}")

# Directories that must stay what they are while something is written in them.
_held: dict[Path, Identity | None] = {}


@contextlib.contextmanager
def holding(directory: Path) -> Iterator[None]:
    """Notices when a directory is removed, or another one is moved to its place: nothing is written there any more.

    Args:
        directory: is there.

    Raises:
        RunError: that happened, found when something is written or in the end.
    """
    place = directory.absolute()
    _held[place] = _identity(place)
    try:
        yield
        _check_held(place)
    finally:
        del _held[place]


def held(directory: Path) -> bool:
    """Whether a directory that is held is still the same."""
    place = directory.absolute()
    return _identity(place) == _held[place]


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure of the file system into a message for the user.

    Raises:
        RunError: `path` cannot be written, or lies in a directory that was removed or replaced.
    """
    _check_held(path)
    try:
        yield
    except OSError as error:
        _check_held(path)
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
    _check_held(path)


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
            _check_held(path)
            if path.is_dir():
                remove(path)
            temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    # "x" never writes through a link that someone else put there.
    with whole(path) as temporary, temporary.open("x", encoding="utf-8") as file:
        file.write(text)


def new_version(directory: Path, write: Callable[[Path], None]) -> Path:
    """Makes the next version directory (1, 2, ...) under `directory`, whole or not at all, and returns it.

    Args:
        directory: holds the versions.
        write: fills an empty directory.

    Raises:
        RunError: the directory cannot be written.
    """
    refuse_link(directory)
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        sweep(directory)
        with _temporary(directory / "version") as temporary:
            temporary.mkdir()
            write(temporary)
            _sync(temporary)
            _check_held(directory)
            return _numbered(temporary, directory)


def versions(directory: Path) -> list[int]:
    """The versions under a directory, ascending."""
    return sorted(int(path.name) for path in directory.glob("*") if path.name.isdigit())


def sweep(directory: Path) -> None:
    """Removes what processes were writing in a directory that were killed; nothing where the directory is a link."""
    if directory.is_symlink():
        return
    for path in directory.glob(".*"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and not _alive(int(found.group(1))):
            remove(path)


def refuse_link(path: Path) -> None:
    """Refuses to write or remove anything behind a link.

    Raises:
        RunError: `path` is a symbolic link.
    """
    if path.is_symlink():
        raise RunError(
            f"{path}: is a symbolic link to {path.readlink()}, and nothing is written or removed behind it; put a "
            "directory there, or choose another place"
        )


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield temporary
    finally:
        remove(temporary)


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
        if part.is_symlink():
            continue
        handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _check_held(path: Path) -> None:
    place = path.absolute()
    for directory, identity in _held.items():
        if place.is_relative_to(directory) and _identity(directory) != identity:
            raise RunError(
                f"{directory}: was removed or replaced while a run was at work in it, so the run ends; start it anew, or "
                "put its directory back and continue with --resume"
            )


def _identity(directory: Path) -> Identity | None:
    try:
        found = directory.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(path: Path) -> None:
    """Removes a file, a directory with what is in it, or a link, but nothing behind a link; what is not there is well."""
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


def cache_directory() -> Path:
    """Where results that depend on content alone are kept: `MTKIT_CACHE`, or the user's cache directory."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MTKIT_CACHE") or Path(user) / "mtkit")


def data_directory() -> Path:
    """Where published data lie, a folder for each set: `MTKIT_DATA`, or `data` in the cache directory."""
    return Path(os.environ.get("MTKIT_DATA") or cache_directory() / "data")
