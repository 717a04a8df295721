"""From a recipe and data to a pipeline: fold, row tables, features, layers, model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.data.build_context import class_names, make_context
from mtkit.data.fit_features import FeatureTables, fit_features
from mtkit.data.memory import check_memory
from mtkit.data.row_tables import make_tables
from mtkit.errors import RecipeError, WiringError
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.slices import check_new
from mtkit.feed.device_tables import DeviceData, EntityTable, EventLog, RowStore
from mtkit.feed.step_rows import Rate, epoch_rows, ordered_rows
from mtkit.model.multi_task import EVAL, Layers, MultiTaskModel
from mtkit.recipe.loader import Recipe
from mtkit.recipe.model_graph import Plan
from mtkit.runtime.optimizers import precision_scope
from mtkit.runtime.strategies import check_replicas
from mtkit.spec import BuildContext, Cut, FeatureInfo, Spec
from mtkit.types import Dataset, Fold, Part, RowTable


@dataclass(frozen=True)
class Pipeline:
    """A model on one fold of the data, ready to train, evaluate and export.

    Attributes:
        recipe: the resolved recipe.
        fold: what was known, and what is to be predicted.
        tables: row table -> part -> its rows, context columns as they were in the data.
        features: preprocessed columns and the state of what was learned for them.
        plan: who reads what.
        strategy: where the model's variables live.
        model: the model, built; not compiled.
        eval_rows: row table -> the rows to be evaluated, on the device.
        classes: task -> names of its label's classes; empty for binary labels.
        context: what the components were built with.
    """

    recipe: Recipe
    fold: Fold
    tables: Mapping[str, Mapping[Part, RowTable]]
    features: FeatureTables
    plan: Plan
    strategy: tf.distribute.Strategy
    model: MultiTaskModel
    eval_rows: Mapping[str, RowStore]
    classes: Mapping[str, tuple[str, ...]]
    context: BuildContext

    def rates(self) -> dict[str, Rate]:
        """How each row table that a task trains on is consumed."""
        used = {spec.rows for spec in self.plan.tasks.values()}
        return {
            name: Rate(len(self.tables[name]["train"]), spec.batch_size)
            for name, spec in self.recipe.rows.items()
            if name in used
        }

    def train_data(self) -> Any:
        """One epoch of training rows for `model.fit`, in a new order each time that it is iterated."""
        rates, epoch_of = self.rates(), self.recipe.train.epoch_of
        assert epoch_of is not None
        return epoch_rows(rates, self.recipe.seed, rates[epoch_of].steps, self.strategy)

    def eval_data(self, *tables: str) -> Any:
        """Every evaluation row once, in order, for `model.evaluate`, `model.predict` and as `validation_data`.

        Args:
            tables: row tables; default: all that a task uses.
        """
        plan = self.plan
        used = {table for name, spec in plan.tasks.items() for table in (spec.rows, plan.rows_of(name))}
        rates = {
            f"{name}{EVAL}": Rate(self.eval_rows[name].rows, spec.batch_size)
            for name, spec in self.recipe.rows.items()
            if name in (tables or used)
        }
        return ordered_rows(rates, self.strategy)

    def protocol(self) -> RankingProtocol:
        """How rankings are judged, as the recipe says.

        Raises:
            DataError: a slice or a metric asks for something that the data do not have.
        """
        return RankingProtocol.of(self.recipe.evaluate, self.fold, self.context)


def build_pipeline(
    recipe: Recipe,
    dataset: Dataset,
    cut: Cut,
    strategy: tf.distribute.Strategy,
    cache_dir: Path,
    counters: dict[str, int],
) -> Pipeline:
    """Assembles everything for one cut.

    Args:
        recipe: the resolved recipe.
        dataset: the raw tables.
        cut: what is known and what is to be predicted.
        strategy: created variables are placed by it.
        cache_dir: where frozen encoders keep their vectors.
        counters: receives counts such as `texts_encoded`.

    Raises:
        DataError: the data do not fit the recipe, or the machine.
        RecipeError: a task asks for something that its row table does not have.
        StrategyError: a component does not fit the strategy.
        WiringError: components cannot be connected as the recipe asks.
    """
    plan = Plan(recipe.encoder, recipe.correlation, recipe.task)
    fold, tables = make_tables(recipe, plan, dataset, cut)
    check_new(recipe, plan, fold, tables)
    if not tf.config.list_physical_devices("GPU"):
        check_memory(recipe, plan, fold, tables)
    classes = class_names(plan, tables)
    reads = [address for spec in recipe.encoder.values() for address in spec.reads]
    features = fit_features(reads, recipe.preprocess.values(), fold, tables)
    context = make_context(recipe, plan, fold, classes, features.infos, cache_dir, counters)
    _check_strings(recipe, context)
    check_replicas(strategy, _parts(recipe))
    with strategy.scope(), precision_scope(recipe.train.precision):
        derived, inputs = _derived(recipe, context)
        context = replace(context, features=dict(context.features) | _infos(derived))
        eval_rows = {name: RowStore(features.apply(parts["eval"])) for name, parts in tables.items()}
        data = _device_data(fold, features, tables, derived, eval_rows)
        keras.utils.set_random_seed(recipe.seed)
        layers = _layers(recipe, plan, context, inputs)
        model = MultiTaskModel(plan, layers, data)
        _probe(model, tables)
    _refuse_batch_norm(model)
    return Pipeline(recipe, fold, tables, features, plan, strategy, model, eval_rows, classes, context)


def _check_strings(recipe: Recipe, context: BuildContext) -> None:
    """Refuses, before anything is trained, texts that the export could not take as strings."""
    if not recipe.export.strings:
        return
    refusals = {name: spec.string_refusal(replace(context, name=name)) for name, spec in recipe.encoder.items()}
    problems = [
        recipe.problem(("export", "text_signatures"), f"encoder {name}: {why}") for name, why in refusals.items() if why
    ]
    if problems:
        raise RecipeError(problems)


def _probe(model: MultiTaskModel, tables: Iterable[str]) -> None:
    """One pass, which makes all variables and shows whether the layers fit together."""
    try:
        model({name: tf.zeros([2], tf.int64) for name in tables})
    except WiringError as error:
        # Keras puts the arguments of the call around the message.
        message = re.search(
            r"^Exception encountered when calling .*?\n\n(.*?)\n\nCall arguments", str(error), re.DOTALL
        )
        raise WiringError(message.group(1) if message else str(error)) from error


def _parts(recipe: Recipe) -> dict[str, Spec]:
    """Place in the recipe -> spec, for what the model consists of."""
    kinds = {"encoder": recipe.encoder, "correlation": recipe.correlation, "task": recipe.task}
    parts: dict[str, Spec] = {f"{kind}.{name}": spec for kind, specs in kinds.items() for name, spec in specs.items()}
    return parts | {"balance": recipe.balance}


def _derived(recipe: Recipe, context: BuildContext) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]]]:
    """Static columns that encoders compute once, and the addresses that each encoder's layer is called with."""
    derived: dict[str, np.ndarray] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    for name, spec in recipe.encoder.items():
        own = dict(spec.derive(replace(context, name=name)))
        derived |= own
        direct = [a for a in spec.reads if a in context.features or a.startswith("history.")]
        inputs[name] = (*direct, *own)
    return derived, inputs


