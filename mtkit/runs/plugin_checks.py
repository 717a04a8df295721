"""What is wrong with what is installed: `mtkit plugins --check`. Each module is imported in a process of its own."""

from __future__ import annotations

import difflib
import inspect
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from mtkit.errors import PluginError, nearest
from mtkit.recipe.registry import GROUP, KINDS, Entry, Registry
from mtkit.runs.hooks import RunHooks
from mtkit.spec import Spec

#: What the module of a spec imports inside functions alone.
HEAVY = ("keras", "numpy", "pandas", "pyarrow", "sklearn", "scipy", "tensorflow", "tf_keras", "torch", "transformers")

_SECONDS = 120
_CHECK = "import sys; from mtkit.runs.plugin_checks import report_reasons; report_reasons(sys.argv[1])"
#: What pluggy calls the mark of `@hookimpl`.
_MARK = "mtkit_impl"
_ALIKE = 0.75


def check_plugins(registry: Registry) -> list[str]:
    """What is wrong with components, and with the distributions that offer some, one sentence each."""
    return [
        *dict.fromkeys(check_entries(registry).values()),
        *(reason for entry in _one_of_each(registry) for reason in unmet_requirements(entry.distribution)),
        *misnamed_groups(),
    ]


def check_entries(registry: Registry) -> dict[Entry, str]:
    """Imports everything, one process for each module, and returns what is wrong: entry -> reason."""
    modules: dict[str, list[Entry]] = defaultdict(list)
    named: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in registry.entries():
        modules[entry.value.partition(":")[0]].append(entry)
        named[entry.kind, entry.name].append(entry)
    reasons = {e: reason for entries in modules.values() for e, reason in _check_apart(entries).items()}
    for (kind, name), found in named.items():
        if kind not in KINDS:
            reasons |= dict.fromkeys(found, f"{_whose(found[0])}: there is no kind {kind!r}; {nearest(kind, KINDS)}")
        elif len(found) > 1:
            both = " and ".join(e.distribution for e in found)
            names = " or ".join(f"{e.distribution}:{name}" for e in found)
            message = f"{kind} {name!r} is offered twice, by {both}; recipes have to say which: {names}"
            reasons |= dict.fromkeys(found, message)
    return reasons


def unmet_requirements(distribution: str) -> Iterator[str]:
    """Requirements of a distribution that do not hold, but for those of its extras."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:  # a file of the command line
        return
    for line in lines:
        try:
            wanted = Requirement(line)
        except InvalidRequirement as error:
            yield f"{distribution}: its requirement {line!r} cannot be read: {error}"
            continue
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield f'{distribution} needs {wanted}, which is not installed; run: pip install "{wanted}"'
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            yield f'{distribution} needs {wanted}, but {installed} is installed; run: pip install "{wanted}"'


def misnamed_groups() -> Iterator[str]:
    """Groups of entry points that look like those of mtkit and are none: nobody reads them."""
    points = metadata.entry_points()
    groups = {GROUP + kind: kind for kind in KINDS}
    for group in sorted(points.groups):
        if group.startswith(GROUP) or not re.match(r"m[kit]+[-_.: ]", group):
            continue
        close = difflib.get_close_matches(re.sub(r"[-_: ]", ".", group, count=1), groups, n=1, cutoff=_ALIKE)
        for point in points.select(group=group) if close else ():
            whose = point.dist.metadata["Name"] if point.dist else point.value
            yield f"{whose}: the group {group!r} of {point.name!r} is read by nobody; did you mean {close[0]!r}?"


def _one_of_each(registry: Registry) -> Iterator[Entry]:
    yield from {entry.distribution: entry for entry in registry.entries()}.values()


def _whose(entry: Entry) -> str:
    return f"{entry.kind} {entry.name!r} of {entry.distribution} {entry.version} ({entry.value})"


def _check_apart(entries: list[Entry]) -> dict[Entry, str]:
    command = [sys.executable, "-c", _CHECK, json.dumps([asdict(entry) for entry in entries])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return {entry: f"{_whose(entry)}: the import took more than {_SECONDS} seconds" for entry in entries}
    if done.returncode:
        last = (done.stderr.strip().splitlines()[-1:] or [""])[0]
        message = f"the import ended Python with code {done.returncode}: {last}"
        return {entry: f"{_whose(entry)}: {message}" for entry in entries}
    reasons = json.loads(done.stdout.splitlines()[-1])
    return {entry: reason for entry, reason in zip(entries, reasons, strict=True) if reason}


def report_reasons(entries: str) -> None:
    """Loads entries and prints, as JSON, why each is broken (an empty string where it is not).

    Args:
        entries: JSON list of the fields of entries.
    """
    before = set(sys.modules)
    reasons = [_reason(Entry(**fields), before) for fields in json.loads(entries)]
    sys.stdout.write("\n" + json.dumps(reasons) + "\n")


def _reason(entry: Entry, before: set[str]) -> str:
    try:
        loaded = entry.load()
    except PluginError as error:
        return str(error)
    if isinstance(loaded, type) and issubclass(loaded, Spec) and (heavy := sorted({*HEAVY} & {*sys.modules} - before)):
        return f"{_whose(entry)}: its module imports {', '.join(heavy)}, which makes every check slow; import inside functions"
    return (
        "; ".join(f"{_whose(entry)}: {mistake}" for mistake in hook_mistakes(loaded)) if entry.kind == "hooks" else ""
    )


def hook_mistakes(cls: type) -> Iterator[str]:
    """Methods of a class with hooks that nobody calls: of other names, or not marked."""
    known = [name for name, _ in inspect.getmembers(RunHooks, inspect.isfunction)]
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        marked = hasattr(method, _MARK)
        if marked and name not in known:
            yield f"there is no hook {name!r}; {nearest(name, known)}"
        elif not marked and name in known:
            yield f"{name!r} is not marked with @hookimpl, so nobody calls it"
        elif not marked and not name.startswith("_") and (close := _misspelt(name, known)):
            yield f"{name!r} is no hook, and not marked with @hookimpl; did you mean {close!r}?"


def _misspelt(name: str, known: list[str]) -> Any:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)), None)
