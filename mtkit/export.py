"""One SavedModel that serves a trained pipeline: ids in, recommendations and predictions out.

The servable holds each table once, as variables, and nothing of Python or Keras. Its state is as of the end of the data:
a user's past and own items are everything the data know.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.data.history import as_of, history_bounds
from mtkit.data.store import RowStore
from mtkit.model import Forward
from mtkit.pipeline import Pipeline
from mtkit.spec import PredictionTask, RetrievalTask
from mtkit.types import Fold, RowTable

DEFAULT_K = 10


def serving_rows(fold: Fold) -> RowTable:
    """One row per user, row u = user u, with the past as of the end of the fold."""
    user_entity, item_entity = list(fold.events.ids)[:2]
    users = np.arange(len(fold.entities[user_entity]), dtype=np.int32)
    time = np.full(len(users), fold.end, np.int64)
    return RowTable(
        name="serving",
        ids={user_entity: users},
        time=time,
        history=history_bounds(fold.events, users, time),
        **as_of(fold.events, users, time, len(fold.entities[item_entity])),
    )


class Lookup(tf.Module):
    """Between the data's ids, as strings, and rows of an entity table; what is not known is row 0.

    Args:
        name: the entity.
        ids: `[rows]` strings or integers; the first stands for the unknown.
    """

    def __init__(self, name: str, ids: np.ndarray) -> None:
        super().__init__(name=name)
        strings = [str(value) for value in ids[1:]]
        rows = tf.range(1, len(ids), dtype=tf.int32)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.constant(strings), rows), 0)
        self.ids = tf.Variable(["", *strings], trainable=False, name=f"{name}.ids")

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Rows int32 of the shape of `ids`."""
        return self.table.lookup(ids)

    def names(self, rows: tf.Tensor) -> tf.Tensor:
        """Ids, strings of the shape of `rows`."""
        return tf.gather(self.ids, rows)


