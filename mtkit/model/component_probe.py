"""Whether each component treats rows for themselves, found on a few rows of data: by encoder, correlation and head.

Shapes and types are held in every pass (`mtkit.model.contracts`); what a pass alone cannot show is whether the output for a row
would be another one with other rows beside it. That is asked of what they give in training, too, where they draw nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from mtkit.backend import tf
from mtkit.errors import WiringError
from mtkit.feed.batch import Batch
from mtkit.heads.base import Tensors
from mtkit.heads.prediction import PredictionHead
from mtkit.heads.retrieval import RetrievalHead
from mtkit.model.assembly import Pipeline
from mtkit.model.contracts import Place, awake, calling, require, rows_of
from mtkit.model.forward import Forward

PROBE_ROWS = 8
#: By how much outputs for the same rows may differ, of the largest: sums are added up in another order where batches differ.
TOLERANCE = {"float32": 1e-3}
_HALF = 5e-2
#: How often an output in training is the same before it counts as not drawn: rows lose their id with a small probability.
_REPEATS = 8
#: Rows of a table from which those are chosen that have most users and items.
_CHOICE = 4096

#: What is said of outputs in training; those that draw are others each time, and not compared.
IN_TRAINING = " in training"

Seen = list[tuple[Place, str, tf.Tensor]]


def check_components(pipeline: Pipeline) -> None:
    """Confirms that what encoders, correlations and heads give for a row is the same whatever rows are beside it.

    Each row table's training rows are looked at that have most different ids: all of them, and each half for itself. Gates that
    begin at 0 are opened meanwhile.

    Raises:
        ComponentError: a component failed.
        WiringError: one looks at other rows, gives other numbers each time, or those of another shape or type.
    """
    with awake(pipeline.model.trainable_variables):
        _check_rows(pipeline)


def _check_rows(pipeline: Pipeline) -> None:
    prepared = _prepared(pipeline)
    for table in dict.fromkeys(spec.rows for spec in pipeline.plan.tasks.values()):
        rows = spread_rows(pipeline, table)
        see = partial(_seen, pipeline, table, prepared=prepared)
        half = len(rows) // 2
        if half:
            whole = see(rows)
            for first, part in ((True, rows[:half]), (False, rows[half:])):
                _compare(whole, see(part), partial(see, rows), partial(see, part), first=first)


def _compare(
    whole: Seen, part: Seen, see_whole: Callable[[], Seen], see_part: Callable[[], Seen], *, first: bool
) -> None:
    """Refuses an output that is another one where rows are alone; one in training only if it is never drawn anew."""
    again: list[tuple[Seen, Seen]] = []
    for at in _differing(whole, part, first=first):
        training = IN_TRAINING in whole[at][1]
        for number in range(_REPEATS if training else 1):
            if number == len(again):
                again.append((see_whole(), see_part()))
            if training and not all(map(_alike_at(at), (whole, part), again[number])):
                break
        else:
            raise _refusal(whole[at], again[0][0][at])


def _alike_at(at: int) -> Callable[[Seen, Seen], bool]:
    return lambda one, other: _alike(one[at][-1], other[at][-1])


def _prepared(pipeline: Pipeline) -> dict[str, Tensors]:
    """What encoders read of whole entities, by encoder, so that it is computed once."""
    forward = Forward(pipeline.model, whole=frozenset())
    return {name: forward.content(name) for name, spec in pipeline.plan.encoders.items() if spec.content}


def spread_rows(pipeline: Pipeline, table: str) -> np.ndarray:
    """Numbers of a few training rows, int64, with as many different users and items as there are: neighbors are often alike."""
    units = pipeline.model.feed.size(table)
    numbers: np.ndarray = np.unique(np.linspace(0, units - 1, min(units, _CHOICE)).astype(np.int64))
    rows = pipeline.tables[table]["train"]
    if rows.sequence is not None or not rows.ids:
        some: np.ndarray = numbers[np.unique(np.linspace(0, len(numbers) - 1, PROBE_ROWS).astype(int))]
        return some
    columns, chosen = np.stack([ids[numbers] for ids in rows.ids.values()], 1), [0]
    while len(chosen) < min(PROBE_ROWS, len(numbers)):
        alike = (columns[:, None] == columns[chosen][None]).sum((1, 2))
        alike[chosen] = columns.size
        chosen.append(int(alike.argmin()))
    spread: np.ndarray = numbers[np.sort(chosen)]
    return spread


def _seen(pipeline: Pipeline, table: str, rows: np.ndarray, prepared: Mapping[str, Tensors]) -> Seen:
    """What components give for rows, one after another."""
    seen: Seen = []

    def watch(place: Place, output: tf.Tensor, in_training: Callable[[], tf.Tensor]) -> None:
        kind = pipeline.plan.encoders if place[0] == "encoder" else pipeline.plan.correlations
        with calling(place, kind[place[1]]):
            trained = in_training()
        seen.extend([(place, "its output", output), (place, f"its output{IN_TRAINING}", trained)])

    batch = pipeline.model.feed.batch(table, tf.constant(rows))
    forward = Forward(pipeline.model, whole=frozenset(), prepared=prepared, watch=watch)
    for task, spec in pipeline.plan.tasks.items():
        if spec.rows != table:
            continue
        for read in spec.reads():
            if read.rows == table and read.embedded and not read.name.startswith("task."):
                forward.states(read.name, batch)
        for said, of in (("", forward), (IN_TRAINING, forward.heads_in_training())):
            with calling(("task", task), spec):
                outputs = list(_of_head(pipeline, task, of, batch))
            seen += [(("task", task), what + said, tensor) for what, tensor in outputs]
    return seen


def _of_head(pipeline: Pipeline, task: str, forward: Forward, batch: Batch) -> Iterator[tuple[str, tf.Tensor]]:
    """What a head gives for each row alone; losses that couple rows are none of that."""
    head, spec, rows = pipeline.model.heads[task], pipeline.plan.tasks[task], forward.task(task, batch)
    if isinstance(head, PredictionHead):
        yield "its output", head.outputs(rows)
        answers, classes = head.answers(rows), len(pipeline.classes.get(task, ()))
        # Two classes have one probability, but where a row may have both.
        wide = classes > 2 or (classes == 2 and spec.multi_label)
        shape: tuple[int | None, ...] = (rows_of(batch), classes) if wide else (rows_of(batch),)
        require(("task", task), "predictions", answers, shape, head)
        yield "its prediction", answers
        if type(head).losses is PredictionHead.losses and spec.query_by is None:
            losses, _ = head.losses(rows)
            require(("task", task), "losses", losses, (rows_of(batch),), head)
            yield "its loss", losses
    elif isinstance(head, RetrievalHead):
        yield "its query", head.queries(rows)
        if rows.entity(spec.ranks[0]) in batch.ids:
            yield "its candidate", head.candidates(rows)
    elif not spec.ranks and (answers := head.answers(rows)) is not None:
        yield "its answer", answers


def _differing(whole: Seen, part: Seen, *, first: bool) -> Iterator[int]:
    """Which of the outputs are others where the first rows, or the last ones, are alone."""
    for at, ((_, _, tensor), (_, _, alone)) in enumerate(zip(whole, part, strict=True)):
        beside = tensor[: len(alone)] if first else tensor[-len(alone) :]
        if tensor.shape != alone.shape and not _alike(beside, alone):
            yield at


def _refusal(seen: tuple[Place, str, tf.Tensor], again: tuple[Place, str, tf.Tensor]) -> WiringError:
    """What is said of an output that is another one with other rows beside it."""
    place, what, tensor = seen
    name = ".".join(place)
    if not _alike(tensor, again[-1]):
        return WiringError(
            f"{name}: {what} is another one each time for the same rows, so no answer could be repeated; draw numbers in "
            "training alone (`if training`)"
        )
    then = "in a batch of other rows" if IN_TRAINING in what else "when it is served"
    return WiringError(
        f"{name}: {what} for a row depends on the other rows of its batch, so it would be another one {then}; "
        "look for a sum, a mean, a maximum or a norm over the first axis"
    )


def _alike(one: tf.Tensor, other: tf.Tensor) -> bool:
    given, found = (np.asarray(tf.cast(values, tf.float32)) for values in (one, other))
    finite = np.abs(given[np.isfinite(given)])
    largest = float(finite.max()) if finite.size else 0.0
    allowed = TOLERANCE.get(one.dtype.name, _HALF) * largest
    return bool(np.allclose(given, found, rtol=0, atol=allowed, equal_nan=True))
