"""From a recipe and data to a pipeline: fold, row tables, features, layers, model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.data.build_context import class_names, make_context, of_encoder
from mtkit.data.conditions import holding
from mtkit.data.earlier import Earlier
from mtkit.data.fit_features import FeatureTables, fit_features
from mtkit.data.known_as_of import KNOWN
from mtkit.data.prepared_features import Encoded, read_features
from mtkit.data.row_tables import features_of, rows_of
from mtkit.data.step_rules import batch_of, batch_sizes, learning_rate_of
from mtkit.errors import RecipeError, WiringError
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.slices import check_slices, trained_ids
from mtkit.feed.device_tables import DeviceTables, HeldRows, RowStore
from mtkit.feed.features import EntityTable, EventLog
from mtkit.feed.interface import evaluation_of
from mtkit.feed.neighborhoods import Neighborhoods
from mtkit.feed.step_rows import WINDOW, Queries, Rate, epoch_rows, ordered_rows
from mtkit.feed.streamed_rows import StreamedRows
from mtkit.files import cache_directory
from mtkit.model.hiding import Hiding, without_unseen
from mtkit.model.multi_task import Layers, MultiTaskModel
from mtkit.recipe.hide_checks import hides_ids
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.runtime.precision import precision_scope
from mtkit.runtime.strategies import check_replicas, make_strategy
from mtkit.schema import HISTORY, Address
from mtkit.spec import BuildContext, Cut, FeatureInfo, Spec, TaskHead
from mtkit.spec.heads import query_column
from mtkit.types import Dataset, Fold, Part, RowTable, Watch, unwatched

LOG_ON_DEVICE = 1 << 28
"""Bytes of the events of prepared data up to which they are read onto the device; more of them stay in their files."""


@dataclass(frozen=True)
class Streamed:
    """What is read from prepared data as it is needed.

    Attributes:
        tables: row table -> part -> its rows, mapped, as a feed holds them.
        of_events: column of past events that encoders read -> it, mapped.
    """

    tables: Encoded
    of_events: Mapping[str, np.ndarray]

    def stored(self, name: str, part: Part, sizes: Mapping[str, int] | None = None) -> StreamedRows:
        """A row table in files."""
        return StreamedRows(self.tables[name][part], sizes)


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
    classes: Mapping[str, tuple[str, ...]]
    context: BuildContext

    def rates(self) -> dict[str, Rate]:
        """How each row table that a task trains on is consumed."""
        used = {spec.rows for spec in self.plan.tasks.values()}
        rows = {name: spec for name, spec in self.recipe.rows.items() if name in used}
        sizes = {name: self.tables[name]["train"].units for name in rows}
        batches = batch_sizes(rows, sizes, self.recipe.train)
        window = WINDOW if self.model.feed.streamed else 0
        return {name: Rate(sizes[name], of, queries=self._queries(name), window=window) for name, of in batches.items()}

    def _queries(self, table: str) -> Queries | None:
        """The queries whose training rows come into a step together; None where rows are drawn one by one."""
        by = self.plan.queries(table)
        return Queries.of(self.tables[table]["train"].dense[query_column(by[0])]) if by else None

    def rows_of(self, rate: Rate, table: str) -> float:
        """How many rows a step has at a rate, on average; more than it draws, where it draws sequences."""
        made = self.tables[table]["train"]
        return rate.batch_size * len(made) / made.units

    def learning_rate(self) -> float:
        """The learning rate after warm-up."""
        train = self.recipe.train
        assert train.epoch_of is not None, "a recipe that was read says it"
        return train.learning_rate or learning_rate_of(self.rates()[train.epoch_of].batch_size)

    def steps_per_epoch(self) -> int:
        """Steps of one pass over the table of `train.epoch_of`, or less as the recipe says."""
        train = self.recipe.train
        assert train.epoch_of is not None, "a recipe that was read says it"
        steps = self.rates()[train.epoch_of].steps
        return min(steps, train.steps_per_epoch or steps)

    def train_data(self) -> Any:
        """One epoch of training rows for `model.fit`, in a new order each time that it is iterated."""
        return epoch_rows(self.rates(), self.recipe.seed, self.steps_per_epoch(), self.strategy)

    def eval_data(self, *tables: str) -> Any:
        """Every evaluation row once, in order, for `model.evaluate`, `model.predict` and as `validation_data`.

        Args:
            tables: row tables; default: all that a task uses.
        """
        plan = self.plan
        used = {table for spec in plan.tasks.values() for table in (spec.rows, spec.evaluated_on)}
        rates = {
            evaluation_of(name): Rate(rows := len(self.tables[name]["eval"]), spec.batch_size or batch_of(rows))
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


def assemble(
    recipe: Recipe,
    dataset: Dataset,
    cut: Cut,
    *,
    strategy: tf.distribute.Strategy | None = None,
    cache_dir: Path | None = None,
    counters: dict[str, int] | None = None,
    numbered: Mapping[str, np.ndarray] | None = None,
    earlier: Earlier | None = None,
    watch: Watch = unwatched,
) -> Pipeline:
    """Assembles everything for one cut.

    Args:
        recipe: the resolved recipe.
        dataset: the raw tables.
        cut: what is known and what is to be predicted.
        strategy: created variables are placed by it; default: the one that the recipe names.
        cache_dir: where frozen encoders keep their vectors; default: the user's.
        counters: receives counts such as `texts_encoded`.
        numbered: entity -> ids that have their numbers, as of `make_fold`.
        earlier: the run that this one goes on with (`train.replay`); its numbers hold where `numbered` has none.
        watch: shows what is at work.

    Raises:
        DataError: the data do not fit the recipe, or the machine.
        RecipeError: a task asks for something that its row table does not have.
        StrategyError: a component does not fit the strategy.
        WiringError: components cannot be connected as the recipe asks.
    """
    strategy = make_strategy(recipe) if strategy is None else strategy
    plan = recipe.plan
    with watch("catalogs and rows", 0):
        numbered = numbered or (earlier.numbered if earlier else None)
        fold, tables = rows_of(recipe, dataset, cut, numbered, model=not tf.config.list_physical_devices("GPU"))
        if earlier is not None:
            fold, tables = earlier.fold(fold), earlier.tables(plan, fold, tables)
        check_slices(recipe, fold, tables)
    classes = class_names(plan, tables)
    streamed: Streamed | None = None
    with watch("features", 0):
        if dataset.prepared is None:
            states = earlier.states if earlier else None
            features = fit_features(plan.addresses(), recipe.preprocess, fold, tables, earlier=states)
        else:
            features, encoded, of_events = read_features(features_of(dataset.prepared, cut), recipe, fold, tables)
            streamed = Streamed(encoded, of_events)
    cache_dir = cache_dir or cache_directory()
    context = make_context(recipe, plan, fold, tables, features.infos, cache_dir, {} if counters is None else counters)
    _check_export(recipe, context)
    check_replicas(strategy, _components(recipe))
    with strategy.scope(), precision_scope(recipe.train.precision):
        derived, inputs = _derived(recipe, context)
        context = replace(context, features=dict(context.features) | _infos(derived))
        with watch("the model and its tables", 0):
            log, graph = _event_log(recipe, fold, features, streamed), _graph(recipe, fold)
            feed = _device_tables(fold, features, tables, derived, log, graph, context.hidden, streamed)
            if feed.events is not None:
                fold = replace(fold, events=feed.events.seen(fold.events))
            keras.utils.set_random_seed(recipe.seed)
            layers = _layers(recipe, plan, context, inputs)
            hiding = Hiding.of(recipe.train.hide, fold, recipe.data.catalog)
            model = MultiTaskModel(plan, layers, feed, recipe.seed, hiding)
            _probe(model, tables)
    _refuse_batch_norm(model)
    return Pipeline(recipe, fold, tables, features, plan, strategy, model, classes, context)


def _check_export(recipe: Recipe, context: BuildContext) -> None:
    """Refuses, before anything is trained, what the exporter could not write."""
    contexts = {name: replace(context, name=name) for name in recipe.encoder}
    found = recipe.export.unfit(recipe.encoder, contexts)
    problems = [recipe.problem(("export", *path), message) for path, message in found]
    main = recipe.recommending
    if main is not None and recipe.export.servable:
        problems += [
            recipe.problem(("task", main, "use"), message) for message in _unknown_to_requests(recipe.task[main])
        ]
    problems += [recipe.problem(path, message) for path, message in _many_classes(recipe, context)]
    if problems:
        raise RecipeError(problems)


def _many_classes(recipe: Recipe, context: BuildContext) -> Iterator[tuple[tuple[str, ...], str]]:
    """Tasks by which lists are ordered, and that say several numbers of an item."""
    lists = recipe.recommend
    for key, given in (("utility", lists.utility), ("floors", lists.floors)) if lists else ():
        for task in given:
            if (classes := context.classes.get(task, 2)) > 2:
                label = recipe.task[task].predicts
                message = f"orders items by one number, but {label!r} has {classes} classes; name one of a binary label"
                yield ("recommend", key, task), message


def _unknown_to_requests(task: TaskHead) -> Iterator[str]:
    """Columns by which a task ranks, and that only rows of the data have."""
    if extra := sorted({*task.columns("eval")} - {*KNOWN, "target"}):
        yield (
            f"it ranks by {', '.join(extra)} of its rows, which a request to the exported model does not have; what is known "
            f"of a user is {', '.join(KNOWN)}"
        )


def _probe(model: MultiTaskModel, tables: Iterable[str]) -> None:
    """One pass, which makes all variables, those of the balancer too, and shows whether the layers fit together."""
    model({name: tf.zeros([2], tf.int64) for name in tables})
    model.build_balancer()


def _components(recipe: Recipe) -> dict[str, Spec]:
    """Place in the recipe -> spec, for what the model consists of."""
    kinds = {"encoder": recipe.encoder, "correlation": recipe.correlation, "task": recipe.task}
    found: dict[str, Spec] = {f"{kind}.{name}": spec for kind, specs in kinds.items() for name, spec in specs.items()}
    return found | {"balance": recipe.balance}


def _derived(recipe: Recipe, context: BuildContext) -> tuple[dict[Address, np.ndarray], dict[str, tuple[Address, ...]]]:
    """Static columns that encoders compute once, and the addresses that each encoder's layer is called with."""
    derived: dict[Address, np.ndarray] = {}
    inputs: dict[str, tuple[Address, ...]] = {}
    for name, spec in recipe.encoder.items():
        own = {Address(address): values for address, values in spec.derive(of_encoder(context, name, spec)).items()}
        derived |= own
        direct = [a for a in map(Address, spec.reads) if a in context.features or a.scope == HISTORY]
        inputs[name] = (*direct, *own)
    return derived, inputs


