"""Whose fault an exception is: of the component in whose code it was raised, told by its name, distribution and place.

Whatever the core asks a component, and wherever, the traceback shows it: so no call has to be wrapped where it is made, but
those into layers, which compiled functions hide (`mtkit.model.contracts`). Exceptions of mtkit's own components are bugs.
"""

from __future__ import annotations

import contextlib
import functools
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from mtkit.errors import ComponentError, MtkitError, shortage
from mtkit.recipe.registry import Registry
from mtkit.recipe.toml_positions import KeyPath
from mtkit.shown import shown

P = ParamSpec("P")
R = TypeVar("R")

#: What Keras writes around the message of an exception that a layer raised.
_KERAS = re.compile(r"^Exception encountered when calling .*?\n\n(.*?)\n\nCall arguments", re.DOTALL)
#: Packages whose frames say nothing about where a plugin failed.
_FRAMEWORKS = ("mtkit", "tensorflow", "tf_keras", "keras", "pydantic", "pluggy")


def is_own(component: Any) -> bool:
    """Whether a component, or its class, is mtkit's own."""
    return _package(_class(component).__module__) == "mtkit"


def blamed(path: KeyPath, component: Any, error: BaseException, place: str = "", hint: str = "") -> ComponentError:
    """The error of a component, as it is told.

    Args:
        path: the keys of its table.
        component: it, or its class.
        error: what its code raised.
        place: file and line of the table.
        hint: what is to be done.
    """
    parts = [
        f"{Registry.installed().whose(_class(component))} failed{_at(error)}: {type(error).__name__}: {said(error)}"
    ]
    parts += [hint] if hint else []
    return ComponentError(path, "; ".join([*parts, "mtkit -v shows its traceback"]), place, error)


def said(error: BaseException) -> str:
    """The message of an exception, without what Keras writes around it."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    found = _KERAS.search(text)
    return " ".join((found.group(1) if found else text).split())


def trace(error: ComponentError) -> str:
    """The traceback of a component's own error, without values from the environment; empty where there is none."""
    return shown("".join(traceback.format_exception(error.origin))) if error.origin else ""


@contextlib.contextmanager
def blaming(components: Mapping[KeyPath, Any], place: Any = None) -> Iterator[None]:
    """Turns exceptions from the code of plugins into messages that say whose they are.

    Args:
        components: keys of the table -> spec or class, of which those of plugins are blamed.
        place: from keys to file and line; default: nothing is said of them.

    Raises:
        ComponentError: a component of a plugin raised what is no `MtkitError`.
    """
    try:
        yield
    except ComponentError as error:
        if error.place or place is None:
            raise
        raise ComponentError(error.path, error.message, place(error.path), error.origin) from error.origin
    except MtkitError:
        raise
    except Exception as error:
        if shortage(error) or (found := _culprit(error.__traceback__, components)) is None:
            raise
        path, component = found
        raise blamed(path, component, error, place(path) if place else "") from error


def of_recipe(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose first argument is a recipe, from which exceptions of the recipe's plugins come as messages."""

    @functools.wraps(function)
    def told(*arguments: P.args, **options: P.kwargs) -> R:
        recipe: Any = arguments[0] if arguments else options["recipe"]
        with recipe.blaming():
            return function(*arguments, **options)

    return told


def _culprit(trace: TracebackType | None, components: Mapping[KeyPath, Any]) -> tuple[KeyPath, Any] | None:
    """The component of a plugin in whose methods the exception was raised, or else in whose package."""
    foreign = {path: component for path, component in components.items() if not is_own(component)}
    frames = [frame for frame, _ in traceback.walk_tb(trace)][::-1]
    acting = [frame.f_locals.get("self", frame.f_locals.get("cls")) for frame in frames]
    for one in acting:
        for path, component in foreign.items():
            if one is component or (isinstance(component, type) and isinstance(one, component)):
                return path, component
    for frame, one in zip(frames, acting, strict=True):
        package = _package(frame.f_globals.get("__name__", ""))
        alike = {path: c for path, c in foreign.items() if _package(_class(c).__module__) == package}
        # Layers are called as their table is.
        named = [path for path in alike if path[-1] == getattr(one, "name", None)]
        if alike:
            path = (named or list(alike))[0]
            return path, alike[path]
    return None


def _class(component: Any) -> type:
    return component if isinstance(component, type) else type(component)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _at(error: BaseException) -> str:
    """Where in its own code a component failed: ` at FILE:LINE`."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if _package(frame.f_globals.get("__name__", "")) not in _FRAMEWORKS:
            return f" at {Path(frame.f_code.co_filename).name}:{line}"
    return ""
