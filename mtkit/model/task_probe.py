"""What tasks do to one another in a model as it is: their gradients, by what they share, and what their gates take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np

from mtkit.backend import tf
from mtkit.feed.step_rows import training_rows
from mtkit.layers.training_step import TaskLoss
from mtkit.model.assembly import Pipeline
from mtkit.model.forward import Forward
from mtkit.model.multi_task import MultiTaskModel

STEPS = 4
"""Training steps whose rows are looked at, the first of a run: always the same, at the cost of one step each."""

CUT, PARAMETERS = "cut", "parameters"


@dataclass(frozen=True)
class Pair:
    """The gradients of two tasks on the same steps.

    Attributes:
        tasks: their names.
        at: where they were compared: at the `cut`, row by row, of tasks of one row table; at the `parameters` that both train,
            of others.
        cosines: of each step; None where one of the gradients is 0.
    """

    tasks: tuple[str, str]
    at: str
    cosines: list[float | None]


@dataclass(frozen=True)
class Gate:
    """What the tasks take of experts, on average over rows and steps.

    Attributes:
        tasks: along the first axis of `shares`.
        experts: along the second.
        shares: `[tasks, experts]`; of each task they add up to 1.
        entropy: of each task's shares, from 0, all of one expert, to 1, the same of each.
        row_entropy: the mean of the entropies of rows: less than `entropy` where rows take different experts.
    """

    tasks: list[str]
    experts: list[str]
    shares: list[list[float]]
    entropy: list[float]
    row_entropy: list[float]


@dataclass(frozen=True)
class Probe:
    """A model at the end of an epoch.

    Attributes:
        epoch: from 1.
        pairs: of tasks that share something.
        norms: task -> norm of its gradient by the parameters that it shares, of its loss as it is summed: times the task's
            weight and the balancer's, the mean over steps.
        weights: task -> its weight in the sum; None where the balancer does not tell.
        gates: `correlation/embedding[/level]` -> what tasks take.
    """

    epoch: int
    pairs: list[Pair]
    norms: dict[str, float]
    weights: dict[str, float] | None
    gates: dict[str, Gate]


class TaskProbe:
    """Looks at the model of a pipeline on fixed training rows, without changing it; what is traced serves all times.

    The pass is that of evaluation, without dropout. One replica alone: sums over several need a step of theirs.

    Args:
        model: the model, on one replica.
        steps: of each step row table -> numbers of training rows, int64 `[batch]`.
    """

    def __init__(self, model: MultiTaskModel, steps: Sequence[Mapping[str, tf.Tensor]]) -> None:
        self.model, self.plan, self._rows = model, model.plan, steps
        self.tasks = list(self.plan.tasks)
        self._variables = _shared_variables(self.model)
        self._cut: list[frozenset[str]] = []
        self._trained: list[frozenset[str]] = []
        self._gates: dict[str, tuple[tuple[str, ...], list[str]]] = {}
        self._looked = tf.function(self._look, autograph=False)

    @classmethod
    def of(cls, pipeline: Pipeline, steps: int = STEPS) -> Self:
        """On the rows of the first training steps."""
        return cls(pipeline.model, list(training_rows(pipeline.rates(), pipeline.recipe.seed, 0, steps)))

    def look(self, epoch: int) -> Probe:
        """The model as it is now, after `epoch` epochs."""
        found = [tf.nest.map_structure(lambda tensor: tensor.numpy(), self._looked(rows)) for rows in self._rows]
        cut, parameters = (np.stack([one[key] for one in found]) for key in (CUT, PARAMETERS))
        given = getattr(self.model.balancer, "task_weights", None)
        balanced = given and {task: float(weight) for task, weight in given().items()}
        norms = self._norms(parameters)
        if balanced:
            norms = {task: norm * balanced[task] for task, norm in norms.items()}
        gates = {name: self._gate(name, [one["gates"][name] for one in found]) for name in self._gates}
        return Probe(epoch, self._pairs(cut, parameters), norms, self._weights(balanced), gates)

    def _weights(self, balanced: Mapping[str, float] | None) -> dict[str, float] | None:
        if balanced is None:
            return None
        return {task: spec.weight * balanced[task] for task, spec in self.plan.tasks.items()}

    def _look(self, rows: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """Inner products of gradients, `[parts, tasks, tasks]`, of the parts of the cut and by variable; and gates' shares."""
        batches = self.model.gather(rows)
        with tf.GradientTape(persistent=True) as tape:
            forward = _Watched(self.model)
            losses = {
                name: TaskLoss(*forward.losses(name, batches[spec.rows])) for name, spec in self.plan.tasks.items()
            }
            shares, _ = self.model.shares(losses)
            whole, own = forward.cut()
            cut = (*whole, *own)
        by_cut, by_variable = [], []
        for task in self.tasks:
            found = tape.gradient(shares[task], [*cut, *self._variables])
            by_cut.append(found[: len(cut)])
            by_variable.append(found[len(cut) :])
        self._cut, self._trained = (self._connected(found) for found in (by_cut, by_variable))
        gates = forward.gates()
        self._gates = {name: (tasks, experts) for name, (tasks, experts, _) in gates.items()}
        return {
            CUT: _gramians(by_cut, len(self.tasks)),
            PARAMETERS: _gramians(by_variable, len(self.tasks)),
            "gates": {name: _of_rows(shares) for name, (_, _, shares) in gates.items()},
        }

    def _connected(self, gradients: Sequence[Sequence[Any]]) -> list[frozenset[str]]:
        """Which tasks have a gradient, by part; those of which no two have one say nothing of what is shared."""
        return [
            frozenset(task for task, one in zip(self.tasks, of_part, strict=True) if one is not None)
            for of_part in zip(*gradients, strict=True)
        ]

    def _pairs(self, cut: np.ndarray, parameters: np.ndarray) -> list[Pair]:
        pairs = []
        for one, other in combinations(range(len(self.tasks)), 2):
            names = self.tasks[one], self.tasks[other]
            same = len({self.plan.tasks[name].rows for name in names}) == 1
            at, gramians, connected = (CUT, cut, self._cut) if same else (PARAMETERS, parameters, self._trained)
            common = [part for part, tasks in enumerate(connected) if {*names} <= tasks]
            if common:
                pairs.append(Pair(names, at, [_cosine(of_step[common].sum(0), one, other) for of_step in gramians]))
        return pairs

    def _norms(self, parameters: np.ndarray) -> dict[str, float]:
        shared = [part for part, tasks in enumerate(self._trained) if len(tasks) > 1]
        squares = np.diagonal(parameters[:, shared].sum(1), axis1=1, axis2=2)
        return dict(zip(self.tasks, np.sqrt(squares).mean(0).tolist(), strict=True))

    def _gate(self, name: str, steps: Sequence[Mapping[str, np.ndarray]]) -> Gate:
        tasks, experts = self._gates[name]
        shares, of_rows = (np.mean([step[key] for step in steps], axis=0) for key in ("shares", "entropy"))
        return Gate(list(tasks), experts, shares.tolist(), _entropy(shares).tolist(), of_rows.tolist())


