"""The gradients of each task, where tasks meet: their inner products, and one gradient of all of them.

What several tasks train gets a weighted sum of the tasks' gradients; what one task alone trains gets that task's. Where inner
products are taken is the difference between the two classes: at the cut, whose gradients come cheap, and behind which
a backward pass is run once for each task; or by the parameters that tasks share, through the whole model once for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mtkit.backend import tf
from mtkit.layers.training_step import Pass, StepScope
from mtkit.runtime.collectives import gather_rolled, global_sum
from mtkit.runtime.optimizers import DENSE_ROWS, dense

#: Task -> a factor of its gradient, or None = 1; tasks that are not in it count 1.
Factors = Mapping[str, tf.Tensor | None]
#: Task -> its gradients, None where no way leads to it.
ByTask = dict[str, list[Any]]


class TaskGradients(Protocol):
    """What a balancer needs of the tasks' gradients, on this replica's rows.

    Attributes:
        gramian: float32 `[tasks, tasks]`, inner products of the gradients of the global batch, in the order of the pass.
    """

    gramian: tf.Tensor

    def combined(self, shared: Factors, private: Factors) -> list[Any]:
        """One gradient, or None, for each variable: this replica's share.

        Args:
            shared: by which gradients of what several tasks train are added up.
            private: factors of gradients of what one task alone trains.
        """


class Losses:
    """A pass whose losses are differentiated one by one, in the graph that is being made.

    A tape that can be asked more than once would make loops and functions ready to be differentiated twice, which took four
    times as long to trace; and it cannot hold the cut fixed.

    Args:
        found: the pass.
        shares: task -> this replica's share of its loss.
        regularization: what else is minimized, a scalar.
        scope: the model.

    Shares and regularization are scaled (`StepScope.scaled`), and so are the gradients; the Gramian is not.
    """

    def __init__(
        self, found: Pass, shares: Mapping[str, tf.Tensor], regularization: tf.Tensor, scope: StepScope
    ) -> None:
        self.found, self.shares, self.scope = found, shares, scope
        self.variables = list(scope.trainable_variables)
        graph = tf.compat.v1.get_default_graph()
        self._handles = [graph.capture(variable.handle) for variable in self.variables]
        self.regularization = regularization

    def by_task(self, at: Sequence[tf.Tensor] = ()) -> ByTask:
        """Task -> the gradients of its loss by these tensors, and by the variables on ways that do not lead through them."""
        sources = [*at, *self._handles]
        return {task: tf.gradients(share, sources, stop_gradients=at) for task, share in self.shares.items()}

    def pulled_back(self, targets: Sequence[tf.Tensor], gradients: Sequence[Any]) -> list[Any]:
        """The gradients by the variables of tensors whose own gradients are given; None = 0."""
        pairs = [(t, tf.cast(g, t.dtype)) for t, g in zip(targets, gradients, strict=True) if g is not None]
        if not pairs:
            return [None] * len(self.variables)
        targets, gradients = zip(*pairs, strict=True)
        pulled: list[Any] = tf.gradients(list(targets), self._handles, list(gradients))
        return pulled

    def of_regularization(self) -> list[Any]:
        """The gradient of what is minimized beside the tasks' losses, by variable."""
        return self.pulled_back([self.regularization], [1.0])

    def unscaled(self, gramian: tf.Tensor) -> tf.Tensor:
        """Products of two scaled gradients as they are."""
        (once,) = self.scope.unscaled([gramian])
        (twice,) = self.scope.unscaled([once])
        return twice


