"""Models that are declared, in recipes or in Python: what is wrong with their values is said in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mtkit.allowed import UNTOLD, described, expected, keys, unknown_key
from mtkit.errors import DeclarationError, Problem, meant

if TYPE_CHECKING:  # pydantic's metaclass has no public name, and type checkers no other
    from pydantic._internal._model_construction import ModelMetaclass as _Metaclass
else:
    _Metaclass = type(BaseModel)

#: Characters of a value that a message shows.
_SHOWN = 80

#: What pydantic quotes of the values that it would take.
_QUOTED = re.compile("'([^']*)'")

#: What is expected of a number that is inf or nan.
_FINITE = {"finite_number": "a finite number"}

#: Keys from the outside in; elements of lists by index.
Location = tuple[str | int, ...]


class _Declaring(_Metaclass):
    """Calls of the class raise errors of mtkit's; values that are read from recipes do not pass here."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        if args:
            message = f"takes its options by name, got {brief(args[0])} without one"
            raise DeclarationError([Problem(self.__name__, "", message)])
        try:
            return super().__call__(**options)
        except ValidationError as error:
            raise DeclarationError(_problems(error, self, options)) from None


class Declared(BaseModel, metaclass=_Declaring):
    """A frozen model that refuses unknown keys.

    Raises:
        DeclarationError: options are missing, unknown or not what they have to be.
    """

    # Validators are made when a class is first used: a recipe uses few of those that its modules have.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def _problems(error: ValidationError, model: Any, options: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for found in independent(error):
        where = existing(found["loc"], options)
        got = brief(at(options, where)) if where else ""
        path, message = explained(found, model, where, got, model.model_fields)
        problems.append(Problem(model.__name__, written(path), message))
    return list(dict.fromkeys(problems))


def independent(error: ValidationError) -> list[Any]:
    """What pydantic found, without lists that are too short because their elements are wrong."""
    found = error.errors()
    lists = {each["loc"][:-1] for each in found}
    return [each for each in found if each["type"] != "too_short" or each["loc"] not in lists]


def explained(
    error: Mapping[str, Any], model: type[BaseModel], where: Location, got: str, known: Iterable[str]
) -> tuple[Location, str]:
    """Where an error of pydantic's is, and a sentence that says what was expected.

    Args:
        error: as pydantic lists it.
        model: whose values are wrong.
        where: the part of the error's location that there is among the values.
        got: the value there, as text; empty if there is none.
        known: keys that the model may have.
    """
    if error["type"] == "missing":
        location = (*where, error["loc"][-1])
        wanted = described(model, location)
        return location, f"is missing; expected {wanted}" if wanted else "is missing"
    if error["type"] == "extra_forbidden":
        return where, unknown_key(str(where[-1]), [*known] if len(where) == 1 else keys(model, where[:-1]))
    message = _sentence(error, expected(model, where) if where else "")
    if error["type"] == "string_pattern_mismatch" and UNTOLD in message and (use := described(model, where)):
        message += f" ({use})"
    # What is wrong with a table as a whole says itself which of its values are.
    if where and got:
        message += f", got {got}"
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        near = meant(error["input"], _QUOTED.findall(error["ctx"]["expected"]))
        message += f"; {near}" if near else ""
    return where, message


def _sentence(error: Mapping[str, Any], wanted: str) -> str:
    """What was expected: by the component itself, or by the type of the field."""
    inner = error.get("ctx", {}).get("error")
    if isinstance(inner, DeclarationError):
        return "; ".join(": ".join(filter(None, (p.key, p.message))) for p in inner.problems)
    if error["type"] in ("value_error", "assertion_error"):
        message = re.sub("^(Value error, |Assertion failed, )", "", error["msg"])
        return message[:1].lower() + message[1:]
    if error["type"] == "is_instance_of" or (error["type"] == "model_type" and not wanted):
        return f"expected a {error['ctx'].get('class') or error['ctx']['class_name']}"
    return f"expected {_FINITE.get(error['type']) or wanted or _pydantic(error)}"


def _pydantic(error: Mapping[str, Any]) -> str:
    """What pydantic itself says is expected, of types that have no words; never a regular expression."""
    if error["type"] == "string_pattern_mismatch":
        return "text of another form"
    message = re.sub("^[A-Z][a-z]* should (be|have) ", "", error["msg"])
    return message[:1].lower() + message[1:]


def existing(location: Sequence[str | int], values: Any) -> Location:
    """The parts of an error's location that are keys of the values; the others name members of unions."""
    path: list[str | int] = []
    for part in location:
        if has(values, part):
            values = values[part]
            path.append(part)
    return tuple(path)


def has(value: Any, part: str | int) -> bool:
    """Whether a value is a table with this key, or a list with this index."""
    if isinstance(part, int):
        return isinstance(value, list | tuple) and part < len(value)
    return isinstance(value, Mapping) and part in value


def at(values: Any, path: Location) -> Any:
    """The value at a path, None where there is none (TOML has no null)."""
    for part in path:
        if not has(values, part):
            return None
        values = values[part]
    return values


def written(path: Location) -> str:
    """A path as code writes it: `columns.price.kind`, `reads[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def brief(value: Any) -> str:
    """A value of Python in a message: plain ones as they are written, components and frames by their type."""
    if isinstance(value, BaseModel | type) or not isinstance(
        value, str | int | float | list | tuple | dict | None.__class__
    ):
        name = value.__name__ if isinstance(value, type) else type(value).__name__
        return f"the class {name}" if isinstance(value, type) else f"a {name}"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
