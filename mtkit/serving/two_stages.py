"""Lists in two stages: candidates of the retrieval task, ordered by what other tasks say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mtkit.backend import tf
from mtkit.data.conditions import holding
from mtkit.feed.batch import Batch, Lists
from mtkit.model.forward import Forward
from mtkit.recipe.settings import Recommend
from mtkit.spec import Trained

#: What comes before the column of a user that bounds what is recommended, among what a request brings.
BOUND = "bound/"
#: The least probability of which a logarithm is taken.
TINY = 1e-12


class TwoStages:
    """What becomes of the candidates of a batch, in the pass that found them.

    Args:
        pipeline: the trained pipeline.
        settings: the recipe's section `recommend`.
        retrieval: the retrieval task.
        added: makes a batch one with the statistics of the past that its ids have.
    """

    def __init__(self, pipeline: Trained, settings: Recommend, retrieval: str, added: Callable[[Batch], Batch]) -> None:
        self.settings, self.retrieval = settings, retrieval
        self._heads, self._added = pipeline.model.heads, added
        self._item = pipeline.plan.candidate_entity(retrieval)

    def ordered(
        self,
        forward: Forward,
        batch: Batch,
        found: tuple[tf.Tensor, tf.Tensor],
        k: tf.Tensor,
        embeddings: Callable[[tf.Tensor], tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The utilities and items of the final lists, `[rows, n]`, best first; -inf where there are no more.

        Args:
            forward: the pass in which the queries of the batch were computed.
            batch: the rows.
            found: scores and items of the candidates, `[rows, candidates]`, the best first; a score of -inf is no candidate.
            k: int32, a scalar, how long the lists are.
            embeddings: from items `[rows, n]` to what they are like, `[rows, n, dim]`.
        """
        scores, items = found
        utility = self.utility(forward, batch, scores, items)
        k = tf.minimum(k, tf.shape(items)[1])
        if self.settings.diversity:
            unit = tf.math.l2_normalize(embeddings(items), -1)
            places = spread(_scaled(utility), unit, k, self.settings.diversity)
            top = tf.gather(utility, places, batch_dims=1)
        else:
            top, places = tf.math.top_k(utility, k)
        return top, tf.gather(items, places, batch_dims=1)

    def utility(self, forward: Forward, batch: Batch, scores: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """The utility of each candidate, `[rows, candidates]`; -inf where it is none, or below a floor."""
        said = self._said(forward, batch, items)
        there = scores > -np.inf
        # Where nothing is a candidate a softmax has no value, and any does.
        said[self.retrieval] = tf.nn.softmax(tf.where(there, scores, scores.dtype.min), -1)
        weights = self.settings.utility.items()
        if self.settings.combine == "sum":
            utility = tf.add_n([weight * said[task] for task, weight in weights])
        else:
            logarithms = [weight * tf.math.log(tf.maximum(said[task], TINY)) for task, weight in weights]
            utility = tf.exp(tf.add_n(logarithms))
        for task, floor in self.settings.floors.items():
            there &= said[task] >= floor
        utility = tf.where(tf.math.is_finite(utility), utility, utility.dtype.min)
        return tf.where(there, utility, -np.inf)

    def _said(self, forward: Forward, batch: Batch, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the tasks that predict say of each candidate, `[rows, candidates]`."""
        pairs = self._added(batch.paired(self._item, items))
        asked = [task for task in self.settings.asked if task != self.retrieval]
        answers = {task: self._heads[task].answers(forward.task(task, pairs)) for task in asked}
        return {task: tf.reshape(tf.cast(answer, tf.float32), tf.shape(items)) for task, answer in answers.items()}


def _scaled(utility: tf.Tensor) -> tf.Tensor:
    """Utilities from 0 to 1 in each row; -inf stays."""
    there = utility > -np.inf
    least = tf.reduce_min(tf.where(there, utility, np.inf), -1, keepdims=True)
    most = tf.reduce_max(utility, -1, keepdims=True)
    return tf.where(there, tf.math.divide_no_nan(utility - least, most - least), -np.inf)


def spread(relevance: tf.Tensor, unit: tf.Tensor, k: tf.Tensor, diversity: float) -> tf.Tensor:
    """Places of the candidates that maximal marginal relevance takes, int32 `[rows, k]`, in its order.

    Source: Carbonell and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998.

    Args:
        relevance: `[rows, n]`; what is -inf is taken last.
        unit: `[rows, n, dim]`, of length 1.
        k: int32, a scalar, at most n.
        diversity: weight of the largest cosine with what was taken before, against 1 - that of the relevance.
    """
    n = tf.shape(relevance)[1]

    def step(i: tf.Tensor, left: tf.Tensor, near: tf.Tensor, taken: tf.TensorArray) -> tuple[tf.Tensor, ...]:
        value = (1 - diversity) * relevance - diversity * near
        # What was taken is behind what is no candidate; TensorFlow finds no maximum among numbers that are the least there are.
        place = tf.argmax(tf.where(left, tf.maximum(value, value.dtype.min / 2), -np.inf), -1, tf.int32)
        chosen = tf.gather(unit, place, batch_dims=1)
        cosine = tf.linalg.matvec(unit, chosen)
        near = tf.where(i > 0, tf.maximum(near, cosine), cosine)
        return i + 1, left & ~tf.cast(tf.one_hot(place, n), tf.bool), near, taken.write(i, place)

    taken = tf.TensorArray(tf.int32, k, element_shape=[None])
    begin = (tf.constant(0), tf.ones_like(relevance, tf.bool), tf.zeros_like(relevance), taken)
    *_, taken = tf.while_loop(lambda i, *_: i < k, step, begin, parallel_iterations=1)
    return tf.transpose(taken.stack())


def without_own(scores: tf.Tensor, own: Lists) -> tf.Tensor:
    """Scores `[rows, items]`, -inf for the items of a row's own past."""
    places = tf.stack([tf.cast(own.row, tf.int32), own.values["id"]], 1)
    return tf.tensor_scatter_nd_update(
        scores, places, tf.fill(tf.shape(places)[:1], tf.constant(-np.inf, scores.dtype))
    )


class ItemFilter(tf.Module):
    """Which items may be in a list: those that a recipe means, and of these what a request wants.

    Args:
        pipeline: the trained pipeline.
        settings: the recipe's section `recommend`.
        item: the entity that is recommended.
        user: the role that it is recommended to.
    """

    def __init__(self, pipeline: Trained, settings: Recommend, item: str, user: str) -> None:
        super().__init__(name="filter")
        catalog, declared = pipeline.fold.catalog(item), pipeline.fold.schema.columns(item)
        self.allowed: tf.Variable | None = None
        if settings.where:
            allowed = holding(settings.where, catalog.columns, declared)
            self.allowed = tf.Variable(allowed, trainable=False, name="filter.where")
        self.bounds = [
            _Bound(user, bound, _numbers(pipeline, user, bound), _numbers(pipeline, item, name))
            for name, bound in settings.suitability.items()
        ]
        self.columns = {name: _Values(name, catalog.columns[name].to_pylist()) for name in settings.filters}

    def kept(self, scores: tf.Tensor, wanted: Mapping[str, tf.Tensor], batch: Batch) -> tf.Tensor:
        """Scores `[users, items]`, -inf where an item may not be in the list.

        Args:
            scores: of the catalog.
            wanted: column -> values that are wanted, strings `[users or 1, n]`, empty ones say nothing; without any, all are.
            batch: of the users.
        """
        for bound in self.bounds:
            scores = tf.where(bound.holds(batch), scores, -np.inf)
        if self.allowed is not None:
            scores = tf.where(self.allowed, scores, -np.inf)
        for name, values in wanted.items():
            column = self.columns[name]
            asked = tf.reduce_any(values != "")
            # The pass over the catalog is made where it is asked for.
            scores = tf.cond(
                asked, lambda s=scores, c=column, v=values: tf.where(c.among(v), s, -np.inf), lambda s=scores: s
            )
        return scores


class _Bound(tf.Module):
    """What a number of each user lets through of the catalog; a number that is missing lets nothing through.

    Args:
        role: of the users.
        column: of the users.
        limits: float32 `[users]`, nan where it is missing.
        values: float32 `[items]`, the same.
    """

    def __init__(self, role: str, column: str, limits: np.ndarray, values: np.ndarray) -> None:
        super().__init__(name=f"bound_{column}")
        self.role, self.input = role, f"{role}_{column}"
        self._given = f"{BOUND}{column}"
        self.limits = tf.Variable(limits, trainable=False, name=f"bound.{column}")
        self.values = tf.Variable(values, trainable=False, name="bound.items")

    def holds(self, batch: Batch) -> tf.Tensor:
        """Bool `[rows, items]`, false where either number is missing, for nothing is smaller than nan."""
        limits = batch.given.get(self._given)
        if limits is None:
            limits = tf.gather(self.limits, batch.ids[self.role])
        return self.values <= limits[:, None]

    def brought(self, given: Mapping[str, tf.Tensor]) -> Batch:
        """The part of a request that brings the number along, float32 `[rows]`, as its input."""
        return Batch({}, given={self._given: given[self.input]})


def _numbers(pipeline: Trained, scope: str, column: str) -> np.ndarray:
    """A column of numbers of a catalog, float32 `[rows]`, nan where it is null."""
    values = pipeline.fold.catalog(scope).columns[column]
    return np.array([np.nan if value is None else value for value in values.to_pylist()], np.float32)


class _Values(tf.Module):
    """A categorical column of the catalog as numbers: 0 = none, or none that is known."""

    def __init__(self, name: str, values: list[str | None]) -> None:
        super().__init__(name=f"filter_{name}")
        known = sorted({str(value) for value in values if value not in (None, "")})
        numbers = {value: number for number, value in enumerate(known, 1)}
        table = tf.lookup.KeyValueTensorInitializer(
            tf.constant(known, tf.string), tf.range(1, len(known) + 1, dtype=tf.int32)
        )
        self._size = len(known) + 1
        self.table = tf.lookup.StaticHashTable(table, 0)
        self.of_items = tf.Variable(
            [numbers.get(str(v), 0) for v in values], dtype=tf.int32, trainable=False, name=f"filter.{name}"
        )

    def among(self, values: tf.Tensor) -> tf.Tensor:
        """Which items have one of the values, bool `[users or 1, items]`; rows that want nothing have all."""
        hot = tf.reduce_any(tf.one_hot(self.table.lookup(values), self._size, True, False, dtype=tf.bool), 1)
        hot = tf.concat([tf.zeros_like(hot[:, :1]), hot[:, 1:]], 1)
        nothing = tf.reduce_all(values == "", 1)
        return tf.gather(hot | nothing[:, None], self.of_items, axis=1)
