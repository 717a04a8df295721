"""What holds of layers: encoders, correlations, heads, balancers and preprocessors."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mtkit.schema import AGE
from mtkit.spec import Preprocessor
from mtkit.testing.assertions import (
    assert_axes,
    assert_draws_apart,
    assert_equal,
    assert_finite,
    assert_gradients,
    assert_nonzero,
    assert_rows_apart,
    assert_rows_apart_in_training,
)

if TYPE_CHECKING:
    from mtkit.feed.batch import Batch
    from mtkit.heads.prediction import PredictionHead
    from mtkit.heads.retrieval import RetrievalHead

_ROWS = 6


def check_layer_config(layer: Any) -> None:
    """`get_config` has every argument, is JSON, and gives an equal layer, by `from_config` and by Keras' registry."""
    from mtkit.backend import keras

    config = layer.get_config()
    parameters = inspect.signature(type(layer)).parameters.values()
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    missing = [name for name in named if name not in config]
    assert not missing, f"the config of {type(layer).__name__} lacks {missing}"
    again = type(layer).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config, f"{again.get_config()} is not {config}"
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(restored) is type(layer), f"Keras restores {type(layer).__name__} as {type(restored).__name__}"


def check_preprocessor(spec: Preprocessor, values: np.ndarray) -> None:
    """State that is JSON, and a layer that gives what `info` says, each row for itself, for values never seen too.

    Args:
        spec: the preprocessor.
        values: raw values of a column, `[rows]`: float32 with nan where there is none, or strings and None; of a list, these
            `[rows, n]`, filled up with None; of a `GroupPreprocessor`, a structured array of its columns.
    """
    from mtkit.data.columns import layer_input

    state = spec.fit(values)
    again = json.loads(json.dumps(state))
    assert again == state, f"the state {state!r} comes back from JSON as {again!r}"
    layer, info = spec.build(again), spec.info(again)
    check_layer_config(layer)
    unseen = _with_unseen(values)
    found = np.asarray(layer(layer_input(unseen)))
    several = found.shape[1:] if info.listed else ()
    shape = (len(unseen), *([info.width] if info.width else several))
    assert found.shape == shape, f"expected {list(shape)}, as of {info}, got {list(found.shape)}"
    if not (info.size or info.width):
        _assert_texts(found, np.asarray(layer(layer_input(unseen[2:]))))
        return
    if info.size:
        assert found.dtype == np.int32, f"expected int32, got {found.dtype}"
        assert ((found >= 0) & (found < info.size)).all(), f"expected numbers below {info.size}, got {found}"
    if info.listed:
        _assert_sets(found)
    names = spec.values(again)
    assert names is None or len(names) + 1 == info.size, f"expected a value for each integer, as of {info}, got {names}"
    assert_finite(found, "preprocessed values")
    assert_equal(layer(layer_input(unseen[2:])), found[2:], "values with and without others beside them")


def _assert_texts(found: np.ndarray, alone: np.ndarray) -> None:
    assert all(isinstance(text, bytes) for text in found), (
        f"expected texts, or a size or a width of numbers, got {found}"
    )
    assert (found[2:] == alone).all(), f"texts differ with and without others beside them: {found[2:]}, {alone}"


def _with_unseen(values: np.ndarray) -> np.ndarray:
    """Raw values, after two rows of what was never seen, and of nothing."""
    if values.dtype.names:
        joined = np.empty(len(values) + 2, values.dtype)
        for name in values.dtype.names:
            joined[name] = _with_unseen(values[name])
        return joined
    never = np.array(["never seen", None], object) if values.dtype == object else np.array([9e9, np.nan])
    first = np.broadcast_to(never.reshape(2, *[1] * (values.ndim - 1)), (2, *values.shape[1:]))
    return np.concatenate([first, values]).astype(values.dtype)


def _assert_sets(found: np.ndarray) -> None:
    """Several numbers of each row: distinct, ascending, and then 0."""
    assert found.ndim == 2, f"expected several numbers of each row, got {list(found.shape)}"
    for row in found:
        there = row[: np.count_nonzero(row)]
        assert there.all(), f"expected zeros behind the numbers of a row, got {row}"
        assert (np.diff(there) > 0).all(), f"expected distinct numbers, ascending, got {row}"


