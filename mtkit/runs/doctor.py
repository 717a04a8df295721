"""`mtkit doctor`: what there is to say of the environment, and what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name

from mtkit.data.free_memory import available
from mtkit.files import cache_directory
from mtkit.recipe.registry import LIMIT, OWN, Registry
from mtkit.runs.plugin_checks import misnamed_groups, unmet_requirements

_SWITCH = "TF_USE_LEGACY_KERAS"
_GIGABYTE = 1e9
#: Below which there is little room for a run: of disk, and of memory, in bytes.
_DISK, _MEMORY = 5e9, 2e9
#: Imports the frameworks as a run does, and says which GPUs there are and what is wrong with them.
_IMPORT = """
from mtkit.backend import keras, tf
from mtkit.runtime.unused_gpu import unseen_gpu
print(len(tf.config.list_physical_devices("GPU")))
print(unseen_gpu("auto"))
"""


@dataclass(frozen=True)
class Finding:
    """Something about the environment.

    Attributes:
        level: `ok`; `warning`, what may be meant; `problem`, what runs will fail by.
        what: what was looked at.
        said: what was found.
        fix: what to do; empty = nothing.
    """

    level: Literal["ok", "warning", "problem"]
    what: str
    said: str
    fix: str = ""


def diagnosis() -> Iterator[Finding]:
    """All that there is to say, one after another; TensorFlow is imported in a process of its own."""
    yield from _versions()
    yield _switch()
    yield from _frameworks()
    yield from _plugins()
    yield _cache()
    yield _disk()
    yield _memory()
    yield from _data()


def _versions() -> Iterator[Finding]:
    names = ("mtkit", "tensorflow", "tf-keras", "numpy", "pyarrow", "pydantic")
    found = ", ".join(f"{name} {_version(name)}" for name in names)
    yield Finding("ok", "versions", f"Python {sys.version.split()[0]}, {found}")
    for line in unmet_requirements(OWN):
        said, _, command = line.partition("; run: ")
        yield Finding("problem", "versions", said, command)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _switch() -> Finding:
    given = os.environ.get(_SWITCH)
    if given not in (None, "1", "true", "True"):
        fix = f"unset {_SWITCH}, or set it to 1: mtkit stands on Keras 2"
        return Finding("problem", "Keras", f"{_SWITCH}={given} asks TensorFlow for Keras 3", fix)
    how = "is not set, and mtkit sets it when it is imported" if given is None else f"is {given}"
    fix = "" if given else f"where TensorFlow is imported before mtkit, set {_SWITCH}=1, or import mtkit.backend first"
    return Finding("ok", "Keras", f"{_SWITCH} {how}", fix)


def _frameworks() -> Iterator[Finding]:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _IMPORT],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding("problem", "TensorFlow", f"cannot be imported: {last}", 'pip install --force-reinstall "mtkit"')
        return
    number, *warning = (
        done.stdout.strip().splitlines()[-2:] if done.stdout.strip().count("\n") else [done.stdout.strip()]
    )
    yield Finding("ok", "TensorFlow", "can be imported, with Keras 2")
    if warning and warning[0]:
        yield Finding("warning", "GPU", warning[0])
    else:
        yield Finding(
            "ok",
            "GPU",
            f"{number} seen by TensorFlow" if number != "0" else "none, and none that TensorFlow would miss",
        )


def _plugins() -> Iterator[Finding]:
    registry = Registry.installed()
    distributions = sorted({entry.distribution for entry in registry.entries()} - {OWN})
    limit = os.environ.get(LIMIT)
    said = f"{len(registry.entries())} components of {OWN}{''.join(f', {name}' for name in distributions)}"
    yield Finding("ok", "plugins", said + (f" ({LIMIT}={limit})" if limit is not None else ""))
    known = {canonicalize_name(name) for name in distributions}
    for name in filter(None, (part.strip() for part in (limit or "").split(","))):
        if canonicalize_name(name) not in known | {OWN}:
            yield Finding("warning", "plugins", f"{LIMIT} names {name}, which offers nothing", f"pip install {name}")
    for name in distributions:
        for line in unmet_requirements(name):
            unmet, _, command = line.partition("; run: ")
            yield Finding("problem", "plugins", unmet, command)
    for line in misnamed_groups():
        yield Finding("warning", "plugins", line)


def _cache() -> Finding:
    directory = cache_directory()
    place = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(place, os.W_OK):
        fix = "set MTKIT_CACHE to a directory that can be written"
        return Finding("problem", "cache", f"{directory}: {place} cannot be written", fix)
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) if directory.exists() else 0
    return Finding("ok", "cache", f"{directory}: {size / _GIGABYTE:.2g} GB")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    if free < _DISK:
        fix = "remove old runs, or give another place with --run-dir"
        return Finding("warning", "disk", f"{free / _GIGABYTE:.2g} GB are free in {Path.cwd()}", fix)
    return Finding("ok", "disk", f"{free / _GIGABYTE:.3g} GB are free in {Path.cwd()}")


def _memory() -> Finding:
    free = available()
    if free is None:
        return Finding("ok", "memory", "how much is free cannot be told")
    if free < _MEMORY:
        fix = "end other programs, or raise the limit of the container (or `ulimit -v`)"
        return Finding("warning", "memory", f"{free / _GIGABYTE:.2g} GB are free", fix)
    return Finding("ok", "memory", f"{free / _GIGABYTE:.3g} GB are free")


def _data() -> Iterator[Finding]:
    given = os.environ.get("MTKIT_DATA")
    if given and not Path(given).is_dir():
        yield Finding(
            "warning", "MTKIT_DATA", f"{given} is no directory", "set it to the directory of the published data sets"
        )