def _infos(derived: Mapping[Address, np.ndarray]) -> dict[str, FeatureInfo]:
    return {address: FeatureInfo(width=values.shape[1]) for address, values in derived.items()}


def _device_tables(
    fold: Fold,
    features: FeatureTables,
    tables: Mapping[str, dict[Part, RowTable]],
    derived: Mapping[Address, np.ndarray],
    events: EventLog | None,
    graph: Neighborhoods | None,
    hidden: Collection[str] = (),
    streamed: Streamed | None = None,
) -> DeviceTables:
    """Everything on the device but what is streamed; `tables` then see their columns there, so that none is held twice."""
    held = streamed.stored if streamed else partial(_stored, features, tables)
    rows: dict[str, HeldRows] = {evaluation_of(name): held(name, "eval") for name in tables}
    columns = {**features.of_catalogs(fold), **derived}
    entities = {}
    for scope in fold.schema.scopes:
        own = {address.column: values for address, values in columns.items() if address.scope == scope}
        trained = trained_ids(fold, scope) if hides_ids(hidden, scope) and scope in fold.events.ids else None
        if trained is not None:
            own = {name: without_unseen(values, trained) for name, values in own.items()}
        entities[scope] = EntityTable(scope, len(fold.catalog(scope)), own, fold.catalog(scope).guests, trained)
    sizes = {scope: len(fold.catalog(scope)) for scope in fold.schema.scopes}
    rows |= {name: held(name, "train", sizes) for name in tables}
    return DeviceTables(entities, events, rows, graph)


