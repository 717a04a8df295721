"""Optimizers by name, and their learning rate over the steps of a run.

The optimizers of tf_keras update every row of an embedding table in each step, whatever the gradient touches. Those
here update the touched rows alone where a table is so large that this is faster; what the steps between would have done
to a row is made up for when it is touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mtkit.backend import keras, tf

if TYPE_CHECKING:
    from mtkit.recipe.settings import Train

WIDE = 8
"""Numbers of a row from which on rows of a gradient are added up by `scatter_nd`."""

DENSE_ROWS = 32_768
"""Largest number of rows of a table that is updated whole: row by row would take as long (a batch of 4,096, one CPU)."""

FINAL_RATE = 0.02
"""Where a cosine schedule ends, as a share of the learning rate."""


def dense(gradient: Any) -> tf.Tensor:
    """A gradient as a tensor of its variable's shape; rows of one number are added up in their order.

    On CPUs `scatter_nd` adds wide rows up two to three times as fast as the segment sum that TensorFlow converts by, to the
    same bits.
    """
    wide = (
        isinstance(gradient, tf.IndexedSlices) and gradient.values.shape.rank == 2 and gradient.dense_shape is not None
    )
    if not wide or (gradient.values.shape[1] or 0) < WIDE or tf.config.list_physical_devices("GPU"):
        return tf.convert_to_tensor(gradient)
    indices = gradient.indices[:, None]
    return tf.scatter_nd(indices, gradient.values, tf.cast(gradient.dense_shape, indices.dtype))


def _along(values: tf.Tensor, variable: Any) -> tf.Tensor:
    """A number for each row, `[n]`, along rows of a variable of any rank."""
    return tf.reshape(values, [-1, *[1] * (variable.shape.rank - 1)])


def _move(variable: Any, rows: tf.Tensor, by: tf.Tensor) -> None:
    """Adds to distinct rows of a variable; on CPUs, to look them up and write them takes a third of the time of `scatter_add`."""
    variable.scatter_update(tf.IndexedSlices(tf.gather(variable, rows) + by, rows))


class _RowSparse(keras.optimizers.Optimizer):
    """Mixed into an optimizer of tf_keras, updates only the rows of large tables that a gradient touches.

    Rows that a batch looks up several times count with the sum of their gradients, in the rule and in the norm to be
    clipped. Where all rows are touched in each step, the rule is the dense one; what it is elsewhere, each optimizer says.
    """

    #: Key of a variable -> factor of its learning rate, where that is not 1.
    _factors: Mapping[Any, float] = MappingProxyType({})
    _factor = 1.0
    #: Key of a variable -> its weight decay, where that is not the optimizer's.
    _decays: Mapping[Any, float] = MappingProxyType({})

    @property
    def learning_rate(self) -> Any:
        """The learning rate; while a variable is updated, that of the variable."""
        rate = super().learning_rate
        return rate if self._factor == 1.0 else rate * self._factor

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        keras.optimizers.Optimizer.learning_rate.fset(self, value)

    def scale_rates(self, factors: Sequence[tuple[Any, float]]) -> None:
        """Gives variables learning rates of their own.

        Args:
            factors: variables, each with the factor by which its learning rate differs from the optimizer's; those of a
                variable that is there more than once are multiplied.
        """
        found: dict[Any, float] = {}
        for variable, factor in factors:
            key = self._var_key(variable)
            found[key] = found.get(key, 1.0) * factor
        # Keras would track a dictionary as a part of the checkpoint.
        self._factors = MappingProxyType(found)

    def set_decays(self, decays: Sequence[tuple[Any, float]]) -> None:
        """Gives variables a decoupled weight decay of their own, in the place of the optimizer's."""
        self._decays = MappingProxyType({self._var_key(variable): decay for variable, decay in decays})

    def update_step(self, gradient: Any, variable: Any) -> None:
        """Applies the gradient at the variable's learning rate, by rows where that is faster."""
        self._factor = self._factors.get(self._var_key(variable), 1.0)
        try:
            self._update(gradient, variable)
        finally:
            self._factor = 1.0

    def apply_gradients(self, grads_and_vars: Any, *arguments: Any, **options: Any) -> Any:
        """Applies gradients: those of small tables as dense ones, those of large tables by rows."""
        pairs = [(self._as_applied(gradient, variable), variable) for gradient, variable in grads_and_vars]
        return super().apply_gradients(pairs, *arguments, **options)

    def _as_applied(self, gradient: Any, variable: Any) -> Any:
        by_rows = gradient is None or self.is_large(variable)
        return gradient if by_rows else dense(gradient)

    def is_large(self, variable: Any) -> bool:
        """Whether a variable is updated by rows, if its gradient is one of rows."""
        return bool(variable.shape.rank and variable.shape[0] > DENSE_ROWS)

    def _update(self, gradient: Any, variable: Any) -> None:
        by_rows = isinstance(gradient, tf.IndexedSlices)
        decay = self._decays.get(self._var_key(variable), self.weight_decay)
        if decay is not None and self._use_weight_decay(variable):
            self._decay(variable, decay, gradient.indices if by_rows else None)
        if by_rows:
            self.update_rows(gradient.values, gradient.indices, variable)
        else:
            self.update_whole(gradient, variable)

    def update_whole(self, gradient: tf.Tensor, variable: Any) -> None:
        """Applies a dense gradient to a variable, by the rule of tf_keras."""
        super().update_step(gradient, variable)

    def update_rows(self, gradient: tf.Tensor, rows: tf.Tensor, variable: Any) -> None:
        """Applies a gradient `[n, ...]` to the distinct rows `[n]` of a variable."""
        raise NotImplementedError

    def _decay(self, variable: Any, decay: float, rows: tf.Tensor | None) -> None:
        factor = tf.cast(self.learning_rate * decay, variable.dtype)
        if rows is None:
            variable.assign_sub(factor * variable)
        else:
            factor = 1 - tf.pow(1 - factor, self.steps_since(rows, variable))
            _move(variable, rows, -factor * tf.gather(variable, rows))

    def steps_since(self, rows: tf.Tensor, variable: Any) -> tf.Tensor:
        """How many steps the rows `[n]` decay by, along their first axis, if that is known."""
        return tf.ones([], variable.dtype)

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Nothing, for weights decay where they are updated."""

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        clipped: Sequence[Any] = super()._clip_gradients(super()._deduplicate_sparse_grad(grads))
        return clipped

    def _deduplicate_sparse_grad(self, grads: Sequence[Any]) -> Sequence[Any]:
        return grads


class _Shared:
    """Scalars of the step that is applied, for variables that are updated in the same graph."""

    def __init__(self) -> None:
        self._known: dict[Any, Sequence[tf.Tensor]] = {}

    @contextlib.contextmanager
    def in_a_step(self) -> Iterator[None]:
        """Forgets them in the end: the next step has others."""
        try:
            yield
        finally:
            self._known.clear()

    def get(self, key: tuple[Any, ...], make: Callable[[], Sequence[tf.Tensor]]) -> Sequence[tf.Tensor]:
        """The scalars of a key; made each time where replicas would fetch them from one another's devices."""
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return make()
        key = (*key, tf.compat.v1.get_default_graph())
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


