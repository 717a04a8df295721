"""Why an item has its score for a user: what anyone has, what is known of the user, and each item of the past."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.feed.batch import Batch
from mtkit.model.assembly import Pipeline
from mtkit.model.forward import Forward, encode_limited
from mtkit.schema import HISTORY
from mtkit.serving.request_features import Given
from mtkit.serving.servable import Servable
from mtkit.spec import RetrievalTask
from mtkit.types import DAY

ORDERS = 8
"""Orders in which the items of a past are put together; half of them are the others reversed."""
MANY = 100
"""Distinct items of a past from which on there are two orders alone."""
ADDITIVE = 1e-4
"""Parts that differ by less between orders, as a share of the largest, are those of a sum."""
RESIDUAL = 0.01
"""What parts may leave of a score unexplained before that is said."""
_ROWS = 128
_SEED = 0


@dataclass(frozen=True)
class PastPart:
    """What an item of a past does for a score.

    Attributes:
        item: its id.
        times: how many events it has.
        part: its part of the score: what it adds, in the mean over orders in which the past is put together.
        removed: how the score changes if this item alone is taken out of the past.
        repeat: whether it is the item that is scored, so that this is the part of having had it before.
    """

    item: str
    times: int
    part: float
    removed: float
    repeat: bool


@dataclass(frozen=True)
class Explanation:
    """The parts of a score: `anyone + known + Σ part of past + residual = score`.

    Attributes:
        task: the retrieval task.
        user: the id.
        item: the id.
        score: what the task says, before a recipe's `[recommend]`.
        anyone: what the score is for an unknown user without a past: the item's popularity, features and texts.
        known: what knowing the user changes, without the past: id and features.
        past: items of the past, those first that change the score most if they are removed.
        residual: what the parts leave, such as what an encoder sees of a past in other ways than by its events.
        additive: whether each part is the same in every order, so that it is exact; else they are means over some orders.
        encoders: encoder of the item -> by how much the score falls if its embedding is 0; these are no parts of a sum.
    """

    task: str
    user: str
    item: str
    score: float
    anyone: float
    known: float
    past: tuple[PastPart, ...]
    residual: float
    additive: bool
    encoders: Mapping[str, float]

    @property
    def is_whole(self) -> bool:
        """Whether the residual is at most 1 % of the score."""
        return abs(self.residual) <= RESIDUAL * abs(self.score)

    def plain(self) -> dict[str, Any]:
        """The explanation for JSON."""
        return asdict(self) | {"past": [asdict(part) for part in self.past]}


def explain(pipeline: Pipeline, user: Any, item: Any = None) -> Explanation:
    """The parts of the score that the retrieval task gives an item for a user, as of the end of the data.

    Items of the past are there or not, so there is no path along which a gradient could be integrated; their parts are Shapley
    values instead, which sum to the score as integrated gradients do, and are exact where the model is additive.

    Source: Shapley, "A value for n-person games", 1953; Castro et al., "Polynomial calculation of the Shapley value based on
    sampling", 2009. Deviation: eight orders of a fixed seed, of which four are the others reversed; two where a past has over 100
    items.

    Args:
        pipeline: a trained pipeline.
        user: an id, as in the data.
        item: an id; default: the item with the highest score.

    Raises:
        RunError: no task ranks items, or the user or the item is not in the data.
    """
    return _Explainer(pipeline).explain(str(user), None if item is None else str(item))


class _Explainer:
    """A pipeline as it is asked about pasts of which some items are left out."""

    def __init__(self, pipeline: Pipeline) -> None:
        task = pipeline.recipe.recommending
        if task is None:
            raise RunError("the model has no retrieval task, so there are no scores of items to explain")
        self._pipeline, self._task = pipeline, task
        self._served = Servable(pipeline, task, unseen=False)
        self._head, spec = self._served.head, pipeline.plan.tasks[task]
        assert isinstance(spec, RetrievalTask), "what recommends has candidates"
        rows = Forward(pipeline.model, encoded=encode_limited(pipeline.model)).task(task, Batch({}))
        self._view, self._ids = dict(rows.catalog(spec.candidate)), rows.catalog_ids(spec.candidate[0])
        self._catalog = self._head.candidate(self._view, self._ids)

    def explain(self, user: str, item: str | None) -> Explanation:
        row = self._row(self._served.user, user)
        whole = self._served.users.gather(tf.constant([row], tf.int64))
        all_scores = self._head.score(self._query(whole), self._catalog, whole).numpy()[0]
        all_scores[0] = -np.inf
        candidate = int(np.argmax(all_scores)) if item is None else self._row(self._served.item, item)
        score = float(all_scores[candidate])
        items, scores_of = self._past(row, candidate)
        kept = np.ones(len(items), bool)
        anyone = float(self._past(0, candidate, like=row)[1](np.zeros((1, len(items)), bool))[0])
        start, full = (float(value) for value in scores_of(np.stack([~kept, kept])))
        parts, additive = _shapley(scores_of, len(items))
        removed = scores_of(~np.eye(len(items), dtype=bool)) - full if len(items) else np.zeros(0)
        past = [
            PastPart(self._name(of), times, float(part), float(change), of == candidate)
            for (of, times), part, change in zip(items.items(), parts, removed, strict=True)
        ]
        return Explanation(
            self._task,
            user,
            self._name(candidate),
            score,
            anyone,
            start - anyone,
            tuple(sorted(past, key=lambda one: -abs(one.removed))),
            score - float(start + parts.sum()),
            additive,
            {name: score - self._without(name, whole, candidate) for name in self._view} if len(self._view) > 1 else {},
        )

    def _row(self, role: str, name: str) -> int:
        row = int(self._served.lookups[role].rows(tf.constant([name])).numpy()[0])
        if not row:
            some = ", ".join(repr(self._name(n, role)) for n in (1, 2, 3) if n < len(self._pipeline.fold.catalog(role)))
            raise RunError(f"no {role} of the catalog is called {name!a}; ids are as in the data, such as {some}")
        return row

    def _name(self, row: int, role: str = "") -> str:
        name: bytes = self._served.lookups[role or self._served.item].names(tf.constant([row], tf.int32)).numpy()[0]
        return name.decode()

    def _query(self, batch: Batch) -> tf.Tensor:
        return self._head.queries(self._served.request(self._task, batch))

    def _without(self, name: str, batch: Batch, item: int) -> float:
        """The score if the embedding of one encoder of the item was 0."""
        view = {**self._view, name: tf.zeros_like(self._view[name])}
        catalog = self._head.candidate(view, self._ids)
        return float(self._head.score(self._query(batch), catalog, batch).numpy()[0, item])

    def _past(
        self, user: int, item: int, like: int | None = None
    ) -> tuple[dict[int, int], Callable[[np.ndarray], np.ndarray]]:
        """Distinct items of a past -> events, and a function from which of them are kept, bool `[rows, items]`, to scores.

        Args:
            user: whose features there are.
            item: what is scored.
            like: whose past it is; default: the user's.
        """
        events, fold = self._pipeline.fold.events, self._pipeline.fold
        begin, end = events.offsets[[like or user, (like or user) + 1]]
        there = begin + np.flatnonzero(events.time[begin:end] < fold.end)
        rows = events.ids[self._served.item][there]
        distinct, which, times = np.unique(rows, return_inverse=True, return_counts=True)
        given = self._served.past_along([self._task], user)
        raw = self._raw(given, there)

        def scores(kept: np.ndarray) -> np.ndarray:
            found = [
                self._scored(given, raw, kept[at : at + _ROWS][:, which], item) for at in range(0, len(kept), _ROWS)
            ]
            return np.concatenate(found)

        return dict(zip(distinct.tolist(), times.tolist(), strict=True)), scores

    def _raw(self, given: Given, there: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs of a request with all of a past, `[events]` each."""
        fold, item = self._pipeline.fold, self._served.item
        ids, age = f"{HISTORY}_{item}_ids", f"{HISTORY}_age"
        found = {
            ids: self._served.lookups[item].names(tf.constant(fold.events.ids[item][there])).numpy(),
            age: ((fold.end - fold.events.time[there]) / DAY).astype(np.float32),
        }
        for name in given.inputs.keys() - found.keys():
            column = fold.events.columns[name.removeprefix(f"{HISTORY}_")].take(pa.array(there))
            if given.inputs[name].dtype == "string":
                found[name] = np.array(pc.fill_null(pc.cast(column, "string"), "").to_pylist(), object)
            else:
                found[name] = np.array(column.to_pylist(), np.float32)
        return found

    def _scored(self, given: Given, raw: Mapping[str, np.ndarray], kept: np.ndarray, item: int) -> np.ndarray:
        """Scores of an item for pasts of which some events are kept, bool `[rows, events]`."""
        ids = next(iter(raw))
        inputs = {name: tf.constant(np.broadcast_to(values, kept.shape)) for name, values in raw.items()}
        inputs[ids] = tf.constant(np.where(kept, raw[ids], b"").astype(object))
        batch = given.batch(inputs)
        wanted = tf.fill([len(kept), 1], tf.constant(item, tf.int32))
        scores: np.ndarray = self._head.score_some(self._query(batch), self._catalog, wanted, batch).numpy()[:, 0]
        return scores.astype(float)


def _shapley(scores: Callable[[np.ndarray], np.ndarray], players: int) -> tuple[np.ndarray, bool]:
    """Parts float64 `[players]`, and whether they were the same in all orders.

    Args:
        scores: from which players are there, bool `[rows, players]`, to float64 `[rows]`.
        players: how many there are.
    """
    random, parts = np.random.default_rng(_SEED), []
    for _ in range(1 if players > MANY else ORDERS // 2):
        order = random.permutation(players)
        parts += [_gains(scores, order), _gains(scores, order[::-1])]
    found = np.stack(parts)
    spread = np.abs(found - found.mean(0)).max(initial=0.0)
    return found.mean(0), bool(spread <= ADDITIVE * np.abs(found).max(initial=0.0) + 1e-6)


def _gains(scores: Callable[[np.ndarray], np.ndarray], order: np.ndarray) -> np.ndarray:
    """What each player adds to those before it."""
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    values = scores(np.arange(len(order) + 1)[:, None] > place)
    gains: np.ndarray = np.diff(values)[place]
    return gains