def _graph(recipe: Recipe, fold: Fold) -> Neighborhoods | None:
    """The graph of past events, if an encoder reads it."""
    asked = [around for spec in recipe.encoder.values() if (around := spec.neighborhood)]
    return Neighborhoods.of(fold, asked) if asked else None


def _event_log(
    recipe: Recipe, fold: Fold, features: FeatureTables, streamed: Streamed | None = None
) -> EventLog | None:
    """The events with what encoders read of them, and the conditions by which these choose."""
    if (item := fold.events.item) is None:
        return None
    conditions = dict.fromkeys(where for spec in recipe.encoder.values() if (where := spec.history_where))
    columns, declared = fold.events.columns, fold.schema.interactions
    read = features.of_events(fold) if streamed is None else streamed.of_events
    chosen = {where: holding(where, columns, declared) for where in conditions}
    size = sum(values.nbytes for values in (fold.events.ids[item], fold.events.time, *read.values()))
    return EventLog(fold.events, item, read, chosen, mapped=streamed is not None and size > LOG_ON_DEVICE)


def _stored(
    features: FeatureTables,
    tables: Mapping[str, dict[Part, RowTable]],
    name: str,
    part: Part,
    sizes: Mapping[str, int] | None = None,
) -> RowStore:
    store = RowStore(features.apply(tables[name][part]), sizes)
    tables[name][part] = store.seen(tables[name][part])
    return store