@keras.saving.register_keras_serializable(package="mtkit")
class Adam(_RowSparse, keras.optimizers.Adam):
    """Adam, by rows on large tables.

    The dense rule goes on moving a row after its gradient, by β₁ of the move before in each step, while its moments decay.
    By rows, all of that is done when the row is touched: moments decay by the steps since the last time, moves that were
    missed are made up for, and as many moves are made ahead as steps lay between. So a row that is looked up finds
    about what the dense rule would have made of it, and rows that are touched in each step find just that.

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015. Deviations: moves that are made ahead, or
    up for, are made at the learning rate of the step that makes them; a row that is touched no more stays where it is.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._shared = _Shared()

    def build(self, var_list: Sequence[Any]) -> None:
        """Makes the moments, and what large tables keep beside them: the last step of each row, and the moves it made."""
        known = getattr(self, "_built", False)
        super().build(var_list)
        if not known:
            # As floats, which all devices gather, and which count to 2^24.
            self._visits = [
                self.add_variable_from_reference(
                    variable, "visits", [variable.shape[0] if self.is_large(variable) else 0, 2]
                )
                for variable in var_list
            ]

    def is_large(self, variable: Any) -> bool:
        """Whether a variable is updated by rows; the variants of the rule are dense."""
        return super().is_large(variable) and not (self.amsgrad or self.adaptive_epsilon)

    def apply_gradients(self, *arguments: Any, **options: Any) -> Any:
        """Applies gradients; what variables share is computed once a step."""
        with self._shared.in_a_step():
            return super().apply_gradients(*arguments, **options)

    def update_whole(self, gradient: tf.Tensor, variable: Any) -> None:
        """Moves a variable and its moments, in one operation where tf_keras has ten."""
        if self.amsgrad or self.adaptive_epsilon:
            super().update_whole(gradient, variable)
            return
        mean, square = self._moments(variable)
        first, second = self._scalars(variable)[2:]
        rate, beta_1, beta_2, epsilon = (
            tf.cast(value, variable.dtype) for value in (self.learning_rate, self.beta_1, self.beta_2, self.epsilon)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=mean.handle,
            v=square.handle,
            beta1_power=first,
            beta2_power=second,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=gradient,
        )

    def update_rows(self, gradient: tf.Tensor, rows: tf.Tensor, variable: Any) -> None:
        """Moves the rows and their moments by all steps since they were touched."""
        means, squares = self._moments(variable)
        visits = self._visits[self._number(variable)]
        rate, step = self._scalars(variable)[:2]
        mean, square = tf.gather(means, rows), tf.gather(squares, rows)
        last, done = (_along(values, variable) for values in tf.unstack(tf.gather(visits, rows), axis=1))
        steps = step - last
        faded = tf.pow(self.beta_1, steps)
        # Of a move m, n steps make m (1 - β₁ⁿ) / (1 - β₁).
        rate = rate / (1 - self.beta_1)
        missed = rate * (tf.pow(self.beta_1, done) - faded) * mean / (tf.sqrt(square) + self.epsilon)
        mean = faded * mean + (1 - self.beta_1) * gradient
        square = tf.pow(self.beta_2, steps) * square + (1 - self.beta_2) * tf.square(gradient)
        ahead = rate * (1 - faded) * mean / (tf.sqrt(square) + self.epsilon)
        means.scatter_update(tf.IndexedSlices(mean, rows))
        squares.scatter_update(tf.IndexedSlices(square, rows))
        now = tf.reshape(tf.stack([step + tf.zeros_like(last), steps], -1), [-1, 2])
        visits.scatter_update(tf.IndexedSlices(now, rows))
        _move(variable, rows, -(missed + ahead))

    def steps_since(self, rows: tf.Tensor, variable: Any) -> tf.Tensor:
        """The steps since the rows were touched, this one included."""
        last = tf.gather(self._visits[self._number(variable)], rows)[:, 0]
        return self._scalars(variable)[1] - _along(last, variable)

    def _number(self, variable: Any) -> int:
        number: int = self._index_dict[self._var_key(variable)]
        return number

    def _moments(self, variable: Any) -> tuple[Any, Any]:
        number = self._number(variable)
        return self._momentums[number], self._velocities[number]

    def _scalars(self, variable: Any) -> Sequence[tf.Tensor]:
        """What variables share: the learning rate that makes up for moments that began at 0, the step t, β₁ᵗ and β₂ᵗ."""

        def make() -> Sequence[tf.Tensor]:
            step = tf.cast(self.iterations + 1, variable.dtype)
            first, second = (tf.pow(tf.cast(beta, variable.dtype), step) for beta in (self.beta_1, self.beta_2))
            rate = tf.cast(self.learning_rate, variable.dtype) * tf.sqrt(1 - second) / (1 - first)
            return [rate, step, first, second]

        return self._shared.get((self._factor, variable.dtype), make)


@keras.saving.register_keras_serializable(package="mtkit")
class AdamW(Adam):
    """Adam with decoupled weight decay, by rows on large tables: a row decays, too, by the steps since it was touched.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019. Deviations: those of `Adam`.
    """

    def __init__(self, learning_rate: Any = 0.001, weight_decay: float = 0.004, **options: Any) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **options)


@keras.saving.register_keras_serializable(package="mtkit")
class Adagrad(_RowSparse, keras.optimizers.Adagrad):
    """Adagrad, by rows on large tables; the same as the dense rule, which leaves untouched rows alone."""

    def update_rows(self, gradient: tf.Tensor, rows: tf.Tensor, variable: Any) -> None:
        """Moves the rows and their accumulators."""
        keras.optimizers.Adagrad.update_step(self, tf.IndexedSlices(gradient, rows), variable)


@keras.saving.register_keras_serializable(package="mtkit")
class Sgd(_RowSparse, keras.optimizers.SGD):
    """Stochastic gradient descent, by rows on large tables; without momentum the same as the dense rule."""

    def update_rows(self, gradient: tf.Tensor, rows: tf.Tensor, variable: Any) -> None:
        """Moves the rows, and their momenta if there is momentum."""
        rate, momentum = (tf.cast(value, variable.dtype) for value in (self.learning_rate, self.momentum))
        change = -rate * gradient
        if self.momentum:
            momenta = self.momentums[self._index_dict[self._var_key(variable)]]
            moved = momentum * tf.gather(momenta, rows) + change
            momenta.scatter_update(tf.IndexedSlices(moved, rows))
            change = momentum * moved + change if self.nesterov else moved
        _move(variable, rows, change)


def learning_rate_factors(model: keras.Model) -> list[tuple[Any, float]]:
    """The variables of a built model whose layers ask for learning rates of their own, with their factors.

    A layer asks by a method `learning_rate_factors()`, which gives pairs of a variable and a factor.
    """
    layers = model._flatten_layers()  # noqa: SLF001 - the public `layers` is not recursive
    return [pair for layer in layers for pair in getattr(layer, "learning_rate_factors", list)()]


OPTIMIZERS: Mapping[str, Callable[..., Any]] = {"adam": Adam, "adamw": AdamW, "adagrad": Adagrad, "sgd": Sgd}


def make_optimizer(settings: Train, steps: int) -> Any:
    """The recipe's optimizer, its learning rate scheduled over `steps`."""
    rate: Any = settings.learning_rate
    warm = min(settings.warmup_steps, steps - 1)
    if warm or settings.anneals:
        final = FINAL_RATE if settings.anneals else 1.0
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warm else rate, steps - warm, final, warmup_target=rate if warm else None, warmup_steps=warm
        )
    options = {} if settings.epsilon is None else {"epsilon": settings.epsilon}
    return OPTIMIZERS[settings.optimizer](learning_rate=rate, global_clipnorm=settings.clip_norm, **options)


def steps_at_full_rate(settings: Train, steps: int) -> float:
    """How many steps after warm-up the first `steps` of a run are worth, by the sum of their learning rates."""
    warm = settings.warmup_steps
    return steps - warm / 2 if steps > warm else steps**2 / (2 * warm)
