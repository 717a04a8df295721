"""Recipes composed in Python: the sections of a recipe as arguments, checked as a file would be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mtkit.errors import RecipeError
from mtkit.recipe.auto_baselines import auto_baselines
from mtkit.recipe.loader import AUTO, NAME, Recipe, fill_defaults
from mtkit.recipe.registry import Registry
from mtkit.recipe.sections import NAMED, REQUIRED, SECTIONS, SINGLE
from mtkit.recipe.settings import Catalog, Data, Evaluate, Recommend, Train
from mtkit.recipe.source_text import Document, Mistake
from mtkit.recipe.static_checks import check_wiring
from mtkit.recipe.toml_positions import KeyPath
from mtkit.spec import (
    BASES,
    Balancer,
    Baseline,
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

#: Arguments that are one component -> kind.
_KINDS = {"split": "split"} | {section.name: section.kind for section in SECTIONS if section.kind and not section.named}


def compose(
    *,
    data: DataSource,
    split: Split,
    rows: Mapping[str, Rows],
    encoder: Mapping[str, Encoder],
    task: Mapping[str, TaskHead],
    catalog: Mapping[str, Catalog] | None = None,
    preprocess: Mapping[str, Preprocessor] | None = None,
    correlation: Mapping[str, Correlation] | None = None,
    balance: Balancer | None = None,
    train: Train | None = None,
    evaluate: Evaluate | None = None,
    recommend: Recommend | None = None,
    baselines: Literal["auto"] | None = None,
    export: Exporter | None = None,
    name: str = "composed",
    seed: int = 0,
    deterministic: bool = True,
) -> Recipe:
    """A recipe of specs, without a file. Arguments are the sections of a recipe, with the same defaults.

    Args:
        data: where data come from.
        split: where they are cut.
        rows: name -> row table.
        encoder: name -> encoder.
        task: name -> task head.
        catalog: entity -> which of its rows count.
        preprocess: name -> preprocessor.
        correlation: name -> correlation, in the order of application.
        balance: combines the losses of the tasks.
        train: how the model is trained.
        evaluate: what is measured, beside which baselines.
        recommend: how lists are made in two stages; default: by the retrieval task alone.
        baselines: `"auto"`: beside those of `evaluate`, the ones that fit the tasks.
        export: writes what serves the model.
        name: of the recipe.
        seed: of initial values, shuffling, sampling and dropout.
        deterministic: whether the same seed gives the same bits, at some cost in speed.

    Raises:
        RecipeError: the parts do not fit together; with every mistake, each with the argument that it is in.
    """
    registry = Registry.installed()
    sections: dict[str, Mapping[str, Spec]] = {
        "rows": rows,
        "preprocess": preprocess or {},
        "encoder": encoder,
        "correlation": correlation or {},
        "task": task,
    }
    single = {
        "data": data,
        "split": split,
        **{name: given or registry.get(*SINGLE[name])() for name, given in (("balance", balance), ("export", export))},
    }
    _raise(_wrong_parts(sections, single))
    evaluate = evaluate or Evaluate()
    if baselines is not None:
        evaluate = evaluate.model_copy(update={"baselines": _with_auto(baselines, evaluate, task, data, registry)})
    given = {f"{section}.{key}": spec for section, specs in sections.items() for key, spec in specs.items()}
    recipe = Recipe(
        recipe=1,
        name=name,
        seed=seed,
        deterministic=deterministic,
        data=Data(source=data, split=split, catalog=catalog or {}),
        **sections,
        balance=single["balance"],
        export=single["export"],
        recommend=recommend,
        **fill_defaults(task, train or Train(), evaluate),
        uses=_names(given | single | {"data.split": split}, registry),
        document=Document(),
    )
    _raise(check_wiring(recipe.sections))
    return recipe


def _wrong_parts(sections: Mapping[str, Mapping[str, Spec]], single: Mapping[str, Spec]) -> list[Mistake]:
    """Names that are none, and components of another kind."""
    found: list[tuple[KeyPath, Any, str]] = [((address,), spec, _KINDS[address]) for address, spec in single.items()]
    mistakes = []
    for section, specs in sections.items():
        found += [((section, name), spec, NAMED[section]) for name, spec in specs.items()]
        if section in REQUIRED and not specs:
            mistakes.append(Mistake((section,), "is empty; a model needs at least one"))
        mistakes += [
            Mistake((section, name), f"expected a name of lower-case letters, digits and underscores, got {name!r}")
            for name in specs
            if not NAME.fullmatch(name)
        ]
    for path, spec, kind in found:
        if not isinstance(spec, BASES[kind]):
            mistakes.append(Mistake(path, f"expected a mtkit.spec.{BASES[kind].__name__}, got {spec!r}"))
    return mistakes


def _with_auto(
    given: str, evaluate: Evaluate, task: Mapping[str, TaskHead], data: DataSource, registry: Registry
) -> dict[str, Baseline]:
    """The baselines that fit the tasks, and those of `evaluate`, which stay as they are set."""
    if given != AUTO:
        _raise([Mistake(("baselines",), f'expected "auto", got {given!r}; others are listed in evaluate')])
    picked = auto_baselines(task.values(), data.schema())
    return {name: registry.get("baseline", name)() for name in picked} | dict(evaluate.baselines)


def _names(specs: Mapping[str, Spec], registry: Registry) -> dict[str, str]:
    """Address -> what recipes call the component, or the class where no distribution offers it."""
    offered = {(entry.kind, entry.value): entry.name for entry in registry.entries()}
    named = {}
    for address, spec in specs.items():
        value = f"{type(spec).__module__}:{type(spec).__qualname__}"
        named[address] = offered.get((spec.kind, value), value)
    return named


def _raise(mistakes: list[Mistake]) -> None:
    if mistakes:
        raise RecipeError([Document().problem(mistake) for mistake in mistakes])