def check_encoder(layer: Any, inputs: Mapping[str, Any], dim: int, *, zero: Sequence[str] = ()) -> None:
    """One embedding per row, from rows that stay apart; every variable gets a gradient.

    Of a layer that reads sequences (`at`): the last place of each is what a call gives, and no place depends on a later event.

    Args:
        layer: the encoder's layer, not yet built.
        inputs: address -> `[rows, ...]`, at least 3 rows; `catalog.NAME` is of a whole catalog.
        dim: width of the embedding.
        zero: parts of the names of variables whose gradient may be 0.
    """
    from mtkit.backend import tf

    given = {address: tf.constant(values) for address, values in inputs.items()}
    catalogs = {address: values for address, values in given.items() if address.startswith("catalog.")}
    rows = {address: values for address, values in given.items() if address not in catalogs}
    _build(layer, given)
    with tf.GradientTape() as tape, assert_draws_apart("the layer"):
        outputs = layer(given)
        total = tf.reduce_sum(tf.sin(outputs))
    shape = (len(next(iter(rows.values()))), dim)
    _assert_numbers(outputs, shape, "embeddings")
    assert_rows_apart(lambda some: layer(some | catalogs), rows)
    assert_rows_apart_in_training(layer, rows, catalogs)
    assert_gradients(layer, tape, total, zero=zero)
    assert_axes(layer)
    if hasattr(layer, "penalties") and (penalties := layer.penalties(given)) is not None:
        assert penalties.shape == shape[:1], (
            f"expected what each row adds to the loss, {list(shape[:1])}, got {penalties.shape}"
        )
        assert_finite(penalties, "what rows add to the loss")
        assert_rows_apart(lambda some: layer.penalties(some | catalogs), rows)
    if hasattr(layer, "at"):
        _check_places(layer, rows, catalogs, outputs)


def _check_places(layer: Any, rows: Mapping[str, Any], catalogs: Mapping[str, Any], outputs: Any) -> None:
    """What a layer says of places of sequences, the rows being whole ones."""
    from mtkit.backend import tf

    count, length = next(values for address, values in rows.items() if address.startswith("history.")).shape[:2]
    number = tf.range(count, dtype=tf.int64)

    def at(place: int, given: Mapping[str, Any]) -> Any:
        return layer.at({**given, **catalogs}, number, tf.fill([count], tf.constant(place, tf.int64)))

    assert_equal(at(length - 1, rows), outputs, "embeddings of last places of sequences, and of rows")
    # The age of a last event is the moment that the place before it is asked at.
    changed = {
        address: values if address == AGE else tf.concat([values[:, :-1], tf.roll(values[:, -1:], 1, 0)], 1)
        for address, values in rows.items()
    }
    assert_equal(at(length - 2, changed), at(length - 2, rows), "embeddings of a place when a later event changes")


def check_correlation(
    layer: Any,
    tasks: int,
    dim: int | Sequence[int],
    *,
    shared: bool = False,
    features: Mapping[str, Any] | None = None,
    zero: Sequence[str] = (),
) -> None:
    """Task states of the right shape from rows that stay apart; every task and every variable gets a gradient.

    One state for all tasks, `[rows, dim]`, is as good. Where the layer names a cut (`TaskStates`), gradients by it are all that
    comes back to the input.

    Args:
        layer: the correlation's layer, not yet built.
        tasks: number of tasks.
        dim: width of the input; several = the input is a list of embeddings (`Correlation.joined = False`).
        shared: whether the input is one state per row, `[rows, dim]`, instead of `[rows, tasks, dim]`.
        features: of a pair that reads features of the row: address -> `[6, ...]`.
        zero: parts of the names of variables whose gradient may be 0.
    """
    from mtkit.backend import tf
    from mtkit.layers.task_states import task_states

    widths = [dim] if isinstance(dim, int) else dim
    inputs = tf.constant(_normal((_ROWS, sum(widths)) if shared else (_ROWS, tasks, sum(widths))))
    given = {address: tf.constant(values) for address, values in (features or {}).items()}

    def call(states: Any, given: Mapping[str, Any]) -> Any:
        state = states if isinstance(dim, int) else tf.split(states, dim, -1)
        return task_states(layer(state, features=given) if given else layer(state))

    call(inputs, given)
    _build(layer, inputs)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        found = call(inputs, given)
        outputs = found.own
        states = [outputs] * tasks if outputs.shape.rank == 2 else tf.unstack(outputs, axis=1)
        by_task = [tf.reduce_sum(tf.sin(state)) for state in states]
        total = tf.add_n(by_task)
    assert len(outputs) == _ROWS, f"expected {_ROWS} rows, got {outputs.shape}"
    assert len(states) == tasks, f"expected [{_ROWS}, {tasks}, dim], got {outputs.shape}"
    assert outputs.dtype == inputs.dtype, f"expected {inputs.dtype}, got {outputs.dtype}"
    assert_finite(outputs, "outputs")
    assert_rows_apart(lambda some: call(*some).own, (inputs, given))
    for task, value in enumerate(by_task):
        for variable, gradient in zip(
            layer.trainable_variables, tape.gradient(value, layer.trainable_variables), strict=True
        ):
            missing = gradient is None or not np.isnan(tf.convert_to_tensor(gradient)).any()
            assert missing, f"the gradient from task {task} to {variable.name} is nan"
        gradient = tape.gradient(value, inputs)
        assert_nonzero(gradient, f"the gradient from task {task} to the input")
        if cut := list(found.cut):
            by_cut = tape.gradient(value, cut, unconnected_gradients="zero")
            pulled = tape.gradient(cut, inputs, output_gradients=by_cut, unconnected_gradients="zero")
            assert_equal(pulled, gradient, f"gradients from task {task} to the input, by way of the cut and straight,")
    assert_gradients(layer, tape, total, zero=zero)
    assert_axes(layer)


