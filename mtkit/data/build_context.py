"""What the components of a recipe are told on one cut of the data; no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mtkit.data.columns import raw
from mtkit.data.fit_features import changed_texts, text_layers
from mtkit.data.row_tables import Tables
from mtkit.errors import DataError, WiringError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.schema import Address
from mtkit.spec import BuildContext, Encoder, FeatureInfo
from mtkit.types import Fold


def make_context(
    recipe: Recipe,
    plan: Plan,
    fold: Fold,
    tables: Tables,
    features: Mapping[str, FeatureInfo],
    cache_dir: Path,
    counters: dict[str, int],
) -> BuildContext:
    """What every component is told; its name is left to be set.

    Args:
        recipe: the resolved recipe.
        plan: its tasks.
        fold: the catalogs.
        tables: row table -> part -> its rows, of which labels and classes are told.
        features: address -> how it arrives; empty where nothing was preprocessed.
        cache_dir: where frozen encoders keep their vectors.
        counters: receives counts such as `texts_encoded`.
    """
    # Of the fold nothing else is kept: its events need not stay where they are.
    catalogs, schema = {scope: fold.catalog(scope) for scope in fold.schema.scopes}, fold.schema
    sizes = {scope: catalog.known for scope, catalog in catalogs.items()}

    texts = text_layers(recipe.preprocess, fold)

    def column(entity: str, name: str) -> np.ndarray:
        if name == "id":
            return np.array([None, *catalogs[entity].ids[1:].tolist()], object)
        values, layer = (
            raw(catalogs[entity].columns[name], schema.columns(entity)[name]),
            texts.get(Address.of(entity, name)),
        )
        return values if layer is None else changed_texts(layer, values)

    def labels(task: str) -> tuple[np.ndarray, np.ndarray]:
        spec = plan.predictions()[task]
        rows = tables[spec.rows]["train"].weighed(spec.scales)
        return rows.labels[spec.predicts], rows.weights[spec.predicts]

    names = class_names(plan, tables)
    return BuildContext(
        name="",
        tasks=tuple(recipe.task),
        features=dict(features) | {Address.of(name, "id"): FeatureInfo(size=size) for name, size in sizes.items()},
        hidden=frozenset(recipe.train.hide),
        sizes=sizes,
        classes={task: max(2, len(of_task)) for task, of_task in names.items()},
        candidates={name: sizes[plan.candidate_entity(name)] for name in plan.rankings()},
        cache_dir=cache_dir,
        column=column,
        encoders=recipe.encoder,
        counters=counters,
        class_names=names,
        kept_negatives={
            task: rate
            for task, spec in plan.predictions().items()
            if (rate := tables[spec.rows]["train"].kept.get(spec.predicts))
        },
        labels=labels,
        roles=tuple(fold.schema.roles),
    )


def of_encoder(context: BuildContext, name: str, spec: Encoder) -> BuildContext:
    """What an encoder is told: of raw columns, those that it declares to read.

    Another one may be a label, or what a label was made of, which nobody would notice.
    """
    declared = {(address.scope, address.column) for address in map(Address, spec.reads)}

    def column(entity: str, column: str) -> np.ndarray:
        if column != "id" and (entity, column) not in declared:
            raise WiringError(
                f"encoder.{name}: asks for {entity}.{column}, which its `reads` does not name; it reads {', '.join(spec.reads)}"
            )
        return context.column(entity, column)

    return replace(context, name=name, column=column)


def class_names(plan: Plan, tables: Tables) -> dict[str, tuple[str, ...]]:
    """Prediction task -> names of its classes; none where the label is binary or a number."""
    return {
        name: tuple(tables[spec.rows]["train"].classes.get(spec.predicts, ()))
        for name, spec in plan.predictions().items()
    }


def frozen_vectors(context: BuildContext, name: str, entity: str) -> np.ndarray:
    """What an encoder derives from the catalog of an entity, float32 `[rows, width]`; rows of length 1, or 0 for none.

    Args:
        context: for all components.
        name: of the encoder.
        entity: whose catalog.

    Raises:
        DataError: the encoder has no frozen vectors, or they are those of another entity.
    """
    spec = context.encoders[name]
    derived = spec.derive(of_encoder(context, name, spec))
    found = [
        values
        for address, values in derived.items()
        if Address(address).scope == entity and values.ndim == 2 and np.issubdtype(values.dtype, np.floating)
    ]
    if len(found) != 1:
        has = ", ".join(f"{address} ({values.dtype})" for address, values in derived.items()) or "nothing"
        raise DataError(
            f"encoder {name!r} derives {has}, and no vectors of {entity} that are frozen; name an encoder that does, "
            "such as one of texts with a frozen model"
        )
    lengths = np.linalg.norm(found[0], axis=1, keepdims=True)
    vectors: np.ndarray = found[0] / np.where(lengths > 0, lengths, 1)
    return vectors
