"""The sections of a recipe, or what could be made of them, and what follows from several of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mtkit.conditions import Where, where_fields, where_lists
from mtkit.recipe.search_settings import Search
from mtkit.recipe.settings import Data, Evaluate, Expect, NamedEvents, Recommend, Train
from mtkit.recipe.toml_positions import KeyPath
from mtkit.schema import CONTEXT, Address, Schema
from mtkit.spec import (
    Balancer,
    Callback,
    Cleaner,
    Correlation,
    Encoder,
    Exporter,
    GroupPreprocessor,
    Preprocessor,
    Rows,
    RowStatistics,
    Spec,
    TaskHead,
)


@dataclass
class Draft:
    """The sections of a recipe, or what could be made of them: None stands for a part that is named but not valid."""

    data: Data | None
    clean: Mapping[str, Cleaner | None]
    events: Mapping[str, NamedEvents | None]
    rows: Mapping[str, Rows | None]
    preprocess: Mapping[str, Preprocessor | None]
    encoder: Mapping[str, Encoder | None]
    correlation: Mapping[str, Correlation | None]
    task: Mapping[str, TaskHead | None]
    balance: Balancer | None
    train: Train | None
    evaluate: Evaluate | None
    recommend: Recommend | None
    search: Search | None
    expect: Expect | None
    export: Exporter | None
    callback: Mapping[str, Callback | None]
    hook: Mapping[str, Any]


def with_known(schema: Schema, preprocessors: Mapping[str, Preprocessor | None]) -> Schema:
    """The schema with what preprocessors make: of what was known before rows, and of groups of columns.

    What one makes that is not valid is not known; so it makes all that it might.
    """
    names = (name for name, spec in preprocessors.items() if spec is None or isinstance(spec, RowStatistics))
    groups: dict[Address, tuple[Address, ...]] = {}
    for name, spec in preprocessors.items():
        if isinstance(spec, GroupPreprocessor):
            groups[spec.made(name)] = spec.columns
        elif spec is None:
            groups |= dict.fromkeys((Address.of(scope, name) for scope in (CONTEXT, *schema.scopes)), ())
    # A name that a column has is a mistake of its own.
    groups = {address: of for address, of in groups.items() if address not in schema.features()}
    return schema.model_copy(update={"known": tuple(names), "groups": groups})


def embeddings(
    encoders: Mapping[str, Encoder | None], correlations: Mapping[str, Correlation | None]
) -> dict[str, frozenset[Address]]:
    """Every named embedding -> addresses of the row that it depends on.

    What an encoder takes from whole catalogs (`content`) is the same for every row and is not counted.
    """
    reads = {name: frozenset(map(Address, encoder.reads if encoder else ())) for name, encoder in encoders.items()}
    for name, correlation in correlations.items():
        if name not in reads and (correlation is None or correlation.apply == "pair"):
            on = (correlation and correlation.on) or tuple(reads)
            own = map(Address, correlation.features if correlation else ())
            reads[name] = frozenset(own).union(*(reads.get(n, frozenset()) for n in on))
    return reads


def conditions(draft: Draft) -> Iterator[tuple[KeyPath, Where]]:
    """Every condition of a recipe, by its place."""
    places: list[tuple[KeyPath, Any]] = [
        ((section, name), spec)
        for section in ("clean", "events", "rows", "encoder", "task")
        for name, spec in getattr(draft, section).items()
    ]
    catalogs = draft.data.catalog if draft.data else {}
    places += [(("data", "catalog", name), catalog) for name, catalog in catalogs.items()]
    baselines = draft.evaluate.baselines.values() if draft.evaluate else ()
    places += [(("evaluate", "baselines", index), baseline) for index, baseline in enumerate(baselines)]
    for path, spec in places:
        for key in where_fields(type(spec)) if spec else ():
            if where := getattr(spec, key):
                yield (*path, key), where
        for key in where_lists(type(spec)) if spec else ():
            yield from (((*path, key, index), where) for index, where in enumerate(getattr(spec, key)))


def key_of(spec: Spec | None, value: str, default: str) -> str:
    """The key of a component's table that has a value, alone or in a list; the default if none has it as it is."""
    return next((key for key, held in spec or () if value in (held if isinstance(held, tuple) else (held,))), default)