def check_prediction_head(layer: PredictionHead, view: Mapping[str, Any], classes: int = 2) -> None:
    """Logits, losses and predictions per row, from rows that stay apart; removed rows leave no trace in gradients.

    Args:
        layer: the head, not yet built.
        view: name -> float32 `[rows, dim]` (or `[rows]`), at least 2 rows.
        classes: number of classes; 2 = a binary label, 0 = a number.
    """
    from mtkit.backend import tf

    view = {name: tf.constant(values) for name, values in view.items()}
    rows = len(next(iter(view.values())))
    several = classes > 2
    labels = tf.constant(np.arange(rows) % (classes or rows), tf.int32 if several else tf.float32)
    kept = np.arange(rows) > 0
    shape = (rows, classes) if several else (rows,)
    _build(layer, view)
    with tf.GradientTape() as tape:
        outputs = layer(view)
        assert tf.is_tensor(outputs), f"expected logits {list(shape)}, got {type(outputs).__name__}"
        assert outputs.shape == shape, f"expected logits {list(shape)}, got {outputs.shape}"
        loss = layer.loss(outputs, labels)
        total = tf.reduce_sum(tf.where(kept, loss, 0.0))
    _assert_numbers(loss, (rows,), "one loss per row,", "losses")
    gradients = assert_gradients(layer, tape, total)
    assert_axes(layer)
    predictions = layer.predict(outputs)
    assert predictions.shape == shape, f"expected predictions {list(shape)}, got {predictions.shape}"
    if classes:
        _assert_probabilities(predictions, shape)
    assert_rows_apart(layer, view)
    assert_rows_apart(layer.predict, outputs)
    assert_rows_apart(lambda some: layer.loss(*some), (outputs, labels))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer.loss(layer({name: x[1:] for name, x in view.items()}), labels[1:]))
    without = tape.gradient(total, layer.trainable_variables, unconnected_gradients="zero")
    for variable, gradient, expected in zip(layer.trainable_variables, gradients, without, strict=True):
        assert_equal(gradient, expected, f"the gradient to {variable.name} without row 0")


def check_retrieval_head(
    layer: RetrievalHead,
    query: Mapping[str, Any],
    candidate: Mapping[str, Any],
    batch: Batch | None = None,
    candidates: Literal["batch", "catalog"] = "batch",
) -> None:
    """Queries and candidates are computed apart; candidates of weight 0 are not there; every variable gets a gradient.

    Args:
        layer: the head, not yet built.
        query: name -> float32 `[rows, dim]`, at least 3 rows.
        candidate: name -> float32 `[candidates, dim]`; those of a batch are as many as rows.
        batch: what else the loss and the scores read: the columns that the spec names.
        candidates: as the spec says. The last candidate is removed in turn; of a catalog it is no row's target.
    """
    from mtkit.backend import tf
    from mtkit.feed.batch import Batch
    from mtkit.heads.retrieval import Candidates

    batch = Batch({}) if batch is None else batch
    views = [{name: tf.constant(values) for name, values in view.items()} for view in (query, candidate)]
    rows, count = (len(next(iter(view.values()))) for view in views)
    ids = tf.range(count)
    with tf.GradientTape() as tape:
        queries, embeddings = layer.query(views[0]), layer.candidate(views[1], ids)
        loss = layer.loss(queries, Candidates(embeddings, ids, tf.ones([count])), batch)
        total = tf.reduce_sum(loss)
    assert loss.shape == (rows,), f"expected one loss per row, [{rows}], got {loss.shape}"
    assert_finite(loss, "losses")
    assert_rows_apart(layer.query, views[0])
    assert_gradients(layer, tape, total)
    assert_axes(layer)
    scores = layer.score(queries, embeddings, batch)
    assert scores.shape == (rows, count), f"expected scores [{rows}, {count}], got {scores.shape}"
    assert_finite(scores, "scores")
    items = tf.random.uniform([rows, 2 * count], maxval=count, dtype=tf.int32, seed=0)
    some = layer.score_some(queries, embeddings, items, batch)
    assert_equal(some, tf.gather(scores, items, batch_dims=1), "scores of some items and those of the whole catalog")
    _check_absent(layer, queries, Candidates(embeddings, ids, tf.cast(ids < count - 1, tf.float32)), batch)
    if candidates == "batch":
        _check_removed(layer, queries, embeddings, batch)


