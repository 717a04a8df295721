"""A directory that one process at a time holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from mtkit.errors import RunError
from mtkit.files import held, holding, refuse_link, writing

#: Bytes that the number of a process takes at most.
_LONGEST_ID = 32


@contextlib.contextmanager
def exclusive(directory: Path, lock: Path) -> Iterator[None]:
    """Holds a directory against other processes, whatever it has; made anew, it goes if nothing is kept in it.

    Args:
        directory: what is held.
        lock: the file in it that says so, which is removed at the end.

    Raises:
        RunError: another process holds it, it cannot be written, or it was removed or replaced meanwhile.
    """
    new = not directory.exists()
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        handle = _locked(directory, lock)
    with holding(directory):
        try:
            yield
        except BaseException:
            _release(directory, lock, handle)
            if new and held(directory) and not any(directory.iterdir()):
                directory.rmdir()  # a mistake was found before there was anything to keep
            raise
        _release(directory, lock, handle)


def _release(directory: Path, lock: Path, handle: int) -> None:
    """Removes the lock file, unless the directory is another one now."""
    if held(directory):
        lock.unlink(missing_ok=True)
    os.close(handle)


def _locked(directory: Path, lock: Path) -> int:
    """An open handle on the lock file, which holds the lock and our process id."""
    refuse_link(lock)
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK)
        _check_own(lock, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, _LONGEST_ID).decode() or "unknown"
            os.close(handle)
            raise RunError(
                f"{directory}: another run is at work here (process {holder}); wait for it, or choose another --run-dir"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == lock.stat().st_ino:
                os.ftruncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
                return handle
        os.close(handle)  # its holder has just removed it


def _check_own(lock: Path, handle: int) -> None:
    """Refuses a file at the place of the lock file that no run made: it would be emptied and removed."""
    found = os.fstat(handle)
    regular = stat.S_ISREG(found.st_mode) and found.st_nlink <= 1 and found.st_size <= _LONGEST_ID
    if not (regular and re.fullmatch(rb"\d*", os.pread(handle, _LONGEST_ID, 0))):
        os.close(handle)
        raise RunError(f"{lock}: was made by something else than a run; move it away, or choose another --run-dir")
