"""The format of recipes as a JSON schema (draft 2020-12), with the options of all components that are installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from mtkit.errors import PluginError
from mtkit.recipe.component_reader import NAME
from mtkit.recipe.inheritance import EXTENDS
from mtkit.recipe.loader import Recipe
from mtkit.recipe.reader import AUTO
from mtkit.recipe.registry import Registry
from mtkit.recipe.sections import MEASURES, REQUIRED, SECTIONS, Section
from mtkit.recipe.settings import Catalog, Evaluate, Header, Silence
from mtkit.spec import BASES, Spec

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAMED = {"propertyNames": {"pattern": f"^{NAME.pattern}$"}}
#: A string that stands for another one.
_REFERENCE = {"$ref": "#/$defs/reference"}
#: How texts of a format look, which few validators check; durations are written otherwise here than ISO 8601 has them.
_FORMATS = {
    "duration": r"^\s*(\d+(\.\d+)?\s*(w|d|h|min|s)\s*)+$|^-?P[0-9YMWDTHS.]+$|^\d+ days?|^\d\d:\d\d",
    "date": r"^\d{4}-\d\d-\d\d$",
    "date-time": r"^\d{4}-\d\d-\d\d",
}
_OF_STRINGS = {"enum", "const", "pattern", "format", "minLength", "maxLength"}
#: What is said of a value, and not which values there are.
_SAID = ("description", "default", "deprecated", "examples")


def recipe_schema(registry: Registry | None = None) -> Schema:
    """The schema: a table for each section, a choice by `use` for each component.

    A recipe that extends another one may leave out what that says; all others have to have what is required.

    Args:
        registry: the components; default: the installed ones.
    """
    return _Writer(registry or Registry.installed()).schema()


class _Generator(GenerateJsonSchema):
    """What JSON does not have is anything: options that are given in Python alone."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        del schema, error_info
        return {}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Defaults that JSON cannot have are left out."""


class _Writer:
    def __init__(self, registry: Registry) -> None:
        self._models = {kind: _loaded(registry, kind) for kind in (*BASES, "hooks")}
        self._names = {kind: registry.names(kind) for kind in ("strategy", "callback")}
        settings = [model for section in SECTIONS if (model := _settings(section))]
        specs = [model for models in self._models.values() for model in models.values() if model]
        wanted: list[type[BaseModel]] = list(dict.fromkeys([*specs, *settings, Header, Catalog, Silence, Evaluate]))
        asked: list[tuple[Any, Literal["validation"]]] = [(model, "validation") for model in wanted]
        schemas, found = models_json_schema(asked, schema_generator=_Generator)
        self._defs: Mapping[str, Schema] = {name: _clean(schema) for name, schema in found.get("$defs", {}).items()}
        self._keys = {model: schemas[model, "validation"]["$ref"].rpartition("/")[2] for model in wanted}

    def schema(self) -> Schema:
        header = self._of(Header)
        tables = {section.name: self._section(section) for section in SECTIONS}
        below = {"type": "string", "description": "the recipe that this one changes, from here"}
        whole = {"required": [*header.get("required", ()), *REQUIRED], "properties": dict(self._whole())}
        asked = set(_references(list(self._defs.values())))
        used = {key: schema for key, schema in self._defs.items() if key in asked}
        options = {
            f"{kind}.{name}": self._component(kind, name) for kind in self._models for name in self._models[kind]
        }
        reference = {"type": "string", "pattern": r"\$\{(env:|recipe\.dir\})"}
        return {
            "$schema": DIALECT,
            "title": "mtkit recipe",
            "type": "object",
            "properties": {EXTENDS: below, **header["properties"], **tables},
            "additionalProperties": False,
            "if": {"not": {"required": [EXTENDS]}},
            "then": whole,
            "$defs": {"reference": reference, **used, **options},
        }

    def _of(self, model: type[BaseModel]) -> Schema:
        return self._defs[self._keys[model]]

    def _section(self, section: Section) -> Schema:
        if section.name == "evaluate":
            return self._evaluate()
        if section.name == "data":
            return self._choice("data_source", self._data)
        if section.kind == "hooks":
            return self._hooks()
        if section.kind:
            choice = self._choice(section.kind)
            return {"type": "object", "additionalProperties": choice, **_NAMED} if section.named else choice
        model = _settings(section)
        assert model, section
        schema = _optional(self._of(model))
        if section.name == "train":
            strategy = {**schema["properties"]["strategy"], "enum": list(self._names["strategy"])}
            schema = {**schema, "properties": {**schema["properties"], "strategy": strategy}}
        return {"type": "object", "additionalProperties": schema, **_NAMED} if section.named else schema

    def _choice(self, kind: str, beside: Mapping[str, Any] | None = None) -> Schema:
        """A table with `use` and the options of that component, or without, as a recipe that extends another may have."""
        names = [*self._models.get(kind, {})]
        if beside is None:
            made: list[Schema] = [{"$ref": f"#/$defs/{kind}.{name}"} for name in names]
        else:
            made = [self._component(kind, name, beside) for name in names]
        open_table: Schema = {"type": "object", "not": {"required": ["use"]}}
        if beside:
            open_table["properties"] = dict(beside)
        return {"type": "object", "oneOf": [*made, open_table]}

    def _component(self, kind: str, name: str, beside: Mapping[str, Any] | None = None) -> Schema:
        model = self._models[kind][name]
        own: Schema = _optional(self._of(model)) if model else {"type": "object"}
        use = {"const": name, "description": own.get("description", "")}
        options: Schema = own.get("properties", {})
        properties = {"use": use, **options, **(beside or {})}
        return {**own, "properties": properties, "required": ["use"]}

    @property
    def _data(self) -> Schema:
        """What stands in `[data]` beside the options of the source."""
        catalog = {"type": "object", "additionalProperties": _optional(self._of(Catalog))}
        return {"split": self._choice("split"), "catalog": catalog, **self._of(Silence)["properties"]}

    def _hooks(self) -> Schema:
        """Tables that are called as their plugin, or name it."""
        called = {name: {**self._component("hooks", name), "required": []} for name in self._models["hooks"]}
        return {"type": "object", "properties": called, "additionalProperties": self._choice("hooks"), **_NAMED}

    def _evaluate(self) -> Schema:
        own = _optional(self._of(Evaluate))
        lists = {key: self._list(kind, own["properties"][key]) for key, kind in MEASURES.items()}
        return {**own, "properties": {**own["properties"], **lists}}

    def _list(self, kind: str, said: Schema) -> Schema:
        """Components as a list of names, or of tables."""
        names = [*self._models[kind]]
        items = {"anyOf": [{"enum": names}, *({"$ref": f"#/$defs/{kind}.{name}"} for name in names)]}
        told = {key: said[key] for key in ("description",) if key in said}
        listed: Schema = {"type": "array", "items": items}
        return {**told, "anyOf": [{"const": AUTO}, listed]} if kind == "baseline" else {**told, **listed}

    def _whole(self) -> Iterator[tuple[str, Schema]]:
        """What sections have to have, of a recipe that extends none."""
        for section in SECTIONS:
            required = self._required(section.kind)
            if section.name == "data":
                split = {"required": ["use"], "allOf": self._required("split")}
                yield "data", {"required": ["use", "split"], "allOf": required, "properties": {"split": split}}
            elif section.named and section.kind:
                use = [] if section.kind == "hooks" else ["use"]
                each = {"required": use, "allOf": required}
                least = {"minProperties": 1} if section.required else {}
                yield section.name, {**least, "additionalProperties": each}
            elif section.kind:
                yield section.name, {"allOf": required}
            elif model := _settings(section):
                needed = {"required": self._of(model).get("required", [])}
                yield section.name, {"additionalProperties": needed} if section.named else needed

    def _required(self, kind: str) -> list[Schema]:
        """The options that components of a kind have to have, by what they use."""
        found = []
        for name, model in self._models.get(kind, {}).items():
            if model and (needed := self._of(model).get("required")):
                found.append(
                    {"if": {"properties": {"use": {"const": name}}, "required": ["use"]}, "then": {"required": needed}}
                )
        return found or [{}]


def _loaded(registry: Registry, kind: str) -> dict[str, type[Spec] | None]:
    """The components of a kind; None for one without options, or that cannot be loaded, which recipes that name it say."""
    found: dict[str, type[Spec] | None] = {}
    for name in registry.names(kind):
        try:
            model = registry.get(kind, name)
        except PluginError:
            model = None
        found[name] = model if isinstance(model, type) and issubclass(model, Spec) else None
    return found


def _settings(section: Section) -> type[BaseModel] | None:
    """The model of a section that holds no components."""
    if section.kind:
        return None
    pending = [Recipe.model_fields[section.name].annotation]
    while pending:
        if isinstance(of := pending.pop(), type) and issubclass(of, BaseModel):
            return of
        pending += get_args(of)
    return None


def _references(schema: Any) -> Iterator[str]:
    """Names of definitions that a schema refers to."""
    if isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
        yield reference.rpartition("/")[2]
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _references(inner)


def _optional(schema: Schema) -> Schema:
    """The schema of a table of which nothing is required."""
    return {key: value for key, value in schema.items() if key != "required"}


def _clean(schema: Any) -> Any:
    """A schema without titles and null, which recipes do not have; where a string is limited, a reference may stand for it."""
    if not isinstance(schema, dict):
        return schema
    found = {key: _inside(key, value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    if "default" in found and found["default"] is None:
        del found["default"]
    if "oneOf" in found:
        found = {"anyOf": found.pop("oneOf"), **{key: value for key, value in found.items() if key != "discriminator"}}
    if found.get("format") in _FORMATS:
        found["pattern"] = _FORMATS[found.pop("format")]
    if "anyOf" in found:
        return _without_null(found)
    if found.get("type") == "string" and _OF_STRINGS & found.keys():
        said = {key: found.pop(key) for key in _SAID if key in found}
        return {**said, "anyOf": [found, _REFERENCE]}
    return found


def _inside(key: str, value: Any) -> Any:
    if key in ("properties", "$defs"):
        return {name: _clean(inner) for name, inner in value.items()}
    if key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        return [_clean(inner) for inner in value]
    if key == "description":
        return _first_paragraph(value)
    return _clean(value) if key in ("items", "additionalProperties", "propertyNames") else value


def _without_null(schema: Schema) -> Schema:
    members = [member for member in schema["anyOf"] if member != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**rest, **members[0]} if len(members) == 1 else {**rest, "anyOf": members}


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
