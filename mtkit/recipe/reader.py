"""All sections of a recipe, one by one and beside one another, with every mistake."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import TypedDict

from mtkit.errors import MtkitError, PluginError
from mtkit.recipe import plugin_files
from mtkit.recipe.auto_baselines import BUDGET, auto_baselines
from mtkit.recipe.cleaner_checks import check_cleaners, with_cleaners
from mtkit.recipe.component_reader import ComponentReader
from mtkit.recipe.drafts import Draft
from mtkit.recipe.search_settings import Search
from mtkit.recipe.sections import MEASURES, NAMED, REQUIRED, SECTIONS, SINGLE
from mtkit.recipe.settings import Catalog, Data, Evaluate, Expect, Header, NamedEvents, Recommend, Silence, Train
from mtkit.recipe.static_checks import check_wiring
from mtkit.spec import Cleaned, Cleaner, DataSource, TaskHead

#: What `baselines` may be instead of a list.
AUTO = "auto"


class Reader(ComponentReader):
    """Turns a document into specs and collects what is wrong with it."""

    def draft(self) -> Draft:
        """All sections, with None for parts that are not valid; what is wrong is among the mistakes."""
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

    def header(self) -> Header | None:
        """What stands above the tables; None if it is not valid."""
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

    def _named_events(self) -> dict[str, NamedEvents | None]:
        names = self._table(("events",)) or {}
        for name in names:
            self._check_name(("events", name))
        return {name: self._section(("events", name), NamedEvents) for name in names}

    def _data(self, cleaners: Mapping[str, Cleaner | None]) -> Data | None:
        """The data as they are cleaned; None where a part is not valid, and of what follows nothing is known."""
        if "data" not in self._values:
            return None
        source = self._component(("data",), "data_source", reserved=("split", "catalog", "silence", "prepared"))
        source = self._cleaned(source, cleaners)
        self._check_names(source)
        split = self._component(("data", "split"), "split")
        entities = self._table(("data", "catalog")) or {}
        catalog = {entity: self._section(("data", "catalog", entity), Catalog) for entity in entities}
        given = self._table(("data",)) or {}
        silence = self._valid(Silence, {key: given[key] for key in Silence.model_fields if key in given}, ("data",))
        if source is None or split is None or silence is None or None in catalog.values():
            return None
        if silence.prepared:
            known = source if isinstance(source, Cleaned) else Cleaned(source=source, by={})
            source = known.model_copy(update={"prepared": silence.prepared})
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
        if train and train.strategy == "parameter_server":
            message = "there is no parameter server; expected multi_worker: workers train in step"
            self._add(("train", "strategy"), message)
            return
        try:
            if train:
                self._registry.entry("strategy", train.strategy)
        except PluginError as error:
            self._add(("train", "strategy"), str(error))


def fill_defaults(task: Mapping[str, TaskHead], train: Train, evaluate: Evaluate) -> _Defaults:
    """The pass of an epoch and the metric that chooses, where they are left to the first task."""
    if train.epoch_of is None:
        train = train.model_copy(update={"epoch_of": next(iter(task.values())).rows})
    if evaluate.main is None:
        keys = (key for name, head in task.items() for key in evaluate.keys(name, head))
        evaluate = evaluate.model_copy(update={"main": next(keys, None)})
    return {"train": train, "evaluate": evaluate}


class _Defaults(TypedDict):
    train: Train
    evaluate: Evaluate


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
