"""Recipes: TOML text to specs, with every mistake at its line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from pydantic import BaseModel, Field

from mtkit.conditions import where_fields, where_lists
from mtkit.declared import at
from mtkit.errors import MtkitError, PluginError, Problem, RecipeError, nearest
from mtkit.recipe import plugin_files
from mtkit.recipe.auto_baselines import BUDGET, auto_baselines
from mtkit.recipe.blame import blaming
from mtkit.recipe.cleaner_checks import check_cleaners, with_cleaners
from mtkit.recipe.drafts import Draft
from mtkit.recipe.plan import Plan
from mtkit.recipe.registry import Registry
from mtkit.recipe.search_settings import Search
from mtkit.recipe.sections import MEASURES, NAMED, REQUIRED, SECTIONS, SINGLE
from mtkit.recipe.settings import Catalog, Data, Evaluate, Expect, Header, NamedEvents, Recommend, Silence, Train
from mtkit.recipe.source_text import Document, Mistake, read_document
from mtkit.recipe.static_checks import check_wiring
from mtkit.recipe.toml_positions import KeyPath, dotted
from mtkit.recipe.validation import validate
from mtkit.schema import Address
from mtkit.spec import (
    BASES,
    Balancer,
    Callback,
    Cleaned,
    Cleaner,
    Correlation,
    DataSource,
    Encoder,
    Exporter,
    GroupPreprocessor,
    Name,
    Preprocessor,
    Rows,
    RowStatistics,
    Spec,
    TaskHead,
)
from mtkit.types import MetricKey

#: What `baselines` may be instead of a list.
AUTO = "auto"

#: Mistakes of a recipe that are shown; nobody reads more.
MOST_SHOWN = 100

NAME = re.compile(r"[a-z][a-z0-9_]*")

Section = TypeVar("Section", bound=BaseModel)


class Recipe(Header):
    """A recipe whose names are resolved; tables of components keep the recipe's order.

    Attributes:
        hook: name -> spec instance, or the class itself if it has no options.
        uses: address of a component (`encoder.user`) -> the name of its entry point.
        distributions: distributions that offer the components -> version.
        document: the text that it was read from.
    """

    data: Data
    clean: Mapping[Name, Cleaner] = Field({})
    events: Mapping[Name, NamedEvents] = Field({})
    rows: Mapping[Name, Rows]
    preprocess: Mapping[Name, Preprocessor] = Field({})
    encoder: Mapping[Name, Encoder]
    correlation: Mapping[Name, Correlation] = Field({})
    task: Mapping[Name, TaskHead]
    balance: Balancer
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    recommend: Recommend | None = None
    search: Search | None = None
    expect: Expect | None = None
    export: Exporter
    callback: Mapping[Name, Callback] = Field({})
    hook: Mapping[Name, Any] = Field({})
    uses: Mapping[str, str] = Field({})
    distributions: Mapping[str, str] = Field({})
    document: Document = Field(Document(), repr=False)

    @property
    def sections(self) -> Draft:
        """The sections alone."""
        return Draft(**{section.name: getattr(self, section.name) for section in SECTIONS})

    @property
    def plan(self) -> Plan:
        """Who reads what."""
        return Plan(self.encoder, self.correlation, self.task)

    @property
    def recommending(self) -> str | None:
        """The task that answers `recommend`; None = no task can."""
        return self.plan.recommending((self.recommend and self.recommend.task) or self.evaluate.main_task)

    @property
    def statistics(self) -> dict[str, RowStatistics]:
        """The preprocessors that make `known.NAME`."""
        return {name: spec for name, spec in self.preprocess.items() if isinstance(spec, RowStatistics)}

    @property
    def columns_read(self) -> tuple[Address, ...]:
        """Addresses that encoders and correlations read; of features that are made of several columns, these."""
        groups = {
            spec.made(name): spec.columns
            for name, spec in self.preprocess.items()
            if isinstance(spec, GroupPreprocessor)
        }
        return tuple(dict.fromkeys(part for read in self.plan.addresses() for part in groups.get(read, (read,))))

    def lower_is_better(self, key: str) -> bool:
        """Whether less of what a metric key (`task/[slice/]metric[@k]`) stands for is better."""
        found = MetricKey.parse(key)
        head = self.task.get(found.task)
        return head is not None and head.lower_is_better(found.metric, self.evaluate)

    def components(self) -> dict[KeyPath, Any]:
        """Keys of a table -> its component, of all that there are."""
        return _components(self.sections)

    def blaming(self) -> AbstractContextManager[None]:
        """While entered, exceptions from the code of plugins become messages; see `mtkit.recipe.blame`."""
        return blaming(self.components(), lambda path: self.problem(path, "").place)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A mistake found later, at its place in the recipe."""
        return self.document.problem(Mistake(path, message))


