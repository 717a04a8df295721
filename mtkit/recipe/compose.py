"""Recipes composed in Python: the sections of a recipe as arguments, checked as a file would be."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, ParamSpec

from pydantic import BaseModel, TypeAdapter

from mtkit.declared import Declared, at, brief
from mtkit.errors import Problem, RecipeError, nearest
from mtkit.recipe.auto_baselines import BUDGET, auto_baselines
from mtkit.recipe.loader import Recipe, resolve
from mtkit.recipe.reader import AUTO
from mtkit.recipe.registry import Registry
from mtkit.recipe.sections import MEASURES, NAMED
from mtkit.recipe.settings import Catalog, Evaluate, Recommend, Train
from mtkit.recipe.source_text import Document, Mistake
from mtkit.recipe.toml_positions import KeyPath
from mtkit.spec import (
    Balancer,
    Callback,
    Cleaner,
    Correlation,
    DataSource,
    Encoder,
    Exporter,
    Preprocessor,
    Rows,
    Spec,
    Split,
    TaskHead,
)

P = ParamSpec("P")

#: What may stand for a component: the name that recipes call it by, or a table as in a recipe.
Named = str | Mapping[str, Any]

_DURATION = TypeAdapter(timedelta)


def _by_name(function: Callable[P, Recipe]) -> Callable[P, Recipe]:
    """The function, with messages instead of Python's own where arguments are unknown, missing or have no name."""
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> Recipe:
        if args:
            message = f"takes the sections of a recipe by name, as in encoder={{...}}; got {brief(args[0])} without one"
            raise RecipeError([Problem("mtkit.compose", "", message)])
        _raise([Mistake((key,), f"unknown section; {nearest(key, parameters)}") for key in kwargs.keys() - parameters])
        missing = {key: None for key, of in parameters.items() if of.default is of.empty}
        return function(**{**missing, **kwargs})  # type: ignore[call-arg, arg-type]

    return called


@_by_name
def compose(
    *,
    data: DataSource | Named,
    split: Split | Named,
    rows: Mapping[str, Rows | Named],
    encoder: Mapping[str, Encoder | Named],
    task: Mapping[str, TaskHead | Named],
    catalog: Mapping[str, Catalog | Mapping[str, Any]] | None = None,
    clean: Mapping[str, Cleaner | Named] | None = None,
    preprocess: Mapping[str, Preprocessor | Named] | None = None,
    correlation: Mapping[str, Correlation | Named] | None = None,
    balance: Balancer | Named | None = None,
    train: Train | Mapping[str, Any] | None = None,
    evaluate: Evaluate | Mapping[str, Any] | None = None,
    recommend: Recommend | Mapping[str, Any] | None = None,
    baselines: Literal["auto"] | None = None,
    export: Exporter | Named | None = None,
    callback: Mapping[str, Callback | Named] | None = None,
    name: str = "composed",
    seed: int = 0,
    deterministic: bool = True,
) -> Recipe:
    """A recipe of specs, without a file. Arguments are the sections of a recipe, with the same defaults.

    Where a component is expected, the name by which recipes call it stands for one without options (`balance="uncertainty"`),
    and a dictionary with `use` for one with options. Settings may be dictionaries, too, and the metrics and baselines of
    `evaluate` a list of names, of dictionaries and of specs.

    Args:
        data: where data come from.
        split: where they are cut.
        rows: name -> row table.
        encoder: name -> encoder.
        task: name -> task head.
        catalog: entity -> which of its rows count.
        clean: name -> cleaner, in the order of application.
        preprocess: name -> preprocessor.
        correlation: name -> correlation, in the order of application.
        balance: combines the losses of the tasks.
        train: how the model is trained.
        evaluate: what is measured, beside which baselines.
        recommend: how lists are made in two stages; default: by the retrieval task alone.
        baselines: `"auto"`: beside those of `evaluate`, the ones that fit the tasks.
        export: writes what serves the model.
        callback: name -> Keras callback of runs; who calls `fit` passes callbacks there.
        name: of the recipe.
        seed: of initial values, shuffling, sampling and dropout.
        deterministic: whether the same seed gives the same bits, at some cost in speed.

    Raises:
        RecipeError: arguments are not what they have to be, or do not fit together; with every mistake, each with the
            argument that it is in.
    """
    registry, given = Registry.installed(), _Arguments()
    settings = {"train": train, "recommend": recommend}
    named = {
        "clean": clean,
        "rows": rows,
        "preprocess": preprocess,
        "encoder": encoder,
        "correlation": correlation,
        "task": task,
        "callback": callback,
    }
    values = {"recipe": 1, "name": name, "seed": seed, "deterministic": deterministic}
    values |= {key: given.plain(value, (key,)) for key, value in settings.items() if value is not None}
    values |= {key: given.components(value, key) for key, value in named.items() if value is not None}
    single = {"balance": balance, "export": export}
    values |= {key: given.component(value, (key,)) for key, value in single.items() if value is not None}
    if data is not None:
        parts = {"split": given.component(split, ("split",)), "catalog": given.plain(catalog or {}, ("catalog",))}
        values["data"] = {**given.component(data, ("data",)), **parts}
    if evaluate is not None:
        values["evaluate"] = given.measured(evaluate)
    if baselines not in (None, AUTO):
        given.mistakes.append(
            Mistake(("baselines",), f'expected "auto", got {brief(baselines)}; others are listed in evaluate')
        )
    _raise(given.mistakes)
    recipe = resolve(_Composition(raw=values, values=values), registry=registry)
    # What the specs were read from has no further use, and may hold whole tables.
    recipe = recipe.model_copy(update={"document": _Composition()})
    return _with_auto(recipe, registry) if baselines == AUTO else recipe