def _infos(derived: Mapping[str, np.ndarray]) -> dict[str, FeatureInfo]:
    return {address: FeatureInfo(width=values.shape[1]) for address, values in derived.items()}


def _device_data(
    fold: Fold,
    features: FeatureTables,
    tables: Mapping[str, Mapping[Part, RowTable]],
    derived: Mapping[str, np.ndarray],
    eval_rows: Mapping[str, RowStore],
) -> DeviceData:
    entities = {}
    for name, entity in fold.entities.items():
        columns = {
            a.partition(".")[2]: v for a, v in {**features.entities, **derived}.items() if a.startswith(f"{name}.")
        }
        entities[name] = EntityTable(name, len(entity), columns)
    rows = {name: RowStore(features.apply(parts["train"])) for name, parts in tables.items()}
    rows |= {f"{name}{EVAL}": store for name, store in eval_rows.items()}
    return DeviceData(entities, EventLog(fold.events, item) if (item := fold.events.item) else None, rows)


def _layers(recipe: Recipe, plan: Plan, context: BuildContext, inputs: Mapping[str, tuple[str, ...]]) -> Layers:
    encoders = {name: spec.build(replace(context, name=name)) for name, spec in recipe.encoder.items()}
    correlations: dict[str, dict[str, Any]] = {}
    for name, spec in recipe.correlation.items():
        targets = (name,) if spec.apply == "pair" else plan.on(name)
        correlations[name] = {e: spec.build(replace(context, name=f"{name}_{e}")) for e in targets}
    heads = {name: spec.build(replace(context, name=name)) for name, spec in recipe.task.items()}
    # Losses are sums over many rows, which half precision cannot hold.
    with precision_scope("float32"):
        balancer = recipe.balance.build(replace(context, name="balance"))
    return Layers(encoders, inputs, correlations, heads, balancer)


def _refuse_batch_norm(model: MultiTaskModel) -> None:
    for layer in model._flatten_layers():  # noqa: SLF001 - the public `layers` is not recursive
        if isinstance(layer, keras.layers.BatchNormalization):
            raise WiringError(
                f"layer {layer.name!r} normalizes over the batch, so a row's result would depend on other rows, and "
                "one replica would train differently from several; use LayerNormalization"
            )
