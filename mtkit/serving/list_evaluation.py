"""Lists of two stages, measured on the evaluation rows of the retrieval task as a request would get them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.evaluation.metrics import RankingProtocol, list_metrics
from mtkit.evaluation.rank import Scorer
from mtkit.evaluation.user_sums import Measured
from mtkit.feed.batch import Batch
from mtkit.feed.interface import evaluation_of
from mtkit.heads.base import Tensors
from mtkit.model.assembly import Pipeline
from mtkit.model.forward import Forward, encode_limited
from mtkit.recipe.registry import Registry
from mtkit.serving.candidates import best
from mtkit.serving.request_statistics import RequestStatistics
from mtkit.serving.two_stages import ItemFilter, TwoStages, without_own

#: What lists are called among the figures of the retrieval task, in the place of a slice; not that of a recipe.
LISTS = "recommend"
#: The candidates in the order of the retrieval task, beside the model.
RETRIEVAL = "retrieval"
#: Pairs of a row and a candidate that are predicted at once.
PAIRS = 1 << 16


def evaluate_lists(pipeline: Pipeline, protocol: RankingProtocol) -> Measured:
    """`task/recommend/metric[@k]` of the final lists; beside it, as `retrieval`, of the candidates in their first order.

    Beside the metrics of the recipe there are `coverage`, and `diversity`: 1 less the mean cosine of the candidates' embeddings
    in a list. Nothing is measured where the recipe makes no such lists.

    Args:
        pipeline: the trained model and its rows.
        protocol: how rankings are judged.
    """
    settings, task = pipeline.recipe.recommend, pipeline.recipe.recommending
    if settings is None or task is None:
        return Measured()
    maker = _Lists(pipeline, task)
    table = pipeline.tables[pipeline.plan.rows_of(task)]["eval"].weighed(pipeline.plan.tasks[task].scales)
    judged = _with_spread(protocol, maker.unit())
    final, first = (
        list_metrics(task, LISTS, maker.scorer(stage), table, judged, seen=settings.seen) for stage in (1, 0)
    )
    final.beside[RETRIEVAL] = first
    return final


def _with_spread(protocol: RankingProtocol, unit: np.ndarray) -> RankingProtocol:
    """The protocol that also measures how many items lists show, and how much these differ."""
    registry = Registry.installed()
    coverage, diversity = (
        registry.get("ranking_metric", registry.own("ranking_metric", name)) for name in ("coverage", "diversity")
    )
    spread = {"coverage": coverage(), "diversity": diversity(by=LISTS)}
    # A diversity that the recipe measures is by a column, and stays.
    metrics = {**spread, **protocol.metrics}
    return replace(protocol, metrics=metrics, vectors={**protocol.vectors, LISTS: unit})


class _Lists:
    """Makes the lists of evaluation rows.

    Args:
        pipeline: the trained model and its rows.
        task: the retrieval task.
    """

    def __init__(self, pipeline: Pipeline, task: str) -> None:
        settings, model = pipeline.recipe.recommend, pipeline.model
        assert settings is not None, "who makes lists has settings"
        self._table, self._settings = evaluation_of(pipeline.plan.rows_of(task)), settings
        self._statistics = RequestStatistics(pipeline)
        self._stages = TwoStages(pipeline, settings, task, self._statistics.added)
        self._filter = ItemFilter(
            pipeline, settings, pipeline.plan.candidate_entity(task), next(iter(pipeline.fold.events.ids))
        )
        self._model, self._task, self._head = model, task, model.heads[task]
        self._encoded = _called(lambda: encode_limited(model))
        self._candidates = _called(self._whole)
        self._made: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        self._make = tf.function(
            self._both, input_signature=[tf.TensorSpec([None], tf.int64), *map(_spec, (self._candidates, self._encoded))],
            autograph=False,
        ).get_concrete_function()  # fmt: skip

    def unit(self) -> np.ndarray:
        """What items are like, as vectors of length 1, `[items, n]`."""
        unit: np.ndarray = tf.math.l2_normalize(self._head.alike(self._candidates), -1).numpy()
        return unit

    def scorer(self, stage: int) -> Scorer:
        """Scores that give the lists: of the candidates in their order (0), or the final ones (1)."""

        def score(numbers: np.ndarray) -> np.ndarray:
            size = max(1, PAIRS // self._settings.candidates)
            blocks = [self._lists(numbers[begin : begin + size])[stage] for begin in range(0, len(numbers), size)]
            return _in_order(np.concatenate(blocks), len(self._candidates))

        return score

    def _lists(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The items of both lists of some rows, `[rows, candidates]`, 0 where there are no more; made once."""
        if (key := numbers.tobytes()) not in self._made:
            made = self._make(tf.constant(numbers, tf.int64), self._candidates, self._encoded)
            self._made[key] = tuple(items.numpy() for items in made)
        return self._made[key]

    def _whole(self) -> tf.Tensor:
        return self._head.catalog(Forward(self._model, encoded=self._encoded).task(self._task, Batch({})))

    def _both(self, numbers: tf.Tensor, candidates: tf.Tensor, encoded: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        batch = self._statistics.added(self._model.feed.batch(self._table, numbers))
        forward = Forward(self._model, whole=frozenset(), encoded=encoded)
        query = self._head.queries(forward.task(self._task, batch))
        scores = self._filter.kept(self._head.score(query, candidates, batch), {}, batch)
        if not self._settings.seen:
            scores = without_own(scores, batch.lists["own"])
        number = tf.constant(self._settings.candidates)
        found = best(scores, number, tf.zeros([1, 0], tf.int32))
        alike = self._head.alike(candidates)
        final = self._stages.ordered(forward, batch, found, number, lambda items: tf.gather(alike, items))
        return tuple(tf.where(values > -np.inf, items, 0) for values, items in (found, final))


def _called(function: Callable[[], Any]) -> Any:
    # Concrete, for TensorFlow warns of functions that are made anew with each model.
    return tf.function(function, autograph=False).get_concrete_function()()


def _spec(tensors: tf.Tensor | Tensors) -> tf.TensorSpec | dict[str, tf.TensorSpec]:
    return tf.nest.map_structure(tf.TensorSpec.from_tensor, tensors)


def _in_order(lists: np.ndarray, items: int) -> np.ndarray:
    """Scores float32 `[rows, items]` by which the items of each list are in its order; -inf for all others."""
    scores = np.full((len(lists), items), -np.inf, np.float32)
    np.put_along_axis(scores, lists, np.arange(lists.shape[1], 0, -1).astype(np.float32), axis=1)
    scores[:, 0] = -np.inf
    return scores