class Servable(tf.Module):
    """A trained pipeline as functions of ids.

    Args:
        pipeline: the trained pipeline.
        main: the retrieval task that `recommend` serves.
    """

    def __init__(self, pipeline: Pipeline, main: str) -> None:
        super().__init__(name="servable")
        self._pipeline, self._main = _Untracked(pipeline), main
        model, fold = pipeline.model, pipeline.fold
        # Layers would be saved as Keras objects with a function each; their variables are all that serving needs.
        self.weights = list(model.variables)
        self.entities, self.events = dict(model.data.entities), model.data.events
        self.users = RowStore(serving_rows(fold))
        self.lookups = {name: Lookup(name, entity.ids) for name, entity in fold.entities.items()}
        self.encoded = {
            name: tf.Variable(Forward(model).encoded_entity(name), trainable=False, name=f"encoded.{name}")
            for name in dict.fromkeys(c for spec in pipeline.plan.encoders.values() for c in spec.content)
        }
        self.candidates = {
            task: tf.Variable(Forward(model).catalog(task), trainable=False, name=f"candidates.{task}")
            for task, spec in pipeline.plan.tasks.items()
            if isinstance(spec, RetrievalTask)
        }
        self.user, self.item = list(fold.events.ids)[:2]

    def signatures(self) -> dict[str, Any]:
        """Signature name -> concrete function."""
        ids = tf.TensorSpec([None], tf.string, f"{self.user}_id")
        item = tf.TensorSpec([None], tf.string, f"{self.item}_id")
        k = tf.TensorSpec([], tf.int32, "k")
        exclude = tf.TensorSpec([None, None], tf.string, "exclude_ids")
        default = self._function(
            lambda user: self._recommend(user, tf.constant(DEFAULT_K), tf.zeros([1, 0], tf.string)), ids
        )
        functions = {"serving_default": default, "recommend": self._function(self._recommend, ids, k, exclude)}
        functions["embed_user"] = self._function(self._embed_user, ids)
        functions["embed_item"] = self._function(self._embed_item, item)
        if tasks := self._tasks(with_user=True):
            functions["rank"] = self._function(lambda user, i: self._predict(tasks, user, i), ids, item)
        for task in self._tasks(with_user=False):
            functions[task] = self._function(lambda i, task=task: self._classify(task, i), item)
        return functions

    def _tasks(self, with_user: bool) -> list[str]:
        """Prediction tasks on rows that have a user, or on rows of items alone."""
        pipeline = self._pipeline.value
        predictions = [name for name, spec in pipeline.plan.tasks.items() if isinstance(spec, PredictionTask)]
        rows = pipeline.model.data.rows
        return [t for t in predictions if (self.user in rows[pipeline.plan.tasks[t].rows].columns) == with_user]

    def _function(self, function: Callable[..., Mapping[str, tf.Tensor]], *inputs: tf.TensorSpec) -> Any:
        return tf.function(function, input_signature=list(inputs))

    def _forward(self) -> Forward:
        return Forward(self._pipeline.value.model, whole=frozenset(), encoded=self.encoded)

    def _batch(self, user_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.users.gather(tf.cast(self.lookups[self.user].rows(user_ids), tf.int64))

    def _recommend(self, user_ids: tf.Tensor, k: tf.Tensor, exclude_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = self._batch(user_ids)
        query = self._forward().query(self._main, batch)
        head = self._pipeline.value.model.heads[self._main]
        scores = head.score(query, self.candidates[self._main], batch)
        excluded = self._excluded(exclude_ids, tf.shape(scores))
        masked = tf.where(excluded, tf.constant(-np.inf, scores.dtype), scores)
        top, rows = tf.math.top_k(masked, tf.minimum(k, tf.shape(scores)[1] - 1))
        there = tf.math.is_finite(top)
        own = tf.gather(head.own(batch), rows, batch_dims=1)
        return {
            f"{self.item}_ids": tf.where(there, self.lookups[self.item].names(rows), ""),
            "scores": top,
            "seen": tf.logical_and(own, there),
        }

    def _excluded(self, exclude_ids: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
        """Which candidates are out, `[rows, items]`: the unknown, and those named by `exclude_ids`."""
        rows = self.lookups[self.item].rows(exclude_ids)
        rows = tf.broadcast_to(rows, [shape[0], tf.shape(rows)[1]])
        flat = tf.concat([tf.zeros([shape[0], 1], tf.int32), rows], 1) + shape[1] * tf.range(shape[0])[:, None]
        flat = tf.reshape(flat, [-1])
        counts = tf.math.unsorted_segment_sum(tf.ones_like(flat), flat, shape[0] * shape[1])
        return tf.reshape(counts, shape) > 0

    def _predict(self, tasks: list[str], user_ids: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = self._batch(user_ids) | {self.item: self.lookups[self.item].rows(item_ids)}
        forward = self._forward()
        return {task: forward.prediction(task, batch) for task in tasks}

    def _classify(self, task: str, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = self._forward().prediction(task, {self.item: self.lookups[self.item].rows(item_ids)})
        classes = self._pipeline.value.classes[task]
        if not classes:
            return {"probability": probabilities}
        best = tf.gather(tf.constant(classes), tf.argmax(probabilities, -1))
        return {"class": best, "probabilities": probabilities, "classes": tf.constant(classes)}

    def _embed_user(self, user_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": self._forward().query(self._main, self._batch(user_ids))}

    def _embed_item(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": tf.gather(self.candidates[self._main], self.lookups[self.item].rows(item_ids))}


class _Untracked:
    """Keeps an object out of what a tf.Module saves."""

    def __init__(self, value: Any) -> None:
        self.value = value


def save(pipeline: Pipeline, main: str, directory: Path) -> Path:
    """Writes a new version directory (1, 2, ...) under `directory`, whole or not at all, and returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    version = 1 + max((int(path.name) for path in directory.iterdir() if path.name.isdigit()), default=0)
    servable = Servable(pipeline, main)
    signatures = servable.signatures()
    temporary = Path(tempfile.mkdtemp(prefix=".export-", dir=directory))
    try:
        tf.saved_model.save(servable, str(temporary), signatures=signatures)
        (temporary / "signatures.md").write_text(describe(signatures), encoding="utf-8")
        target = directory / str(version)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def describe(signatures: Mapping[str, Any]) -> str:
    """The signatures with their inputs and outputs, as Markdown."""
    lines = ["# Signatures", ""]
    for name, function in signatures.items():
        concrete = function.get_concrete_function()
        lines += [f"## `{name}`", "", "| | name | dtype | shape |", "|---|---|---|---|"]
        inputs = function.input_signature
        lines += [f"| in | `{spec.name}` | {spec.dtype.name} | {list(spec.shape)} |" for spec in inputs]
        outputs = sorted(concrete.structured_outputs.items())
        lines += [f"| out | `{key}` | {spec.dtype.name} | {_shape(spec)} |" for key, spec in outputs]
        lines.append("")
    return "\n".join(lines)


def _shape(spec: Any) -> str:
    return "unknown" if spec.shape.rank is None else str(list(spec.shape))
