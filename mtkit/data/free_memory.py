"""How much memory this process can get: what the machine has free, and what limits leave of it."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

_PROC, _CONTAINER = Path("/proc"), Path("/sys/fs/cgroup")
#: Limit of a control group, what it uses, and what of that can be taken back at once; of version 2, and of version 1.
_GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
#: Limits of the process (`ulimit -v`, `ulimit -d`), and what it uses by /proc/self/status.
_PROCESS_LIMITS = ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData"))


def available(proc: Path = _PROC, container: Path = _CONTAINER) -> int | None:
    """Bytes of memory that this process can get; None where the system does not tell.

    Args:
        proc: what the kernel says of the machine and of the process.
        container: what it says of the limits of control groups, of either version.
    """
    free = _kilobytes(proc / "meminfo").get("MemAvailable")
    if free is None:
        return None
    return max(0, min([free, *_left_by_groups(proc, container), *_left_by_process(proc)]))


def peak_memory() -> float:
    """MiB of memory that this process has taken at most so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _left_by_process(proc: Path) -> Iterator[int]:
    used = _kilobytes(proc / "self/status")
    for limit, name in _PROCESS_LIMITS:
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY and name in used:
            yield soft - used[name]


def _left_by_groups(proc: Path, container: Path) -> Iterator[int]:
    """What the control groups of the process leave, with those above them; containers see theirs at the top."""
    for directory in _groups(proc, container):
        for limit_of, used_of, reclaimable in _GROUP_FILES:
            with contextlib.suppress(OSError, ValueError):  # not there, or "max": no limit
                limit, used = (int((directory / name).read_text(encoding="ascii")) for name in (limit_of, used_of))
                yield limit - used + _statistic(directory / "memory.stat", reclaimable)


def _groups(proc: Path, container: Path) -> Iterator[Path]:
    yield from (container, container / "memory")
    for line in _lines(proc / "self/cgroup"):
        _, kinds, name = line.split(":", 2)
        if kinds in ("", "memory"):
            top = container / kinds
            inner = top / name.lstrip("/")
            yield from (group for group in (inner, *inner.parents) if group != top and group.is_relative_to(top))


def _statistic(path: Path, name: str) -> int:
    return next((int(words[1]) for words in map(str.split, _lines(path)) if words[0] == name), 0)


def _kilobytes(path: Path) -> dict[str, int]:
    """`Name:  123 kB`, in bytes."""
    words = (line.split() for line in _lines(path))
    return {word[0].rstrip(":"): int(word[1]) * 1024 for word in words if len(word) == 3 and word[2] == "kB"}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
