"""Tables of a recipe as sections and components, or as mistakes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeVar

from pydantic import BaseModel

from mtkit.conditions import where_fields, where_lists
from mtkit.declared import at
from mtkit.errors import PluginError, nearest
from mtkit.recipe.registry import Registry
from mtkit.recipe.settings import NamedEvents
from mtkit.recipe.source_text import Document, Mistake
from mtkit.recipe.toml_positions import KeyPath, dotted
from mtkit.recipe.validation import validate
from mtkit.spec import BASES, Spec

#: Names that recipes give.
NAME = re.compile(r"[a-z][a-z0-9_]*")

Section = TypeVar("Section", bound=BaseModel)


class ComponentReader:
    """Makes sections and components of the tables of a recipe, and collects what is wrong with them.

    Args:
        document: what the recipe says.
        registry: the components that can be named.
        mistakes: where mistakes are added.

    Attributes:
        components: keys of a table -> its component, or the class of one that is not valid.
    """

    def __init__(self, document: Document, registry: Registry, mistakes: list[Mistake]) -> None:
        self._document = document
        self._values = document.values
        self._registry = registry
        self._mistakes = mistakes
        self.components: dict[KeyPath, Any] = {}
        self._uses: dict[str, str] = {}
        self._distributions: dict[str, str] = {}
        self._events: dict[str, NamedEvents | None] = {}

    def used(self) -> dict[str, dict[str, str]]:
        """Which entry points were named, and whose they are."""
        return {"uses": self._uses, "distributions": self._distributions}

    def _add(self, path: KeyPath, message: str, *, of_key: bool = False) -> None:
        self._mistakes.append(Mistake(path, message, of_key))

    def _valid(
        self, model: type[Section], values: Mapping[str, Any], path: KeyPath, reserved: Sequence[str] = ()
    ) -> Section | None:
        result = validate(model, self._with_events(model, values, path), self._document, path, reserved)
        if isinstance(result, list):
            self._mistakes += result
            return None
        return result

    def _with_events(self, model: type[BaseModel], values: Mapping[str, Any], path: KeyPath) -> Mapping[str, Any]:
        """The values with conditions in the place of the names of events."""
        named = {key: values[key] for key in where_fields(model) if isinstance(values.get(key), str)}
        lists = {key: values[key] for key in where_lists(model) if isinstance(values.get(key), list)}
        conditions = {key: found for key, name in named.items() if (found := self._condition(name, (*path, key)))}
        for key, listed in lists.items():
            each = [self._condition(w, (*path, key, n)) if isinstance(w, str) else w for n, w in enumerate(listed)]
            conditions[key] = [where for where in each if where is not None]
        return {key: value for key, value in values.items() if key not in {*named, *lists}} | conditions

    def _condition(self, name: str, path: KeyPath) -> Any:
        """The condition of named events; None where there is none, which is then a mistake."""
        if name not in self._events:
            self._add(path, f"no events are called {name!r}; {nearest(name, self._events)}")
        events = self._events.get(name)
        return events.where.model_dump(mode="json") if events else None

    def _table(self, path: KeyPath) -> dict[str, Any] | None:
        """A copy of the table at a path, empty where there is none; None where something else is."""
        table: Any = self._values
        for depth, key in enumerate(path, 1):
            table = table.get(str(key), {})
            if not isinstance(table, dict):
                self._add(path[:depth], f"expected a table, got {self._document.shown(path[:depth])}")
                return None
        return dict(table)

    def _section(self, path: KeyPath, model: type[Section], without: Sequence[str] = ()) -> Section | None:
        if isinstance(made := at(self._values, path), model):
            return made
        values = self._table(path)
        if values is None:
            return None
        return self._valid(model, {key: value for key, value in values.items() if key not in without}, path)

    def _components(self, section: str, kind: str) -> dict[str, Any]:
        """The components of a table of tables; a hook is called as its plugin unless `use` says otherwise."""
        names = self._table((section,)) or {}
        for name in names:
            self._check_name((section, name))
        return {name: self._component((section, name), kind, default=name if kind == "hooks" else "") for name in names}

    def _check_name(self, path: KeyPath) -> None:
        if not NAME.fullmatch(name := str(path[-1])):
            self._add(path, f"expected a name of lower-case letters, digits and underscores, got {name!r}", of_key=True)

    def _component(self, path: KeyPath, kind: str, default: str = "", reserved: Sequence[str] = ()) -> Any:
        values = self._table(path)
        if values is None:
            return None
        use = values.pop("use", default and self._registry.own(kind, default))
        if isinstance(use, Spec):
            return self._made(path, kind, use)
        if not isinstance(use, str):
            self._add((*path, "use"), f"expected a name, got {self._document.shown((*path, 'use'))}")
        elif not use:
            self._add((*path, "use"), f"is missing; {nearest('', self._registry.names(kind))}")
        else:
            values = {key: value for key, value in values.items() if key not in reserved}
            return self._make(path, kind, use, values, ("use", *reserved))
        return None

    def _made(self, path: KeyPath, kind: str, spec: Spec) -> Spec | None:
        """A component that is there already, as compositions have them; None if it is of another kind."""
        if not isinstance(spec, base := BASES[kind]):
            message = f"expected a mtkit.spec.{base.__name__}, got {type(spec).__name__}, which is of kind {spec.kind}"
            self._add(path, message)
            return None
        self._uses[dotted(path)] = self._registry.name_of(type(spec))
        self.components[path] = spec
        return spec

    def _make(self, path: KeyPath, kind: str, use: str, values: Mapping[str, Any], reserved: Sequence[str] = ()) -> Any:
        try:
            entry = self._registry.entry(kind, use)
            model = entry.load()
        except PluginError as error:
            where = (*path, "use")
            self._add(where if where in self._document.places else path, str(error))
            return None
        self._uses[dotted(path)] = use
        self._distributions[entry.distribution] = entry.version
        self.components[path] = model
        if issubclass(model, Spec):
            before = len(self._mistakes)
            made = self._valid(model, values, path, reserved)
            if made is None and kind == "data_source":
                made = self._without_unknown(model, values, path, self._mistakes[before:])
            self.components[path] = made or model
            self._mistakes[before:] = [self._with_owners(mistake, kind, path) for mistake in self._mistakes[before:]]
            return made
        for key in values:
            self._add((*path, key), f"unknown key; {use!r} has no options", of_key=True)
        return model

    def _without_unknown(
        self, model: type[Spec], values: Mapping[str, Any], path: KeyPath, found: Sequence[Mistake]
    ) -> Spec | None:
        """A source without keys that do not exist, so that what reads its columns is checked, too; None if more is wrong."""
        if not all(mistake.of_key for mistake in found):
            return None
        known = deepcopy(dict(values))
        for mistake in found:
            *tables, key = mistake.path[len(path) :]
            if table := at(known, tuple(tables)):
                table.pop(key, None)
        made = validate(model, known, self._document, path)
        return None if isinstance(made, list) else made

    def _with_owners(self, mistake: Mistake, kind: str, path: KeyPath) -> Mistake:
        """A mistake that also says, of a key that others of the kind have, which ones these are."""
        key = str(mistake.path[-1])
        if mistake.path != (*path, key) or not mistake.message.startswith("unknown key"):
            return mistake
        owners = self._registry.with_option(kind, key)
        return (
            mistake._replace(message=f"{mistake.message}; it is an option of {', '.join(owners)}")
            if owners
            else mistake
        )

    def _measures(self, path: KeyPath, kind: str, given: Any) -> dict[str, Any]:
        """Components given as a list of names, or of inline tables with `use` and options."""
        if not isinstance(given, list):
            expected = 'a list of names, or "auto"' if kind == "baseline" else "a list of names"
            self._add(path, f"expected {expected}, got {self._document.shown(path)}")
            return {}
        made = {}
        for index, item in enumerate(given):
            where = (*path, index)
            options = {"use": item} if isinstance(item, str) else item
            if isinstance(options, dict) and isinstance(spec := options.get("use"), Spec):
                made[options.get("name") or self._registry.name_of(type(spec))] = self._made(where, kind, spec)
            elif not isinstance(options, dict) or not isinstance(use := options.get("use"), str):
                self._add(where, f"expected a name, or {{use = NAME, ...}}, got {self._document.shown(where)}")
            elif (name := use.rpartition(":")[2]) in made:
                self._add(where, f"{name!r} is listed twice")
            else:
                values = {key: value for key, value in options.items() if key != "use"}
                made[name] = self._make(where, kind, use, values, ("use",))
                self._uses[dotted((*path, name))] = use
        return {name: component for name, component in made.items() if component}