class Stacked:
    """Gradients of the tasks side by side, of several tensors: one matrix for tensors that the same tasks reach.

    Products of the matrices take a tenth of the time of products of single tensors.

    Args:
        gradients: of each tensor the gradient of each task, None = 0.
    """

    def __init__(self, gradients: Sequence[Sequence[Any]]) -> None:
        self._gradients = gradients
        alike: dict[tuple[int, ...], list[int]] = {}
        for number, of_tasks in enumerate(gradients):
            alike.setdefault(tuple(task for task, one in enumerate(of_tasks) if one is not None), []).append(number)
        self._numbers = {reaching: numbers for reaching, numbers in alike.items() if reaching}
        self._rows = {reaching: self._stacked(reaching, numbers) for reaching, numbers in self._numbers.items()}

    def _stacked(self, reaching: Sequence[int], numbers: Sequence[int]) -> tf.Tensor:
        flat = [tf.reshape(tf.cast(self._gradients[n][task], tf.float32), [-1]) for task in reaching for n in numbers]
        return tf.reshape(tf.concat(flat, 0), [len(reaching), -1])

    def products(self, tasks: int, added_up: bool = False) -> tf.Tensor:
        """Inner products of the tasks' gradients, float32 `[tasks, tasks]`.

        Args:
            tasks: how many.
            added_up: whether gradients are this replica's shares, and are added up first.
        """
        sums = [tf.zeros([tasks, tasks])]
        for reaching, own in self._rows.items():
            rows, places = global_sum(own) if added_up else own, tf.one_hot(reaching, tasks)
            products = tf.matmul(rows, rows, transpose_b=True)
            sums.append(tf.matmul(tf.matmul(places, products, transpose_a=True), places))
        return tf.add_n(sums)

    def weighted(self, weights: Sequence[tf.Tensor | float]) -> list[Any]:
        """Of each tensor the sum of its gradients, times the weights of the tasks; None where no task reaches it."""
        found: list[Any] = [None] * len(self._gradients)
        for reaching, rows in self._rows.items():
            of_tasks = tf.stack([tf.cast(weights[task], tf.float32) for task in reaching])
            firsts = [self._gradients[number][reaching[0]] for number in self._numbers[reaching]]
            parts = tf.split(tf.matmul(of_tasks[None], rows)[0], [tf.size(first) for first in firsts])
            for number, first, part in zip(self._numbers[reaching], firsts, parts, strict=True):
                found[number] = tf.reshape(part, tf.shape(first))
        return found


class AtCut:
    """Gradients at the cut: of each task one backward pass to it, and one pull-back of their sum to what lies before it.

    Of what lies behind the cut, variables of one task alone are private. Tasks that do not reach the cut are not weighed.
    On several replicas rows of the cut are different rows, so inner products add up; tensors that all replicas compute are summed
    first. Memory: the gradient of each task by the cut, twice.
    """

    def __init__(self, losses: Losses) -> None:
        self._losses, self.cut = losses, list(losses.found.cut)
        found = losses.by_task(self.cut)
        self._rest = {task: gradients[len(self.cut) :] for task, gradients in found.items()}
        self._cut = {task: [_whole(gradient) for gradient in found[task][: len(self.cut)]] for task in found}
        whole = {id(tensor) for tensor in losses.found.whole}
        by_tensor = list(zip(*self._cut.values(), strict=True))
        self._places = [place for place, tensor in enumerate(self.cut) if id(tensor) in whole]
        self._places += [place for place, tensor in enumerate(self.cut) if id(tensor) not in whole]
        self._of_all = Stacked([by_tensor[place] for place in self._places[: len(whole)]])
        self._own = Stacked([by_tensor[place] for place in self._places[len(whole) :]])
        tasks = len(found)
        products = global_sum(self._own.products(tasks)) + self._of_all.products(tasks, added_up=True)
        self.gramian = losses.unscaled(products)

    def combined(self, shared: Factors, private: Factors) -> list[Any]:
        """One gradient, or None, for each variable."""
        weights = _weights(self._cut, shared)
        found = dict(zip(self._places, [*self._of_all.weighted(weights), *self._own.weighted(weights)], strict=True))
        return self.pulled_back([found[place] for place in range(len(self.cut))], shared, private)

    def by_tensor(self, place: int) -> list[tf.Tensor]:
        """The gradients by one tensor of the cut, float32, of the tasks that reach it."""
        return [gradients[place] for gradients in self._cut.values() if gradients[place] is not None]

    def pulled_back(self, cut: Sequence[Any], shared: Factors, private: Factors) -> list[Any]:
        """One gradient, or None, for each variable.

        Args:
            cut: what is pulled back, by tensor of the cut; None = nothing.
            shared: factors of gradients of what several tasks train behind the cut.
            private: factors of gradients of what one task alone trains there.
        """
        pulled, losses = self._losses.pulled_back(self.cut, cut), self._losses
        reaching = {task for task, gradients in self._cut.items() if any(g is not None for g in gradients)}
        factors = {task: (shared if task in reaching else private).get(task) for task in self._cut}
        return [
            _sum([before, added, _mixed(self._rest, number, factors if before is None else private, private)])
            for number, (before, added) in enumerate(zip(pulled, losses.of_regularization(), strict=True))
        ]


