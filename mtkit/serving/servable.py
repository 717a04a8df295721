"""A trained pipeline as functions of ids and raw features: what an export holds.

Each table is a variable, held once; nothing is of Python or Keras. The state is as of the end of the data: a user's
past and own items are everything the data know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.data.known_as_of import history_bounds, known_columns
from mtkit.feed.batch import Batch
from mtkit.feed.device_tables import RowStore
from mtkit.feed.request_history import given_past, known_age
from mtkit.heads.base import TaskPass, Tensors
from mtkit.model.forward import Forward, encode_limited
from mtkit.schema import AGE, CONTEXT, HISTORY, Address
from mtkit.serving.candidates import Candidates, best
from mtkit.serving.lookup import Lookup
from mtkit.serving.request_checks import same_shape
from mtkit.serving.request_features import Form, Given, GivenFeatures
from mtkit.serving.request_past import past_events
from mtkit.serving.request_statistics import RequestStatistics
from mtkit.serving.similar_items import ItemsTogether, Neighbors, SimilarItems
from mtkit.serving.two_stages import ItemFilter, TwoStages, without_own
from mtkit.spec import ServingInput, Trained
from mtkit.types import Fold, RowTable

#: What encoders are told of the age of a purchase at an unknown moment, in days.
LONG_AGO = 3650.0

T = TypeVar("T")


def serving_rows(fold: Fold, columns: Collection[str], counted: Where | None = None) -> RowTable:
    """One row per user, row u = user u, with the past as of the end of the fold.

    Args:
        fold: the events.
        columns: those that follow from what was known, as of `known_columns`.
        counted: the interactions that these columns count; None = all.
    """
    acting = next(iter(fold.events.ids))
    users = np.arange(len(fold.catalog(acting)), dtype=np.int32)
    time = np.full(len(users), fold.end, np.int64)
    table = RowTable(
        name="serving",
        ids={acting: users},
        time=time,
        history=history_bounds(fold.events, users, time),
        known=time,
    )
    return known_columns(fold, table, columns, counted)


class Servable(tf.Module):
    """The state of a trained pipeline, what requests to it consist of, and what it recommends.

    Args:
        pipeline: the trained pipeline.
        main: the retrieval task that is served by `recommend`; None = there is none.
        unseen: whether there are signatures for users and items that are not in the data.
        strings: whether there are signatures that take texts as strings, beside those that take token ids.
        together: items that go with each item, in the order of their catalog; None = there is no such signature.
    """

    def __init__(
        self,
        pipeline: Trained,
        main: str | None,
        unseen: bool,
        strings: bool = False,
        together: Neighbors | None = None,
    ) -> None:
        super().__init__(name="servable")
        model, fold, plan = pipeline.model, pipeline.fold, pipeline.plan
        features = GivenFeatures(pipeline, derive=unseen, strings=strings)
        self._main, self.unseen = main, unseen
        statistics = RequestStatistics(pipeline)
        self._pipeline, self._features = _Untracked(pipeline), _Untracked(features)
        self._statistics = _Untracked(statistics)
        settings = pipeline.recipe.recommend if main is not None else None
        self._stages = _Untracked(TwoStages(pipeline, settings, main, statistics.added) if settings and main else None)
        # Layers would be saved as Keras objects with a function each; what they hold is all that serving needs.
        self.weights, self.feature_state = list(model.variables), [*features.state(), *statistics.state()]
        feed = model.feed.as_of(fold.end)
        self._feed, self.data = _Untracked(feed), list(feed.state())
        lookups = {name: Lookup(name, entity.ids) for name, entity in fold.entities.items()}
        self.lookups = {scope: lookups[entity] for scope, entity in fold.schema.scopes.items()}
        encoded = _encoded(pipeline)
        self.prepared = {name: _held(f"prepared.{name}", content) for name, content in _prepared(pipeline, encoded)}
        read = {c for name, spec in plan.encoders.items() if name not in self.prepared for c in spec.content}
        self.encoded = _held("encoded", {name: v for name, v in encoded.items() if name in read or plan.limited(name)})
        self.user, self.item = list(fold.events.ids)[:2] or ("", "")
        if self.user:
            self.users = RowStore(serving_rows(fold, {"own", *self.columns}, self._counted))
        if main is not None:
            embeddings = self.head.catalog(Forward(model, encoded=encoded).task(main, Batch({})))
            self.candidates = Candidates(self.head, embeddings, self.users.gather(tf.constant([0], tf.int64)))
            self.filter = ItemFilter(pipeline, settings, self.item, self.user) if settings else None
            self.similar = SimilarItems(self.candidates, tf.norm(self.head.alike(embeddings), axis=1))
        self.together = None if together is None else ItemsTogether(together)

    def known(self, entity: str, name: str = "") -> Given:
        """Ids of an entity, or role; those of the user bring along the past.

        Args:
            entity: the entity, or role.
            name: of the input; default: `<entity>_id`.
        """
        name, lookup = name or f"{entity}_id", self.lookups[entity]
        inputs = {
            name: ServingInput("string", (), f"id of the {entity} as in the data; others are the unknown {entity}")
        }
        if entity != self.user:
            return Given(inputs, lambda given: Batch({entity: lookup.rows(given[name])}))
        return Given(inputs, lambda given: self.users.gather(tf.cast(lookup.rows(given[name]), tf.int64)))

    def new_item(self, entity: str, tasks: Iterable[str], form: Form = Form.IDS) -> Given | None:
        """Raw features of an entity without a past; None if it has none that could be given in this form."""
        features = self._new(entity, tasks, form)
        if not features or not features.inputs:
            return None
        first = next(iter(features.inputs))
        return Given({}, lambda given: Batch({entity: tf.zeros(tf.shape(given[first])[:1], tf.int32)})) | features

    def new_user(self, tasks: Collection[str], form: Form = Form.IDS) -> Given | None:
        """Raw features of a user and what he or she bought; None if they cannot be given in this form."""
        features = self._new(self.user, tasks, form)
        return None if features is None else self.past_along(tasks) | features

    def past_along(self, tasks: Collection[str], user: int = 0) -> Given:
        """What was bought, which comes with a request, in the place of what the data know of a user's past.

        Args:
            tasks: what is asked.
            user: whose other columns the rows have, a number of the catalog; 0 = the unknown.
        """
        ids, age = f"{HISTORY}_{self.item}_ids", f"{HISTORY}_age"
        inputs = {
            ids: ServingInput(
                "string", (None,), f"{self.item}s of the past, oldest first, padded in front with empty strings"
            ),
            age: ServingInput(
                "float32",
                (None,),
                "days since each of them; the same number = the same basket; nan or negative = unknown",
            ),
        }
        counted = self._counted if self._main in tasks else None
        events = self._past_events(tasks, counted, ids)

        def batch(given: Tensors) -> Batch:
            items, known = self.lookups[self.item].rows(given[ids]), events.batch(given)
            rows = self.users.gather(tf.fill(tf.shape(items)[:1], tf.constant(user, tf.int64)))
            days = known_age(same_shape(given[ids], given[age], (ids, age)))
            bought = items if counted is None else tf.where(known.holding[counted], items, 0)
            own, dense = given_past(bought, days, self.columns)
            past: dict[str, tf.Tensor] = {
                Address.of(HISTORY, self.item): items,
                AGE: tf.where(items > 0, tf.where(tf.math.is_finite(days), days, LONG_AGO), 0.0),
            }
            return replace(
                rows,
                lists={**rows.lists, "own": own},
                dense={**rows.dense, **dense},
                given={**past, **known.given},
                holding=known.holding,
            )

        return Given({**inputs, **events.inputs}, batch)

    def bounds(self) -> Given:
        """The numbers of a user who is not in the data by which lists are bounded; without one, nothing is recommended."""
        found = Given()
        for bound in self.filter.bounds if self.filter else ():
            about = f"what no {self.item} of the list may exceed; nan = nothing is recommended"
            found |= Given({bound.input: ServingInput("float32", (), about)}, bound.brought)
        return found

    def _new(self, entity: str, tasks: Iterable[str], form: Form) -> Given | None:
        """Raw features of an entity that is not in the data, and what its statistics are looked up by."""
        features = self._features.value.of(entity, tasks, form) if self.unseen else None
        return None if features is None else features | self._statistics.value.of_request(entity, self._encoders(tasks))

    def _encoders(self, tasks: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(name for task in tasks for name in self.pipeline.plan.encoders_of(task)))

    def _past_events(self, tasks: Collection[str], counted: Where | None, ids: str) -> Given:
        """What encoders of some tasks read of past events, and what conditions look at."""
        pipeline = self.pipeline
        encoders = [pipeline.plan.encoders[name] for name in self._encoders(tasks)]
        conditions = [] if counted is None else [counted]
        return past_events(encoders, conditions, pipeline.fold.schema.interactions, pipeline.features.layers, ids)

    def context(self, tasks: Iterable[str]) -> Given:
        """Raw context features that the tasks read, or what they read is looked up by."""
        context = self._features.value.of(CONTEXT, tasks)
        assert context is not None
        return context | self._statistics.value.of_request(CONTEXT, self._encoders(tasks))

    @property
    def pipeline(self) -> Trained:
        """What is served."""
        return self._pipeline.value

    @property
    def main(self) -> str:
        """The retrieval task."""
        assert self._main is not None
        return self._main

    @property
    def columns(self) -> tuple[str, ...]:
        """Of what is known of a user, what the retrieval task reads."""
        return () if self._main is None else self.pipeline.plan.tasks[self._main].columns("eval")

    @property
    def _counted(self) -> Where | None:
        """Which interactions count as the own past, where the retrieval task ranks; None = all."""
        if self._main is None:
            return None
        where: Where | None = self.pipeline.recipe.rows[self.pipeline.plan.rows_of(self._main)].counted
        return where

    @property
    def retrieves(self) -> bool:
        """Whether there is a retrieval task."""
        return self._main is not None

    @property
    def head(self) -> Any:
        """The layer of the main task."""
        return self.pipeline.model.heads[self.main]

    def forward(self) -> Forward:
        """A forward pass on requests."""
        return Forward(
            self.pipeline.model,
            whole=frozenset(),
            encoded=self.encoded,
            prepared=self.prepared,
            feed=self._feed.value,
        )

    def request(self, task: str, batch: Batch) -> TaskPass:
        """A forward pass, as a task sees it."""
        return self.forward().task(task, self._statistics.value.added(batch))

    @property
    def tasks(self) -> list[str]:
        """The tasks that make lists: the retrieval task, and those that order its candidates."""
        return list(dict.fromkeys((self.main, *(self.stages.settings.asked if self.stages else ()))))

    @property
    def stages(self) -> TwoStages | None:
        """How lists are made in two stages; None = by the retrieval task alone."""
        return self._stages.value

    def retrieve(self, batch: Batch, k: tf.Tensor, exclude_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best items of the whole catalog by the retrieval task, masked before the top is taken.

        Args:
            batch: of users.
            k: int32, a scalar.
            exclude_ids: strings `[users or 1, n]`.

        Returns:
            `<item>_ids`, `scores` and `seen`, each `[users, k]`.
        """
        query = self.head.queries(self.request(self.main, batch))
        excluded = self.lookups[self.item].rows(exclude_ids)
        scores = self.candidates.scores(query, batch)
        for bound in self.filter.bounds if self.filter else ():
            scores = tf.where(bound.holds(batch), scores, -np.inf)
        return self._listed(batch, *best(scores, k, excluded))

    def recommend(
        self, batch: Batch, k: tf.Tensor, exclude_ids: tf.Tensor, wanted: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """The best items by the utility of a model in two stages, in one pass; without one as `retrieve`.

        Args:
            batch: of users.
            k: int32, a scalar.
            exclude_ids: strings `[users or 1, n]`.
            wanted: column of the items -> values that are wanted, strings `[users or 1, n]`.

        Returns:
            `<item>_ids`, `scores` and `seen`, each `[users, k]`, or of as many as there are candidates.
        """
        if (stages := self.stages) is None:
            return self.retrieve(batch, k, exclude_ids)
        batch, forward = self._statistics.value.added(batch), self.forward()
        scores = self.candidates.scores(self.head.queries(forward.task(self.main, batch)), batch)
        assert self.filter is not None, "what has stages has a filter"
        scores = self.filter.kept(scores, wanted, batch)
        if not stages.settings.seen:
            scores = without_own(scores, batch.lists["own"])
        number = tf.constant(stages.settings.candidates)
        found = best(scores, number, self.lookups[self.item].rows(exclude_ids))
        return self._listed(batch, *stages.ordered(forward, batch, found, k, self.candidates.embeddings))

    def _listed(self, batch: Batch, scores: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
        there = scores > -np.inf
        return {
            f"{self.item}_ids": tf.where(there, self.lookups[self.item].names(items), ""),
            "scores": scores,
            "seen": self.candidates.among(batch.lists["own"], items) & there,
        }

    def nearest(self, like: SimilarItems | ItemsTogether, item_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Items like some items, `<item>_ids` and `scores`, `[rows, n]`, best first; nothing is like an item that is not known.

        Args:
            like: in which way.
            item_ids: strings `[rows]`.
            k: int32, a scalar.
        """
        items = self.lookups[self.item].rows(item_ids)
        scores, found = like.nearest(items, k)
        scores = tf.where(items[:, None] > 0, scores, -np.inf)
        names = tf.where(scores > -np.inf, self.lookups[self.item].names(found), "")
        return {f"{self.item}_ids": names, "scores": scores}

    def past(self, batch: Batch, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The last `k` events of users, or all of the longest past, `[users, n]`, latest first.

        Returns:
            `<item>_ids`, `times`, and with a retrieval task `seen`, whether the item is in the own past as it counts it.
        """
        items, times = self._feed.value.last_events(batch.history, k)
        answer = {f"{self.item}_ids": self.lookups[self.item].names(items), "times": times}
        return answer | ({"seen": self.candidates.among(batch.lists["own"], items)} if self.retrieves else {})


def _encoded(pipeline: Trained) -> dict[str, tf.Tensor]:
    """Outputs for a whole entity that others read, or that are computed once for all requests: by encoder."""
    content = dict.fromkeys(c for spec in pipeline.plan.encoders.values() for c in spec.content)
    forward = Forward(pipeline.model)
    return {name: forward.encoded_entity(name) for name in content} | encode_limited(pipeline.model)


def _prepared(pipeline: Trained, encoded: Tensors) -> Iterator[tuple[str, Tensors]]:
    """What encoders read of whole entities, where they prepare it, so that requests do not."""
    for name, spec in pipeline.plan.encoders.items():
        if spec.content and hasattr(pipeline.model.encoders[name], "prepare"):
            yield name, Forward(pipeline.model, encoded=encoded).content(name)


def _held(name: str, tensors: Tensors) -> dict[str, tf.Variable]:
    return {key: tf.Variable(values, trainable=False, name=f"{name}.{key}") for key, values in tensors.items()}


class _Untracked(Generic[T]):
    """Keeps an object out of what a tf.Module saves."""

    def __init__(self, value: T) -> None:
        self.value = value