class _Watched(Forward):
    """A pass that remembers what entered the layers of correlations."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._seen: dict[tuple[str, str], list[Any]] = {}

    def _apply(self, correlation: str, embedding: str, inputs: Any, **beside: Any) -> Any:
        self._seen.setdefault((correlation, embedding), []).append(inputs)
        return super()._apply(correlation, embedding, inputs, **beside)

    def gates(self) -> dict[str, tuple[tuple[str, ...], list[str], tf.Tensor]]:
        """`correlation/embedding[/level]` -> tasks, experts, and shares `[rows, tasks, experts]`, of layers that have gates."""
        found = {}
        for (correlation, embedding), seen in self._seen.items():
            layer = self.model.correlations[correlation][embedding]
            if not hasattr(layer, "gates"):
                continue
            tasks, of_calls = self.plan.tasks_of(correlation, embedding), [layer.gates(inputs) for inputs in seen]
            for level, (_, experts) in of_calls[0].items():
                shares = tf.concat([of_call[level][0] for of_call in of_calls], 0)
                found["/".join(filter(None, (correlation, embedding, level)))] = tasks, experts, shares
        return found


def _shared_variables(model: Any) -> list[Any]:
    """What several tasks may train: encoders and correlations, without variables that have a part for each task."""
    every = [*model.encoders.values(), *(layer for of in model.correlations.values() for layer in of.values())]
    layers = [layer for layer in every if layer.built]
    own = {
        id(axis.variable) for layer in layers if hasattr(layer, "axes") for axis in layer.axes() if axis.of == "task"
    }
    variables = {id(weight): weight for layer in layers for weight in layer.trainable_variables}
    return [variable for number, variable in variables.items() if number not in own]


def _gramians(gradients: Sequence[Sequence[Any]], tasks: int) -> tf.Tensor:
    """Inner products of the gradients of tasks, float32 `[parts, tasks, tasks]`; 0 where there is none.

    Args:
        gradients: of each task by part: tensors, `IndexedSlices`, or None.
        tasks: how many.
    """
    parts = [_gramian(of_part) for of_part in zip(*gradients, strict=True)]
    return tf.stack(parts) if parts else tf.zeros([0, tasks, tasks])


def _gramian(gradients: Sequence[Any]) -> tf.Tensor:
    there = [number for number, one in enumerate(gradients) if one is not None]
    if len(there) < 2:
        return tf.zeros([len(gradients)] * 2)
    rows = _alike([gradients[number] for number in there])
    flat = tf.stack([tf.reshape(tf.cast(one, tf.float32), [-1]) for one in rows])
    spread = tf.constant(np.eye(len(gradients), dtype=np.float32)[there])
    return tf.matmul(spread, tf.matmul(tf.matmul(flat, flat, transpose_b=True), spread), transpose_a=True)


def _alike(gradients: Sequence[Any]) -> list[tf.Tensor]:
    """Tensors of one shape with the same inner products; of tables the rows that some gradient touches."""
    sliced = [one for one in gradients if isinstance(one, tf.IndexedSlices)]
    if len(sliced) < len(gradients):
        return [tf.convert_to_tensor(one) for one in gradients]
    touched, places = tf.unique(tf.concat([one.indices for one in sliced], 0))
    split = tf.split(places, [tf.shape(one.indices)[0] for one in sliced])
    count = tf.shape(touched)[0]
    return [tf.math.unsorted_segment_sum(one.values, place, count) for one, place in zip(sliced, split, strict=True)]


def _of_rows(shares: tf.Tensor) -> dict[str, tf.Tensor]:
    """Means over rows of shares `[rows, tasks, experts]`, and of their entropies."""
    shares = tf.cast(shares, tf.float32)
    bits = -tf.reduce_sum(tf.math.xlogy(shares, shares), -1) / np.log(max(shares.shape[-1], 2))
    return {"shares": tf.reduce_mean(shares, 0), "entropy": tf.reduce_mean(bits, 0)}


def _entropy(shares: np.ndarray) -> np.ndarray:
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(-1) / np.log(max(shares.shape[-1], 2)))


def _cosine(gramian: np.ndarray, one: int, other: int) -> float | None:
    size = np.sqrt(gramian[one, one] * gramian[other, other])
    return float(gramian[one, other] / size) if size > 0 else None
