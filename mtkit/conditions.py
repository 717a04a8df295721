"""Conditions on declared columns: which interactions are meant. Tables that say it, no expressions; no NumPy at import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, RootModel, model_serializer, model_validator

Scalar = bool | int | float | str


class Test(BaseModel):
    """What the value of one column has to be. Several keys hold together; a null holds for `null = true` alone.

    Attributes:
        any_of: one of these; empty = any.
        none_of: none of these.
        at_least: the least number.
        above: a number that it is larger than.
        at_most: the largest number.
        below: a number that it is smaller than.
        null: whether there is no value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    any_of: tuple[Scalar, ...] = ()
    none_of: tuple[Scalar, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    null: bool | None = None

    @classmethod
    def of(cls, given: Any) -> Any:
        """What a recipe says as a table of tests: a value stands for itself, a list for any of its values."""
        if isinstance(given, Test):
            return given
        if not isinstance(given, dict):
            given = {"any_of": given if isinstance(given, list | tuple) else [given]}
        # Before this, values were JSON, where arrays are tuples; from here on they are not.
        return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}

    @model_validator(mode="after")
    def _asks_something(self) -> Test:
        if not self.model_fields_set:
            raise ValueError("asks nothing; expected a value, a list of values, or a table such as {at_least = 4}")
        if self.null and len(self.model_fields_set) > 1:
            raise ValueError("what is null has no value; give `null = true` alone, or another table beside this one")
        return self

    @model_serializer
    def _as_given(self) -> Any:
        given: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        given = {name: value for name, value in given.items() if value not in (None, ())}
        if set(given) == {"any_of"}:
            return self.any_of[0] if len(self.any_of) == 1 else list(self.any_of)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    @property
    def bounds(self) -> dict[str, float]:
        """Comparison (`>=`, `>`, `<=`, `<`) -> number."""
        given = {">=": self.at_least, ">": self.above, "<=": self.at_most, "<": self.below}
        return {sign: bound for sign, bound in given.items() if bound is not None}

    @property
    def values(self) -> tuple[Scalar, ...]:
        """The values that it names."""
        return (*self.any_of, *self.none_of)

    def in_words(self, column: str) -> str:
        """As in `event = buy`, or `rating >= 4`."""
        parts = [f"{column} {sign} {bound:g}" for sign, bound in self.bounds.items()]
        if self.any_of:
            parts.append(f"{column} {_among(self.any_of, '=', 'in')}")
        if self.none_of:
            parts.append(f"{column} {_among(self.none_of, '!=', 'not in')}")
        if self.null is not None:
            parts.append(f"{column} is {'' if self.null else 'not '}null")
        return " and ".join(parts)


class Where(RootModel[tuple[Mapping[str, Test], ...]]):
    """Which interactions are meant: those for which one of the tables holds; a table holds if all its columns do.

    In a recipe a table `{event = "buy", price = {at_least = 10}}`, or a list of such tables, of which any may hold.
    """

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _tables(cls, given: Any) -> Any:
        if isinstance(given, dict):
            given = [given]
        if not isinstance(given, list | tuple) or not given or not all(isinstance(t, dict) and t for t in given):
            raise ValueError(
                'expected a table of columns and their values, such as {event = "buy"}, a list of such tables, or the name '
                "of a table [events.NAME]"
            )
        return tuple({column: Test.of(value) for column, value in table.items()} for table in given)

    @classmethod
    def __get_pydantic_json_schema__(cls, source: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """As recipes write it: a table, a list of tables, or the name of events."""
        del source
        values = {"type": ["string", "number", "boolean"]}
        test = {"anyOf": [values, {"type": "array", "items": values}, handler(Test.__pydantic_core_schema__)]}
        table = {"type": "object", "minProperties": 1, "additionalProperties": test}
        return {"anyOf": [table, {"type": "array", "items": table, "minItems": 1}, {"type": "string"}]}

    def __hash__(self) -> int:
        # Tables are mappings, whose order says nothing.
        return hash(frozenset(self.columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that it looks at."""
        return tuple(dict.fromkeys(column for table in self.root for column in table))

    def tests(self) -> Iterator[tuple[str, Test]]:
        """Every column with what is asked of it."""
        for table in self.root:
            yield from table.items()

    def in_words(self) -> str:
        """As in `event = buy`; several tables with `or` between them."""
        tables = [" and ".join(test.in_words(column) for column, test in table.items()) for table in self.root]
        return tables[0] if len(tables) == 1 else " or ".join(f"({table})" for table in tables)


def where_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """Names of the fields of a model that are conditions."""
    return tuple(
        name
        for name, field in model.model_fields.items()
        if field.annotation is Where or (Where in get_args(field.annotation) and name not in where_lists(model))
    )


def where_lists(model: type[BaseModel]) -> tuple[str, ...]:
    """Names of the fields of a model that are lists of conditions."""
    return tuple(name for name, field in model.model_fields.items() if field.annotation == tuple[Where, ...])


def as_text(value: Scalar) -> str:
    """A value as columns of categories hold it: booleans in lower case, whole numbers without a point."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _among(values: tuple[Scalar, ...], one: str, several: str) -> str:
    shown = [as_text(value) for value in values]
    return f"{one} {shown[0]}" if len(shown) == 1 else f"{several} ({', '.join(shown)})"