class AtParameters:
    """Gradients by the parameters that several tasks train: a backward pass through the whole model for each task.

    On several replicas the gradients are summed before their products are taken; those of large tables by the rows that the
    replicas looked up. Memory: for each task twice the gradient of all that is shared; of tables with more than `DENSE_ROWS`
    rows, of the rows of the step alone.
    """

    def __init__(self, losses: Losses) -> None:
        self._losses, self._found = losses, losses.by_task()
        shared = [number for number in range(len(losses.variables)) if len(_reaching(self._found, number)) > 1]
        tables = [number for number in shared if self._is_large(number)]
        self._rest, tasks = [number for number in shared if number not in tables], len(self._found)
        self._stacked = Stacked([[_dense(g[number]) for g in self._found.values()] for number in self._rest])
        of_tables = Stacked([rows_alike([g[number] for g in self._found.values()]) for number in tables])
        products = self._stacked.products(tasks, added_up=True) + of_tables.products(tasks)
        self.gramian = losses.unscaled(products)

    def _is_large(self, number: int) -> bool:
        gradients = [self._found[task][number] for task in _reaching(self._found, number)]
        rows = self._losses.variables[number].shape[0] if self._losses.variables[number].shape.rank else 0
        return rows > DENSE_ROWS and all(isinstance(gradient, tf.IndexedSlices) for gradient in gradients)

    def combined(self, shared: Factors, private: Factors) -> list[Any]:
        """One gradient, or None, for each variable."""
        stacked = dict(zip(self._rest, self._stacked.weighted(_weights(self._found, shared)), strict=True))
        return [
            _sum([one, stacked[number] if number in stacked else _mixed(self._found, number, shared, private)])
            for number, one in enumerate(self._losses.of_regularization())
        ]


def rows_alike(slices: Sequence[Any]) -> list[Any]:
    """Gradients of a table by task, `[rows, dim]` on the same rows: those that one of them touches on any replica.

    Args:
        slices: `tf.IndexedSlices`, or None.
    """
    there = [None if s is None else (gather_rolled(s.indices), gather_rolled(s.values)) for s in slices]
    rows, place = tf.unique(tf.concat([indices for indices, _ in filter(None, there)], 0))
    places = iter(tf.split(place, [tf.shape(indices)[0] for indices, _ in filter(None, there)]))
    return [None if one is None else _added_up(one[1], next(places), tf.shape(rows)[0]) for one in there]


def _added_up(values: tf.Tensor, rows: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    shape = tf.concat([[count], tf.shape(values)[1:]], 0)
    return tf.scatter_nd(rows[:, None], values, shape)


def _dense(gradient: Any) -> Any:
    return None if gradient is None else dense(gradient)


def _weights(found: ByTask, factors: Factors) -> list[tf.Tensor | float]:
    """The factors in the order of the tasks."""
    return [1.0 if factors.get(task) is None else factors[task] for task in found]


def _reaching(found: ByTask, number: int) -> list[str]:
    return [task for task, gradients in found.items() if gradients[number] is not None]


def _mixed(found: ByTask, number: int, shared: Factors, private: Factors) -> Any:
    """The gradient of one variable: weighted if several tasks train it."""
    tasks = _reaching(found, number)
    factors = shared if len(tasks) > 1 else private
    return _sum([_times(found[task][number], factors.get(task)) for task in tasks])


def _whole(gradient: Any) -> Any:
    """A gradient at the cut as a tensor, in float32."""
    return None if gradient is None else tf.cast(tf.convert_to_tensor(gradient), tf.float32)


def _times(gradient: Any, factor: tf.Tensor | None) -> Any:
    if gradient is None or factor is None:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        values = gradient.values * tf.cast(factor, gradient.values.dtype)
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return gradient * tf.cast(factor, gradient.dtype)


def _sum(gradients: Sequence[Any]) -> Any:
    """The sum of those that are there; of rows if all are of rows."""
    there = [gradient for gradient in gradients if gradient is not None]
    if len(there) < 2:
        return there[0] if there else None
    if all(isinstance(gradient, tf.IndexedSlices) for gradient in there):
        values = tf.concat([gradient.values for gradient in there], 0)
        return tf.IndexedSlices(values, tf.concat([g.indices for g in there], 0), there[0].dense_shape)
    return tf.add_n([dense(gradient) for gradient in there])
