"""What values a model allows at a place, in words: what is expected, which keys there are, and what they are for."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, Field, RootModel
from pydantic.fields import FieldInfo

from mtkit.errors import nearest

#: What is said of a text whose form has no words.
UNTOLD = "text of a certain form"
#: Regular expression -> what texts look like that it matches.
_FORMS: dict[str, str] = {}
_PLAIN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    date: "a date such as 2024-01-31",
    datetime: "a date and time such as 2024-01-31T12:00:00",
    timedelta: 'a duration such as "28d"',
}
_BOUNDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}


def form(pattern: str, words: str, description: str | None = None) -> Any:
    """A pydantic field of texts that a regular expression matches; messages say the words, and never the expression."""
    _FORMS[pattern] = words
    return Field(pattern=pattern, description=description)


class Kind(NamedTuple):
    """A type that is no union, with what limits it."""

    type: Any
    limits: Sequence[Any] = ()

    def limit(self, name: str) -> Any:
        """The first limit of this name (`ge`, `max_length`, `pattern`); None where there is none."""
        return next((found for mark in self.limits if (found := getattr(mark, name, None)) is not None), None)


def expected(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """What a value at a path has to be, in words; empty where they fail.

    Args:
        model: the class.
        path: keys and indices, of values that are there.
    """
    words = [_words(kind) for kind in _at(model, path)]
    return _either(list(dict.fromkeys(words))) if all(words) else ""


def described(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """What a key is for, by the description of its field; empty where there is none."""
    *around, key = path
    fields = (kind.type.model_fields.get(str(key)) for kind in _models(model, around))
    return next((field.description for field in fields if field and field.description), "")


def keys(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys of a table at a path."""
    return [key for kind in _models(model, path) for key in kind.type.model_fields]


def unknown_key(key: str, known: Sequence[str]) -> str:
    """The message about a key that does not exist."""
    return f"unknown key; {nearest(key, known)}" if known else "unknown key"


def _models(model: type[BaseModel], path: Sequence[str | int]) -> list[Kind]:
    return [kind for kind in _at(model, path) if _is(kind.type, BaseModel) and not _is(kind.type, RootModel)]


def _is(found: Any, base: type) -> bool:
    return isinstance(found, type) and issubclass(found, base)


def _at(model: type[BaseModel], path: Sequence[str | int]) -> list[Kind]:
    """What may stand at a path: each member of a union for itself."""
    kinds = [Kind(model)]
    for part in path:
        kinds = [inner for kind in kinds for inner in _inside(kind, part)]
    return kinds


def _inside(kind: Kind, part: str | int) -> Iterator[Kind]:
    """What may stand in a value of a kind, at a key or an index."""
    origin, arguments = get_origin(kind.type) or kind.type, get_args(kind.type)
    if _is(kind.type, RootModel):
        for inner in _kinds(kind.type.model_fields["root"].annotation):
            yield from _inside(inner, part)
    elif _is(kind.type, BaseModel):
        fields = kind.type.model_fields.items()
        found = next((field for name, field in fields if part in (name, field.alias)), None)
        if found:
            yield from _kinds(found.annotation, found.metadata)
    elif _is(origin, Mapping) and len(arguments) == 2 and isinstance(part, str):
        yield from _kinds(arguments[1])
    elif _is(origin, Sequence) and arguments and isinstance(part, int):
        fixed = origin is tuple and arguments[-1] is not ...
        if not fixed or part < len(arguments):
            yield from _kinds(arguments[part if fixed else 0])


def _kinds(annotation: Any, limits: Sequence[Any] = ()) -> Iterator[Kind]:
    """The members of a type, each with what limits it; None is left out, for recipes cannot say it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        more = [inner for mark in arguments[1:] for inner in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
        yield from _kinds(arguments[0], [*limits, *more])
    elif origin in (Union, types.UnionType):
        for member in arguments:
            yield from _kinds(member, limits)
    elif annotation is not type(None):
        yield Kind(annotation, limits)


def _words(kind: Kind) -> str:
    origin, arguments = get_origin(kind.type) or kind.type, get_args(kind.type)
    if origin is Literal:
        return _either([repr(value) for value in arguments])
    if _is(origin, BaseModel):
        return "" if _is(origin, RootModel) else _table(list(origin.model_fields))
    if _is(origin, Mapping):
        return _counted("a table", kind, "key") + _each("value", arguments[1:])
    if _is(origin, Sequence) and not _is(origin, str):
        return _list(kind, arguments)
    if _is(origin, str):
        return _text(kind)
    plain = _PLAIN.get(origin, "")
    return f"{plain}{_bounds(kind)}" if origin in (int, float) else plain


def _table(fields: Sequence[str]) -> str:
    if not fields:
        return ""  # a kind of components, which have keys of their own
    return f"a table with {'the key' if len(fields) == 1 else 'some of the keys'} {', '.join(fields)}"


def _list(kind: Kind, arguments: tuple[Any, ...]) -> str:
    if arguments and arguments[-1] is not ... and get_origin(kind.type) is tuple:
        return f"a list of {len(arguments)} elements"
    return _counted("a list", kind, "element") + _each("", arguments[:1])


def _each(what: str, arguments: Sequence[Any]) -> str:
    """What each element, or value, of a list or table has to be."""
    words = [_words(kind) for argument in arguments for kind in _kinds(argument)]
    return f", each {what + ' ' if what else ''}{_either(words)}" if words and all(words) else ""


def _text(kind: Kind) -> str:
    if pattern := kind.limit("pattern"):
        return _FORMS.get(getattr(pattern, "pattern", pattern), UNTOLD)
    return getattr(kind.type, "LOOKS", "") or _counted("text", kind, "character")


def _counted(what: str, kind: Kind, one: str) -> str:
    """What has a length, with the bounds of that."""
    least, most = kind.limit("min_length"), kind.limit("max_length")
    told = [f"at least {least}"] * bool(least) + [f"at most {most}"] * (most is not None)
    return f"{what} of {' and '.join(told)} {one}{'s' * ((most or least) != 1)}" if told else what


def _bounds(kind: Kind) -> str:
    low, high = kind.limit("ge"), kind.limit("le")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    given = [f"{word} {bound}" for name, word in _BOUNDS.items() if (bound := kind.limit(name)) is not None]
    return f" {' and '.join(given)}" if given else ""


def _either(words: Sequence[str]) -> str:
    """`a, b or c`; what has an `or` of its own comes after a comma, too."""
    last = ", or " if any(" or " in word for word in words[:-1]) else " or "
    return last.join(filter(None, (", ".join(words[:-1]), *words[-1:])))