@dataclass(frozen=True)
class _Composition(Document):
    """Arguments in the place of a text: places are as the arguments are called, values as Python writes them."""

    def problem(self, mistake: Mistake) -> Problem:
        """A mistake with the argument that it is in."""
        path = mistake.path
        if path[:1] == ("data",) and path[1:2] in (("split",), ("catalog",)):
            path = path[1:]
        return super().problem(mistake._replace(path=path))

    def shown(self, path: KeyPath) -> str:
        """The value at a path, shortened; empty where there is none."""
        value = at(self.raw, path)
        return "" if value is None else brief(value)


@dataclass
class _Arguments:
    """Arguments as what the tables of a recipe hold, and what cannot be so.

    Attributes:
        mistakes: what was wrong with those that it has seen.
    """

    mistakes: list[Mistake] = field(default_factory=list)

    def components(self, given: Any, section: str) -> dict[str, Any]:
        """A table of components by name."""
        if not isinstance(given, Mapping):
            message = f"expected a dictionary, from names to components of kind {NAMED[section]}, got {brief(given)}"
            self.mistakes.append(Mistake((section,), message))
            return {}
        return {self._key(name, (section,)): self.component(one, (section, name)) for name, one in given.items()}

    def component(self, given: Any, path: KeyPath) -> dict[str, Any]:
        """A table with `use`, which may be a spec."""
        if isinstance(given, Spec | str):
            return {"use": given}
        if isinstance(given, Mapping):
            table: dict[str, Any] = self.plain(given, path)
            return table
        if given is not None:  # which is said to be missing
            message = f"expected a component, its name, or a dictionary with `use`, got {brief(given)}"
            if isinstance(given, type) and issubclass(given, Spec):
                message = f"expected a component, got {brief(given)}; call it: {given.__name__}(...)"
            self.mistakes.append(Mistake(path, message))
        return {}

    def measured(self, given: Any) -> Any:
        """The section `evaluate`, with metrics and baselines as lists."""
        if not isinstance(given, Mapping):
            return self.plain(given, ("evaluate",))
        lists = {key: self._listed(given[key], ("evaluate", key)) for key in MEASURES if key in given}
        rest = {key: value for key, value in given.items() if key not in lists}
        return {**self.plain(rest, ("evaluate",)), **lists}

    def _listed(self, given: Any, path: KeyPath) -> Any:
        if isinstance(given, Mapping):
            return [self._of_name(name, one, (*path, name)) for name, one in given.items()]
        if (isinstance(given, str) and given != AUTO) or isinstance(given, Spec):
            given = [given]
        if isinstance(given, Sequence) and not isinstance(given, str):
            return [self.component(one, (*path, index)) for index, one in enumerate(given)]
        return self.plain(given, path)

    def _of_name(self, name: Any, given: Any, path: KeyPath) -> dict[str, Any]:
        """A metric or baseline that is given with its name."""
        if isinstance(given, Spec):
            return {"use": given, "name": name}
        return {"use": name, **self.component(given, path)}

    def plain(self, given: Any, path: KeyPath) -> Any:
        """A value as recipes have it; settings that are made already stay as they are."""
        if isinstance(given, Mapping):
            inner = {self._key(key, path): self.plain(value, (*path, key)) for key, value in given.items()}
            return {key: value for key, value in inner.items() if value is not None}
        if isinstance(given, list | tuple):
            return [self.plain(value, (*path, index)) for index, value in enumerate(given)]
        if isinstance(given, Declared) and len(path) <= 1 + (path[0] == "catalog"):
            return given
        if isinstance(given, BaseModel) and not isinstance(given, Spec):
            return self.plain(given.model_dump(mode="json", exclude_unset=True), path)
        return self._scalar(given, path)

    def _scalar(self, given: Any, path: KeyPath) -> Any:
        if isinstance(given, timedelta):
            return _DURATION.dump_python(given, mode="json")
        if isinstance(given, Path):
            return str(given)
        if hasattr(given, "dtype") and hasattr(given, "item") and not getattr(given, "shape", ()):
            given = given.item()
        if given is None or isinstance(given, str | bool | int | float | date):
            return given
        self.mistakes.append(
            Mistake(path, f"expected a text, a number, a date, or a list or dictionary of these, got {brief(given)}")
        )
        return None

    def _key(self, key: Any, path: KeyPath) -> str:
        if not isinstance(key, str):
            self.mistakes.append(Mistake(path, f"expected texts as keys, got {brief(key)}"))
        return str(key)


def _with_auto(recipe: Recipe, registry: Registry) -> Recipe:
    """The recipe with the baselines that fit its tasks, beside its own, which stay as they are set."""
    picked = auto_baselines(recipe.task.values(), recipe.data.source.schema())
    baselines = {name: registry.get("baseline", registry.own("baseline", name))() for name in picked} | dict(
        recipe.evaluate.baselines
    )
    changes = {"baselines": baselines, "baseline_budget": recipe.evaluate.baseline_budget or BUDGET}
    return recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update=changes)})


def _raise(mistakes: Sequence[Mistake]) -> None:
    if mistakes:
        raise RecipeError([_Composition().problem(mistake) for mistake in dict.fromkeys(mistakes)])
