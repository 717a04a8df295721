"""What holds of the specs of all kinds, of exporters, and of hooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtkit.errors import PluginError, RunError
from mtkit.recipe.toml_writer import toml_document
from mtkit.runs.hooks import relay_of
from mtkit.spec import BASES, Exporter, Spec
from mtkit.testing.assertions import assert_draws_apart

HEAVY = ("keras", "numpy", "pandas", "pyarrow", "sklearn", "tensorflow", "tf_keras", "transformers")


def check_import_is_light(module: str, heavy: Sequence[str] = HEAVY) -> None:
    """Importing `module`, in a process of its own, imports none of the packages `heavy`."""
    code = f"import sys, {module}; print(*sorted(set({list(heavy)!r}) & set(sys.modules)))"
    # A switch that this process has set would hide that `module` does not set it.
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, f"import {module} failed:\n{done.stderr}"
    found = done.stdout.split()
    assert not found, f"import {module} imports {', '.join(found)}; import them inside functions"


def check_spec(spec: Spec) -> None:
    """The spec belongs to a kind, is documented, refuses unknown keys and changes, and survives JSON."""
    cls, kind = type(spec), getattr(type(spec), "kind", "")
    # Hooks with options are specs of no kind.
    if kind:
        assert issubclass(cls, BASES[kind]), f"{cls.__name__}: kind {kind!r} is that of {BASES[kind].__name__}"
    assert cls.__doc__, f"{cls.__name__} has no docstring"
    values = json.loads(spec.model_dump_json())
    again = cls.model_validate_json(json.dumps(values), strict=True)
    assert again == spec, f"{spec!r} comes back from JSON as {again!r}"
    _check_lock(spec)
    with assert_draws_apart(f"to make a {cls.__name__}"):
        cls.model_validate_json(json.dumps(values), strict=True)
    _assert_refused(lambda: cls.model_validate(values | {"no_such_key": 1}), f"{cls.__name__} accepts unknown keys")
    _assert_refused(lambda: setattr(spec, next(iter(values), "x"), None), f"{cls.__name__} is not frozen")
    undescribed = [name for name, field in cls.model_fields.items() if not field.description]
    assert not undescribed, f"{cls.__name__}: fields {undescribed} have no description"
    json.dumps(cls.model_json_schema())


def _check_lock(spec: Spec) -> None:
    """What a lock keeps of a spec, as TOML, gives an equal one: None is left out there, and so has to be its default."""
    cls = type(spec)
    plain = spec.model_dump(mode="json", by_alias=True, round_trip=True, exclude_none=True)
    read = tomllib.loads(toml_document({"part": plain})).get("part", {})
    try:
        again = cls.model_validate_json(json.dumps(read, default=str), strict=True)
    except ValidationError as error:
        raise AssertionError(f"what a lock keeps of {spec!r} is refused when it is read: {error}") from error
    assert again == spec, f"{spec!r} comes back from a lock as {again!r}"


def check_exporter(spec: Exporter, pipeline: Any, directory: Path) -> None:
    """A version of its own each time, and nothing else is changed or left behind.

    What is a SavedModel answers in a process with TensorFlow alone as it does here.

    Args:
        spec: the exporter.
        pipeline: what it exports.
        directory: an empty directory.
    """
    first = spec.export(pipeline, directory)
    written = _contents(first)
    assert written, f"{first} holds no files"
    second = spec.export(pipeline, directory)
    assert first.parent == second.parent == directory, f"expected versions in {directory}, got {first} and {second}"
    assert second != first, f"{first} is written over"
    assert _contents(first) == written, f"the next export changes {first}"
    if (first / "saved_model.pb").exists():
        from mtkit.serving.reload import check_saved

        try:
            check_saved(first)
        except RunError as error:
            raise AssertionError(str(error)) from error
    left = {path.name for path in directory.iterdir()} - {first.name, second.name}
    assert not left, f"export leaves {sorted(left)} behind"


def _contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def check_hooks(plugin: Any) -> None:
    """The class, or spec, implements hooks that there are, with arguments that they have.

    Args:
        plugin: a class without arguments, or an instance.
    """
    try:
        relay_of({"plugin": plugin})
    except PluginError as error:
        raise AssertionError(str(error)) from error


def _assert_refused(act: Any, message: str) -> None:
    try:
        act()
    except ValidationError:
        return
    raise AssertionError(message)
