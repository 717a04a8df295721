"""What a trained model says of rows of data frames, by the signatures of its export, or by those that it would have."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from mtkit.backend import tf
from mtkit.errors import DataError, nearest
from mtkit.model.assembly import Pipeline
from mtkit.recipe.loader import Recipe
from mtkit.runs.explaining import Explanation, explain
from mtkit.runs.questions import asked, frame_of, ids_of, inputs_of, missing, unknown, warn_of_unknown
from mtkit.schema import Schema
from mtkit.serving.servable import Servable
from mtkit.serving.signature_set import signatures

#: Rows of a request; what a servable computes of them is in memory at once.
ROWS = 4096
#: Scores that a request for lists has in memory at once.
SCORES = 1 << 24
#: Asks for all events of a user.
ALL_EVENTS = (1 << 31) - 1

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Signatures:
    """Named functions of a trained model.

    Attributes:
        inputs: name -> its inputs: name -> dtype and shape.
        outputs: name -> names of its outputs.
        call: asks one: name and tensors by name.
        ids: entity -> its ids as the data have them, without the unknown.
    """

    inputs: Mapping[str, Mapping[str, tf.TensorSpec]]
    outputs: Mapping[str, Sequence[str]]
    call: Callable[[str, Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]
    ids: Callable[[str], np.ndarray]

    def ask(self, name: str, **given: Any) -> dict[str, np.ndarray]:
        """The answers of a signature, whose inputs are cast to its types."""
        specs = self.inputs[name]
        tensors = {key: tf.constant(values, specs[key].dtype) for key, values in given.items()}
        return {key: value.numpy() for key, value in self.call(name, tensors).items()}

    def in_parts(self, name: str, rows: int, size: int, given: Values) -> dict[str, np.ndarray]:
        """The answers of a signature for rows, some at a time."""
        starts = range(0, max(rows, 1), size)
        parts = [self.ask(name, **{key: values[at : at + size] for key, values in given.items()}) for at in starts]
        return {key: _joined([part[key] for part in parts], rows) for key in parts[0]}


def _joined(parts: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Answers end to end, where they have a row for each; `classes` is the same in all parts."""
    whole = np.concatenate(parts) if parts[0].ndim else parts[0]
    return whole if len(whole) == rows else parts[0]


def of_saved(loaded: Any, ids: Callable[[str], np.ndarray]) -> Signatures:
    """The signatures of a SavedModel."""
    functions = dict(loaded.signatures.items())
    return Signatures(
        {name: function.structured_input_signature[1] for name, function in functions.items()},
        {name: list(function.structured_outputs) for name, function in functions.items()},
        lambda name, given: functions[name](**given),
        ids,
    )