def check_balancer(layer: Any, tasks: Sequence[str]) -> None:
    """A finite scalar that grows with each loss; a task without labels leaves the layer's variables where they are.

    The weights of tasks may follow from their losses, but something has to: trainable variables get gradients.
    """
    from mtkit.backend import tf

    losses = {task: tf.constant(1.0 + i) for i, task in enumerate(tasks)}
    with tf.GradientTape() as tape:
        tape.watch(losses)
        total = layer(losses, present=dict.fromkeys(tasks, tf.constant(1.0)))
    assert total.shape == (), f"expected a scalar, got shape {total.shape}"
    assert_finite(total, "the combined loss")
    for task, gradient in tape.gradient(total, losses).items():
        assert gradient is not None, f"the combined loss does not depend on {task}"
        assert float(gradient) > 0, f"the combined loss does not grow with the loss of {task}"
    with tf.GradientTape() as tape:
        zeros = dict.fromkeys(tasks, tf.constant(0.0))
        total = layer(zeros, present=zeros)
    gradients = tape.gradient(total, layer.trainable_variables, unconnected_gradients="zero")
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        assert not np.any(gradient), f"tasks without labels move {variable.name}"


def _check_absent(layer: RetrievalHead, queries: Any, candidates: Any, batch: Batch) -> None:
    """What the last candidate, of weight 0, is does not matter to any row but its own."""
    others = slice(None, -1) if len(queries) == len(candidates.ids) else slice(None)
    moved = candidates._replace(
        embeddings=candidates.embeddings + 10.0 * candidates.embeddings[-1:] * _last(candidates)
    )
    loss = layer.loss(queries, candidates, batch)
    assert_equal(layer.loss(queries, moved, batch)[others], loss[others], "losses with another candidate of weight 0")


def _last(candidates: Any) -> Any:
    from mtkit.backend import tf

    return 1.0 - tf.sign(candidates.weights)[:, None]


def _check_removed(layer: RetrievalHead, queries: Any, embeddings: Any, batch: Batch) -> None:
    """A row of weight 0 is as good as a row that is not there."""
    from mtkit.backend import tf
    from mtkit.heads.retrieval import Candidates

    count = len(embeddings)
    ids = tf.range(count)
    masked = layer.loss(queries, Candidates(embeddings, ids, tf.cast(ids < count - 1, tf.float32)), batch)
    rows = tf.range(count - 1)
    removed = layer.loss(queries[:-1], Candidates(embeddings[:-1], ids[:-1], tf.ones([count - 1])), batch.take(rows))
    assert_equal(masked[:-1], removed, "losses with a row of weight 0 and without the row")


def _build(layer: Any, inputs: Any) -> None:
    """Makes the variables, what they begin with being drawn as Keras does it; gates that begin at 0 are opened."""
    from mtkit.model.contracts import wake

    if not layer.built:
        layer(inputs)
    wake(layer.trainable_variables)


def _assert_numbers(values: Any, shape: Sequence[int], what: str, name: str = "") -> None:
    from mtkit.backend import tf

    assert tf.is_tensor(values), f"expected {what} {list(shape)}, got {type(values).__name__}, which is no tensor"
    assert values.shape == shape, f"expected {what} {list(shape)}, got {values.shape}"
    assert values.dtype in (tf.float32, tf.float16, tf.bfloat16), f"expected {what} in float32, got {values.dtype.name}"
    assert_finite(values, name or what)


def _normal(shape: Sequence[int]) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _assert_probabilities(values: Any, shape: Sequence[int]) -> None:
    assert values.shape == shape, f"expected probabilities of shape {list(shape)}, got {values.shape}"
    assert np.all((values >= 0) & (values <= 1)), f"expected probabilities, got {values}"
    if len(shape) == 2:
        assert_equal(np.sum(values, -1), np.ones(shape[0]), "sums of probabilities over classes and 1")