def _layers(recipe: Recipe, plan: Plan, context: BuildContext, inputs: Mapping[str, tuple[Address, ...]]) -> Layers:
    encoders = {name: spec.build(of_encoder(context, name, spec)) for name, spec in recipe.encoder.items()}
    correlations = {name: _correlating(recipe, plan, context, name) for name in recipe.correlation}
    heads = {name: spec.build(replace(context, name=name)) for name, spec in recipe.task.items()}
    # Losses are sums over many rows, which half precision cannot hold.
    with precision_scope("float32"):
        balancer = recipe.balance.build(replace(context, name="balance"))
    return Layers(encoders, inputs, correlations, heads, balancer)


def _correlating(recipe: Recipe, plan: Plan, context: BuildContext, name: str) -> dict[str, Any]:
    """Embedding -> the layer of a correlation.

    Raises:
        RecipeError: embeddings that are to share one are of different tasks.
    """
    spec = recipe.correlation[name]
    tasks = {embedding: of for embedding in plan.targets(name) if (of := plan.tasks_of(name, embedding))}
    if not spec.share:
        return {e: spec.build(replace(context, name=f"{name}_{e}", tasks=of)) for e, of in tasks.items()}
    first = next(iter(tasks))
    for embedding, of in tasks.items():
        if of != tasks[first]:
            message = (
                f"{first!r} is of {', '.join(tasks[first])} and {embedding!r} of {', '.join(of)}, by a correlation before it "
                'with tasks = "reading"; one layer is for the same tasks: set tasks = "all" there, or share = false'
            )
            raise RecipeError([recipe.problem(("correlation", name, "share"), message)])
    return dict.fromkeys(tasks, spec.build(replace(context, name=name, tasks=tasks[first])))


def _refuse_batch_norm(model: MultiTaskModel) -> None:
    for layer in model._flatten_layers():  # noqa: SLF001 - the public `layers` is not recursive
        if isinstance(layer, keras.layers.BatchNormalization):
            raise WiringError(
                f"layer {layer.name!r} normalizes over the batch, so a row's result would depend on other rows, and "
                "one replica would train differently from several; use LayerNormalization"
            )