def load_recipe(
    path: str | Path, sets: Sequence[str] = (), unsets: Sequence[str] = (), registry: Registry | None = None
) -> Recipe:
    """Reads and checks a recipe, without data and without TensorFlow.

    Args:
        path: the TOML file.
        sets: `KEY=VALUE` to set by dotted key; tables are merged. VALUE is TOML, or else taken as a string.
        unsets: keys to remove first.
        registry: the components that can be named; default: the installed ones.

    Raises:
        RecipeError: with every mistake that was found, up to a hundred.
    """
    document, mistakes = read_document(Path(path), sets, unsets)
    return resolve(document, mistakes, registry)


def resolve(document: Document, found: Sequence[Mistake] = (), registry: Registry | None = None) -> Recipe:
    """A recipe from what it says.

    Args:
        document: what it says.
        found: mistakes that were found in it before.
        registry: the components that can be named; default: the installed ones.

    Raises:
        RecipeError: with every mistake that was found, up to a hundred.
    """
    mistakes = list(found)
    reader = _Reader(document, registry or Registry.installed(), mistakes)
    with blaming(reader.components, lambda path: document.problem(Mistake(path, "")).place):
        draft = reader.draft()
    header = reader.header()
    if not mistakes and header:
        return Recipe(**vars(header), **vars(draft), **reader.used(), document=document)
    ordered = sorted(dict.fromkeys(mistakes), key=lambda mistake: document.order(mistake.path))
    problems = [document.problem(mistake) for mistake in ordered[:MOST_SHOWN]]
    if (more := len(ordered) - MOST_SHOWN) > 0:
        problems.append(Problem(str(document.file), "", f"has {more:,} more mistakes"))
    raise RecipeError(problems)


def _components(sections: Draft) -> dict[KeyPath, Any]:
    """Keys of a table -> its component, as far as there are any."""
    found: dict[KeyPath, Any] = {}
    for section in NAMED:
        found |= {(section, name): component for name, component in getattr(sections, section).items()}
    found |= {(section,): getattr(sections, section) for section in SINGLE}
    if data := sections.data:
        source = data.source.source if isinstance(data.source, Cleaned) else data.source
        found |= {("data",): source, ("data", "split"): data.split}
    if measured := sections.evaluate:
        found |= {
            ("evaluate", key, name): component for key in MEASURES for name, component in getattr(measured, key).items()
        }
    return {path: component for path, component in found.items() if component is not None}


class _Defaults(TypedDict):
    train: Train
    evaluate: Evaluate


def fill_defaults(task: Mapping[str, TaskHead], train: Train, evaluate: Evaluate) -> _Defaults:
    """The pass of an epoch and the metric that chooses, where they are left to the first task."""
    if train.epoch_of is None:
        train = train.model_copy(update={"epoch_of": next(iter(task.values())).rows})
    if evaluate.main is None:
        keys = (key for name, head in task.items() for key in evaluate.keys(name, head))
        evaluate = evaluate.model_copy(update={"main": next(keys, None)})
    return {"train": train, "evaluate": evaluate}