def of_pipeline(pipeline: Pipeline) -> Signatures:
    """The signatures that an export of a pipeline would have, for users and items in the data."""
    servable = Servable(pipeline, pipeline.recipe.recommending, unseen=False)
    made = signatures(servable)

    def call(name: str, given: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        answers: Mapping[str, tf.Tensor] = made[name].function(*(given[key] for key in made[name].inputs))
        return answers

    return Signatures(
        {name: signature.specs for name, signature in made.items()},
        {name: list(signature.outputs) for name, signature in made.items()},
        call,
        lambda entity: pipeline.fold.entities[entity].ids[1:],
    )


class Answering:
    """What can be asked of a trained model with ids and columns as they are in the data.

    Ids that are not known are answered as the unknown user or item, and a warning names them.
    """

    recipe: Recipe

    @abstractmethod
    def _signatures(self) -> Signatures:
        """The model as it is now."""

    def predict(self, rows: Any, tasks: Sequence[str] | None = None, probabilities: bool = False) -> pd.DataFrame:
        """What the prediction tasks say of rows, calibrated as exported.

        Args:
            rows: a `pandas.DataFrame`, or a dictionary from names to arrays, with the columns of the interactions that the
                tasks read: ids (by their column, or as `user`), and the context. Others are not looked at. A missing value is
                None or nan.
            tasks: names of prediction tasks; default: all.
            probabilities: whether tasks of classes give a column for each, `TASK=CLASS`; else they give the most probable.
                Those of which any number of classes applies always do.

        Returns:
            A column for each task, float32: the probability of a binary label, or a number in the unit of the label; with the
            index of `rows`.

        Raises:
            DataError: columns are missing, or their values are not what they are declared to be; or there is no such task.
        """
        frame, source, schema = frame_of(rows), self._signatures(), self._schema
        named = self._predicting(tasks, source)
        wanted = {task: asked(source.inputs[name], schema) for task, name in named.items()}
        if message := missing(frame, wanted):
            raise DataError(message)
        columns: dict[str, np.ndarray] = {}
        for name in dict.fromkeys(named.values()):
            given = asked(source.inputs[name], schema)
            inputs = inputs_of(frame, given, schema)
            for each in given:
                if each.role:
                    self._warn(source, inputs[each.name], each.role)
            answers = source.in_parts(name, len(frame), ROWS, inputs) if len(frame) else {}
            for task in (task for task, of in named.items() if of == name):
                columns |= self._columns(task, name, answers, probabilities)
        return pd.DataFrame({key: columns[key] for key in _in_order(columns, named)}, index=frame.index)

    def recommend(
        self,
        users: Any,
        k: int = 10,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the word for it
        exclude: Any = (),
        exclude_seen: bool = True,
    ) -> pd.DataFrame:
        """The best items of users, best first, as the signature `recommend` makes its lists.

        Args:
            users: an id, or several.
            k: how many.
            filter: column of the items -> the value that is wanted, or several (`[recommend]` `filters`).
            exclude: ids of items that nobody is recommended.
            exclude_seen: whether items of a user's own past are left out, too.

        Returns:
            A row for each item of each list: `user`, `rank` from 1 on, `item` (called as the roles of the data are) and
            `score`. A user has fewer than `k` rows where there are no more items.

        Raises:
            DataError: `k`, ids or the filter are not what they have to be, or the model has no task that ranks.
        """
        source = self._ranking("recommend")
        user, item = list(self._schema.roles)[:2]
        texts, known = ids_of(users, "users"), self._known(source, item)
        left_out = ids_of(exclude, "exclude")
        self._warn(source, texts, user)
        warn_of_unknown(left_out, known, item, "nothing is left out for them")
        given = {"k": _number(k, len(known)), **self._filtered(source, filter or {})}
        step = max(1, SCORES // max(len(known), 1))
        parts = [
            self._lists(source, texts[at : at + step], given, left_out, exclude_seen)
            for at in range(0, len(texts), step)
        ]
        return self._listed(source, (user, texts), item, parts)

    def similar(self, items: Any, k: int = 10, by: Literal["embedding", "users"] = "embedding") -> pd.DataFrame:
        """The items that are most like some items.

        Args:
            items: an id, or several.
            k: how many.
            by: their `embedding` by the task that ranks, or the `users` who had both, where the export has that.

        Returns:
            A row for each: `item`, `rank` from 1 on, `similar` and `score`.

        Raises:
            DataError: an item is not known, `k` or `by` is not what it has to be, or the model cannot say.
        """
        by_name = {"embedding": "similar_items", "users": "items_together"}
        if by not in by_name:
            raise DataError(f"by: got {by!r}; {nearest(str(by), by_name)}")
        source = self._ranking(by_name[by])
        item = list(self._schema.roles)[1]
        texts, known = ids_of(items, "items"), self._known(source, item)
        if strange := [name for name in texts if not name] or unknown(texts, known):
            raise DataError(
                f"items: {strange[0]!r} is no {item} of the catalog, so nothing is like it; ids are as in the data"
            )
        number = _number(k, len(known))
        step = max(1, SCORES // max(len(known), 1))
        parts = [
            source.ask(by_name[by], **{f"{item}_id": texts[at : at + step], "k": number})
            for at in range(0, len(texts), step)
        ]
        return self._listed(source, (item, texts), "similar", parts, item)

    @property
    def _schema(self) -> Schema:
        return self.recipe.data.source.schema()

    def _predicting(self, tasks: Sequence[str] | None, source: Signatures) -> dict[str, str]:
        """Prediction task -> the signature that answers it."""
        there = {
            task: "rank" if task in source.outputs.get("rank", ()) else task for task in self.recipe.plan.predictions()
        }
        there = {task: name for task, name in there.items() if name in source.inputs}
        named = [tasks] if isinstance(tasks, str) else list(there if tasks is None else tasks)
        if not there:
            raise DataError("the model has no task that predicts a label of rows; ask it to recommend")
        for task in named:
            if task not in there:
                raise DataError(f"tasks: no prediction task is called {task!r}; {nearest(str(task), there)}")
        return {task: there[task] for task in named}

    def _columns(self, task: str, signature: str, answers: Values, probabilities: bool) -> dict[str, np.ndarray]:
        """The columns of a task, of what its signature answers."""
        if not answers:
            return {task: np.zeros(0, np.float32)}
        ranked = signature == "rank"
        names = answers.get(f"{task}_classes" if ranked else "classes")
        if names is None:
            keys = [task] if ranked else ["probability", "value", "score"]
            return {task: next(answers[key] for key in keys if key in answers)}
        values, classes = answers[task if ranked else "probabilities"], [name.decode() for name in names]
        if probabilities or getattr(self.recipe.task[task], "multi_label", False):
            return {f"{task}={name}": values[:, place] for place, name in enumerate(classes)}
        return {task: np.array(classes, object)[values.argmax(1)]}

    def _ranking(self, signature: str) -> Signatures:
        source = self._signatures()
        if signature in source.inputs:
            return source
        if "recommend" in source.inputs:
            raise DataError(
                f"the model has no signature {signature!r}; let the recipe's [export] write it (`together`), and load the run"
            )
        raise DataError("the model has no retrieval task, so there is nothing that it could recommend")

    def _known(self, source: Signatures, role: str) -> np.ndarray:
        return source.ids(self._schema.scopes[role]).astype(str).astype(object)

    def _warn(self, source: Signatures, ids: np.ndarray, role: str) -> None:
        warn_of_unknown(ids, self._known(source, role), role, f"answers are those for the unknown {role}")

    def _filtered(self, source: Signatures, wanted: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The inputs by which lists are filtered; those that nothing is said of are empty."""
        names = [name.removeprefix("filter_") for name in source.inputs["recommend"] if name.startswith("filter_")]
        for name in wanted:
            if name not in names:
                raise DataError(
                    f"filter: lists are filtered by no column {name!r}; {nearest(str(name), names)}; the recipe's "
                    "[recommend] says by which (`filters`)"
                )
        return {f"filter_{name}": ids_of(wanted.get(name, ()), f"filter {name!r}")[None] for name in names}

    def _lists(
        self, source: Signatures, users: np.ndarray, given: Mapping[str, Any], left_out: np.ndarray, seen: bool
    ) -> dict[str, np.ndarray]:
        user, item = list(self._schema.roles)[:2]
        exclude = np.tile(left_out, (len(users), 1))
        if seen:
            past = source.ask("past", **{f"{user}_id": users, "k": ALL_EVENTS})
            exclude = np.concatenate([exclude, np.where(past["seen"], past[f"{item}_ids"], b"")], axis=1)
        return source.ask("recommend", **{f"{user}_id": users, "exclude_ids": exclude.astype(object)}, **given)

    def _listed(
        self,
        source: Signatures,
        of: tuple[str, np.ndarray],
        name: str,
        parts: Iterable[Values],
        item: str | None = None,
    ) -> pd.DataFrame:
        """Lists `[rows, k]` as rows of a frame, with the ids in the type that the data have."""
        role, texts = of
        item = item or name
        typed = {str(known): known for known in source.ids(self._schema.scopes[item]).tolist()}
        own = {str(known): known for known in source.ids(self._schema.scopes[role]).tolist()}
        lists = [found for part in parts for found in zip(part[f"{item}_ids"], part["scores"], strict=True)]
        table = [
            (own.get(text, text), rank, typed[one.decode()], score)
            for text, (ids, scores) in zip(texts, lists, strict=True)
            for rank, (one, score) in enumerate(zip(ids, scores, strict=True), 1)
            if one
        ]
        return pd.DataFrame(table, columns=[role, "rank", name, "score"]).astype({"rank": "int64", "score": "float32"})


def _in_order(columns: Iterable[str], tasks: Iterable[str]) -> Iterator[str]:
    """The columns, in the order of the tasks."""
    there = list(columns)
    for task in tasks:
        yield from (name for name in there if name == task or name.startswith(f"{task}="))


def _number(k: Any, most: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise DataError(f"k: expected an integer of 1 or more, got {k!r}")
    return min(int(k), max(most, 1))


@dataclass(frozen=True)
class TrainablePipeline(Pipeline, Answering):
    """A pipeline that answers by its model as it is, whatever it was trained on since it was asked last."""

    def explain(self, user: Any, item: Any = None) -> Explanation:
        """The parts of an item's score for a user; see `mtkit.runs.explaining.explain`.

        Args:
            user: an id, as in the data.
            item: an id; default: the item with the highest score.

        Raises:
            RunError: no task ranks items, or the user or the item is not in the data.
        """
        return explain(self, user, item)

    def _signatures(self) -> Signatures:
        state = _state(self)
        if self._kept.get("state") != state:
            self._kept.update(state=state, signatures=of_pipeline(self))
        found: Signatures = self._kept["signatures"]
        return found

    @cached_property
    def _kept(self) -> dict[str, Any]:
        """What was asked last, and the state of the model then."""
        return {}


def _state(pipeline: Pipeline) -> tuple[Any, ...]:
    """What answers depend on: a checksum of the weights, and what corrects probabilities."""
    weights = 0
    for variable in pipeline.model.variables:
        weights = zlib.crc32(np.ascontiguousarray(variable.numpy()).tobytes(), weights)
    return weights, [getattr(head, "calibration", None) for head in pipeline.model.heads.values()]
