"""Errors that a user can cause. The command line shows them as text, without traceback, and exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mtkit.shown import shown

#: Characters of a key that a message quotes whole.
_LONGEST_KEY = 160


class MtkitError(Exception):
    """A mistake in what the user gave: a recipe, data, a plugin, the environment.

    `str()` is the whole message, as it may be shown: without values from the environment, control characters escaped.
    """

    exit_code = 2
    #: Keras writes the arguments of a call around the messages of exceptions, but for those that say that it did.
    _keras_call_info_injected = True

    def __str__(self) -> str:
        return shown(super().__str__())


class DataError(MtkitError):
    """Data that do not fit what was declared."""


class NoRowsError(DataError):
    """A part of a row table would be empty."""


class PluginError(MtkitError):
    """A plugin that is missing, broken, or offers a name that another one offers too."""


class ComponentError(PluginError):
    """A component that failed in its own code.

    Attributes:
        path: the keys of its table in the recipe.
        message: who it is, and what happened there.
        place: file and line of the table; empty where the recipe is not known.
        origin: the component's own error.
    """

    def __init__(
        self, path: Sequence[str | int], message: str, place: str = "", origin: BaseException | None = None
    ) -> None:
        # Not `__cause__`: Keras takes that away from errors that pass through its layers.
        self.path, self.message, self.place, self.origin = tuple(path), message, place, origin
        where = ": ".join(filter(None, (place, ".".join(map(str, path)))))
        super().__init__(f"{where}: {message}")


class StopRun(MtkitError):  # noqa: N818 - a request, and no mistake
    """What a hook or a callback raises to end the run; what else it raises is a warning, and the run goes on."""


class WiringError(MtkitError):
    """Components that cannot be connected as the recipe asks."""


class StrategyError(MtkitError):
    """A strategy that does not fit the machine, or a component that does not fit the strategy."""


class KerasVersionError(MtkitError, ImportError):
    """TensorFlow was imported with Keras 3 before mtkit."""


class RunError(MtkitError):
    """A run directory that cannot be used as asked."""


class ModelWarning(UserWarning):
    """What makes a trained model of no use; runs keep it in their record."""


@dataclass(frozen=True)
class Problem:
    """One mistake at one place of a recipe: `file:line:column: key: message`.

    Attributes:
        place: where it is.
        key: of the value that is wrong.
        message: what was expected, and what was given.
        excerpt: the line in which it stands, and carets below; empty where there is no line.
    """

    place: str
    key: str
    message: str
    excerpt: str = ""

    def __str__(self) -> str:
        if not self.key:
            return f"{self.place}: {self.message}"
        key = self.key if len(self.key) <= _LONGEST_KEY else f"{self.key[: _LONGEST_KEY // 2]}…{self.key[-20:]}"
        return f"{self.place}: {key}: {self.message}"


class RecipeError(MtkitError):
    """All mistakes found in a recipe, each in one line, with its excerpt below."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join("\n".join(filter(None, (str(p), p.excerpt))) for p in self.problems))


class DeclarationError(RecipeError, ValueError):
    """All mistakes in the options of a component, a section or a column that is made in Python, one line each."""


def shortage(error: BaseException) -> str:
    """What to tell the user of an error that says that memory is not enough; empty for any other.

    TensorFlow's error is told by its name, for nothing here imports TensorFlow.
    """
    if isinstance(error, ImportError) and "failed to map" in str(error):
        return f"out of memory: {error}\nnot even the libraries can be loaded; raise the limit (`ulimit -v`)"
    if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
        return ""
    return (
        f"out of memory: {_what_failed(str(error))}\n"
        "lower rows.*.batch_size, `dim`, `length` or `units` of encoders, correlations and tasks, `count` of windows, or "
        "evaluate.block; draw fewer rows (`sample`, `eval_sample`); or raise data.catalog.*.min_count"
    )


def _what_failed(message: str) -> str:
    """The line of a message that says what was not allocated; Keras puts the name of a layer before it."""
    lines = [line.split("}}")[-1].strip() for line in message.splitlines() if line.strip()]
    said = (line for line in lines if "alloca" in line)
    return next(said, lines[0] if lines else "the system gave no more")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them.

    Args:
        name: what was given.
        known: the valid names.

    Returns:
        `did you mean 'x'? (known: x, y)`, `known: x, y`, or `there are none`.
    """
    names = sorted(set(known))
    if not names:
        return "there are none"
    everything = f"known: {', '.join(names)}"
    close = meant(name, names)
    return f"{close} ({everything})" if close else everything


def meant(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or nothing where no known name is near."""
    close = difflib.get_close_matches(name, sorted(set(known)), n=1)
    return f"did you mean {close[0]!r}?" if close else ""