class _Reader:
    """Turns a document into specs and collects what is wrong with it."""

    def __init__(self, document: Document, registry: Registry, mistakes: list[Mistake]) -> None:
        self._document = document
        self._values = document.values
        self._registry = registry
        self._mistakes = mistakes
        self.components: dict[KeyPath, Any] = {}
        self._uses: dict[str, str] = {}
        self._distributions: dict[str, str] = {}
        self._events: dict[str, NamedEvents | None] = {}

    def draft(self) -> Draft:
        self._events = self._named_events()
        components = {section: self._components(section, kind) for section, kind in NAMED.items()}
        data = self._data(components["clean"])
        single = {name: self._component((name,), kind, default) for name, (kind, default) in SINGLE.items()}
        draft = Draft(
            data=data,
            events=self._events,
            **components,
            balance=single["balance"],
            export=single["export"],
            train=self._section(("train",), Train),
            evaluate=self._evaluate(data, components["task"]),
            recommend=self._section(("recommend",), Recommend) if "recommend" in self._values else None,
            search=self._section(("search",), Search) if "search" in self._values else None,
            expect=self._section(("expect",), Expect) if "expect" in self._values else None,
        )
        self._fill_defaults(draft)
        self._check_strategy(draft.train)
        if self._complete():
            self._check_wiring(draft)
        return draft

    def _complete(self) -> bool:
        """Whether all required sections are there, and all sections are tables; the rest follows from that."""
        missing = [section for section in REQUIRED if self._values.get(section, {}) == {}]
        for section in missing:
            self._add((section,), f"is missing; a recipe has {'[data]' if section == 'data' else f'[{section}.NAME]'}")
        return not missing and all(isinstance(self._values.get(section, {}), dict) for section in NAMED)

    def _check_wiring(self, draft: Draft) -> None:
        try:
            self._mistakes += check_wiring(draft)
        except MtkitError as error:  # a data source whose columns cannot be told
            self._add(("data",), str(error))

    def used(self) -> dict[str, dict[str, str]]:
        """Which entry points were named, and whose they are."""
        return {"uses": self._uses, "distributions": self._distributions}

    def header(self) -> Header | None:
        tables = {section.name for section in SECTIONS}
        values = {key: value for key, value in self._values.items() if key not in tables}
        header = self._valid(Header, values, (), tuple(tables))
        if ("name",) in self._document.references:
            self._add(
                ("name",), "is what run directories are called, which shows it; write it out instead of ${env:...}"
            )
        for name, message in plugin_files.missing(header.plugins if header else {}):
            self._add(("plugins", name), message)
        for distribution, specifier in (header.requires if header else {}).items():
            if message := _unmet(distribution, specifier):
                self._add(("requires", distribution), message)
        return header

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

    def _named_events(self) -> dict[str, NamedEvents | None]:
        names = self._table(("events",)) or {}
        for name in names:
            self._check_name(("events", name))
        return {name: self._section(("events", name), NamedEvents) for name in names}

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

    def _data(self, cleaners: Mapping[str, Cleaner | None]) -> Data | None:
        """The data as they are cleaned; None where a part is not valid, and of what follows nothing is known."""
        if "data" not in self._values:
            return None
        source = self._component(("data",), "data_source", reserved=("split", "catalog", "silence"))
        source = self._cleaned(source, cleaners)
        self._check_names(source)
        split = self._component(("data", "split"), "split")
        entities = self._table(("data", "catalog")) or {}
        catalog = {entity: self._section(("data", "catalog", entity), Catalog) for entity in entities}
        given = self._table(("data",)) or {}
        silence = self._valid(Silence, {key: given[key] for key in Silence.model_fields if key in given}, ("data",))
        if source is None or split is None or silence is None or None in catalog.values():
            return None
        return Data(source=source, split=split, catalog=catalog, **vars(silence))

    def _cleaned(self, source: DataSource | None, cleaners: Mapping[str, Cleaner | None]) -> DataSource | None:
        """The source with its cleaners; None where they have mistakes, of which all others would follow."""
        known = {name: cleaner for name, cleaner in cleaners.items() if cleaner}
        if source is None or any(mistake.path[0] in ("clean", "events") for mistake in self._mistakes):
            return None
        try:
            mistakes = check_cleaners(source.schema(), known)
        except MtkitError:  # which the wiring reports
            return source
        self._mistakes += mistakes
        return None if mistakes else with_cleaners(source, known)

    def _check_names(self, source: DataSource | None) -> None:
        secrets = self._document.secret_names()
        try:
            names = source.schema().names() if source and secrets else {}
        except MtkitError:  # which the wiring reports
            return
        for name in sorted(names.keys() & secrets.keys()):
            self._add(("data",), f"{names[name]} is called {secrets[name]}, and files hold its name; write it out")

    def _evaluate(self, data: Data | None, tasks: Mapping[str, TaskHead | None]) -> Evaluate | None:
        section = self._section(("evaluate",), Evaluate, without=tuple(MEASURES))
        if section is not None and section is self._values.get("evaluate"):
            return section
        given = self._table(("evaluate",)) or {}
        if given.get("baselines") == AUTO:
            given["baselines"] = [self._registry.own("baseline", name) for name in self._auto(data, tasks)]
            if section and section.baseline_budget is None:
                section = section.model_copy(update={"baseline_budget": BUDGET})
        lists = {key: self._measures(("evaluate", key), kind, given.get(key, [])) for key, kind in MEASURES.items()}
        return section.model_copy(update=lists) if section else None

    def _auto(self, data: Data | None, tasks: Mapping[str, TaskHead | None]) -> list[str]:
        try:
            schema = data.source.schema() if data else None
        except MtkitError:  # which the wiring reports
            schema = None
        return list(auto_baselines(filter(None, tasks.values()), schema))

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

    def _fill_defaults(self, draft: Draft) -> None:
        heads = {name: head for name, head in draft.task.items() if head}
        if not (heads and draft.train and draft.evaluate):
            return
        filled = fill_defaults(heads, draft.train, draft.evaluate)
        draft.train, draft.evaluate = filled["train"], filled["evaluate"]
        # In Python, who fits a model may measure it in other ways, or not at all.
        if draft.evaluate.main is None and not self._mistakes and self._document.file is not None:
            self._add(("evaluate",), "measures nothing; expected metrics or prediction_metrics that fit the tasks")

    def _check_strategy(self, train: Train | None) -> None:
        """The name only: strategies import TensorFlow."""
        try:
            if train:
                self._registry.entry("strategy", train.strategy)
        except PluginError as error:
            self._add(("train", "strategy"), str(error))


def _unmet(distribution: str, specifier: str) -> str:
    """Why a requirement does not hold, and what to run; empty if it does."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        wanted = SpecifierSet(specifier)
    except InvalidSpecifier:
        return f'expected a version specifier such as ">=0.1,<0.2", got {specifier!r}'
    command = f'run: pip install "{distribution}{specifier}"'
    try:
        installed = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return f"{distribution} {specifier} is needed, but it is not installed; {command}"
    return "" if wanted.contains(installed, prereleases=True) else f"{specifier} is needed, got {installed}; {command}"
