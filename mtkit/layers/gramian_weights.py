"""How much the gradient of each task counts, by the inner products of all of them.

Each class is a method whose weights depend on the Gramian alone, so that nothing as large as a gradient is computed with. It
is computed in float64, in the graph, in a bounded number of operations, which XLA can compile. A task whose gradient is 0, such
as one without labels in the batch, counts as if it were not there: it gets weight 0.

What a method promises is said by attributes, and asserted by `mtkit.testing.check_weighting`. J are the gradients, one a row, and
A(J) is their weighted sum:

- `non_conflicting`: A(J) has no negative product with any gradient: a short step makes no task worse.
- `permutation_invariant`: A(J) does not depend on the order of the tasks.
- `scale_invariant`: the direction of A(J) does not depend on positive factors of the tasks' losses.
- `linear_under_scaling`: A(diag(c) J) is linear in positive c.
- `strongly_stationary`: where A(J) is 0, some weighted sum of the gradients with all weights above 0 is 0.

The properties but the third are those of Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024, section 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mtkit.backend import tf
from mtkit.layers.quadratic_programs import definite, nonnegative_minimum


class Gradients(NamedTuple):
    """What a Gramian says of the gradients, in float64.

    Attributes:
        there: bool `[tasks]`, whether a gradient is not 0.
        norms: `[tasks]`.
        inverse: `[tasks]`, 1 / norms, and 0 of gradients that are 0.
        cosines: `[tasks, tasks]`, with rows and columns of 0 where a gradient is 0.
        gramian: `[tasks, tasks]`.
        precision: the type in which the Gramian came.
    """

    there: tf.Tensor
    norms: tf.Tensor
    inverse: tf.Tensor
    cosines: tf.Tensor
    gramian: tf.Tensor
    precision: tf.DType

    @classmethod
    def of(cls, gramian: tf.Tensor) -> Gradients:
        """Those with the inner products `[tasks, tasks]`."""
        products = tf.cast(gramian, tf.float64)
        norms = tf.sqrt(tf.maximum(tf.linalg.diag_part(products), 0))
        inverse = tf.math.reciprocal_no_nan(norms)
        return cls(norms > 0, norms, inverse, products * inverse * inverse[:, None], products, gramian.dtype)

    @property
    def share(self) -> tf.Tensor:
        """Weights of the mean over the gradients that are not 0."""
        there = tf.cast(self.there, tf.float64)
        return tf.math.divide_no_nan(there, tf.reduce_sum(there))

    @property
    def definite(self) -> tf.Tensor:
        """The cosines, regularized; gradients that are 0 stand at right angles to all others."""
        return definite(tf.linalg.set_diag(self.cosines, tf.ones_like(self.norms)), self.precision)


Memory = dict[str, tf.Tensor]


class Weighting:
    """A method, of use alone: `weights, memory = weighting(gramian, memory, seed)`.

    Methods that remember nothing implement `weights` alone.
    """

    non_conflicting = False
    permutation_invariant = True
    scale_invariant = False
    linear_under_scaling = False
    strongly_stationary = False

    def memory(self, tasks: int) -> dict[str, np.ndarray]:
        """What is remembered between steps, by name, with its values before the first one: nothing.

        Args:
            tasks: how many.
        """
        return {}

    def __call__(self, gramian: tf.Tensor, memory: Memory, seed: tf.Tensor) -> tuple[tf.Tensor, Memory]:
        """The weights by which gradients are summed, `[tasks]` in the Gramian's type, and what is remembered after the step.

        Args:
            gramian: inner products of the tasks' gradients, `[tasks, tasks]`, float32 or float64, whose shape is static.
            memory: what was remembered.
            seed: int64 `[2]`, of what is drawn; another one for each step.
        """
        gradients = Gradients.of(gramian)
        weights = tf.where(gradients.there, self.weights(gradients, seed), 0)
        return tf.cast(weights, gramian.dtype), memory

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """Weights, float64 `[tasks]`; those of gradients that are 0 may be anything finite."""
        raise NotImplementedError


class PCGrad(Weighting):
    """Takes from each gradient what conflicts with each of the others, in an order that is drawn; the sum of what remains.

    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1.
    """

    permutation_invariant = False
    linear_under_scaling = True
    strongly_stationary = True

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """Sums of the coefficients of the corrected gradients."""
        tasks = gradients.norms.shape[0]
        return self.projected(gradients, tf.argsort(tf.random.stateless_uniform([tasks, tasks], seed)))

    @staticmethod
    def projected(gradients: Gradients, order: tf.Tensor) -> tf.Tensor:
        """The same in a given order.

        Args:
            gradients: the gradients.
            order: integers `[tasks, tasks]`: for each task the order of all tasks; itself is passed over.
        """
        tasks = gradients.norms.shape[0]
        coefficients, own = tf.eye(tasks, dtype=tf.float64), tf.eye(tasks, dtype=tf.bool)
        for other in tf.unstack(tf.one_hot(order, tasks, dtype=tf.float64), axis=1):
            product = tf.reduce_sum(tf.matmul(coefficients, gradients.gramian) * other, 1, keepdims=True)
            change = tf.minimum(product, 0) * other * tf.square(gradients.inverse)
            coefficients -= tf.where(own, 0, change)
        return tf.reduce_sum(coefficients, 0)


class MGDA(Weighting):
    """The shortest vector among all convex combinations of the gradients; exact, unlike Frank-Wolfe steps.

    Source: Désidéri, Multiple-Gradient Descent Algorithm, Comptes Rendus Mathématique 350 (2012), theorem 2.2; Sener and Koltun,
    Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018, equation 3. The least w'Gw over the simplex is where
    y'Gy / 2 - Σ y over y ≥ 0 is, up to the scale.
    """

    non_conflicting = True

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """Weights that add up to 1."""
        # In units of the largest possible: of gradients that are far apart in length the shortest counts.
        scaled = tf.math.divide_no_nan(gradients.inverse, tf.reduce_max(gradients.inverse))
        found = nonnegative_minimum(gradients.definite, -scaled[None])[0] * scaled
        return tf.math.divide_no_nan(found, tf.reduce_sum(found))


class CAGrad(Weighting):
    """Within a ball around the mean gradient, the direction that does most for the task for which it does least.

    The ball has the radius c times the mean gradient's norm. Where none in it does good to all tasks, and the least combination of
    the gradients is about 0, it is the nearest to the mean that makes no task worse.

    Source: Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021, equation 4 and algorithm 1, without
    the rescaling of its published code: of one task it is 1 + c times the gradient. The dual, over the simplex, has one unknown
    more than a problem over y ≥ 0: the least improvement m of a task. For a given m the shortest Σ y g that, added to the mean
    gradient, reaches it minimizes y'Gy / 2 + y'(b - m), b being the products with the mean; its norm grows with m, is convex,
    and Newton's method from above finds where it is the radius.

    Args:
        c: the radius, by the mean gradient's norm.
    """

    #: Of what this part of its length remains, where gradients cancel, is taken for 0.
    CANCELED = 1e-4
    NEWTON_STEPS = 30

    strongly_stationary = True

    def __init__(self, c: float = 0.4) -> None:
        self.c = c
        # Only so wide a ball has a direction without conflict always, and holds 0.
        self.non_conflicting, self.strongly_stationary = c >= 1, c < 1

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """1 / tasks, and those of the dual, by the radius."""
        share = gradients.share
        products = tf.linalg.matvec(gradients.gramian, share)
        radius = self.c * tf.sqrt(tf.maximum(tf.tensordot(share, products, 1), 0))
        return share + self._correction(gradients, products, radius)

    def _correction(self, gradients: Gradients, products: tf.Tensor, radius: tf.Tensor) -> tf.Tensor:
        matrix, inverse = gradients.definite, gradients.inverse

        def shortest(least: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = nonnegative_minimum(matrix, ((products - least) * inverse)[None])[0]
            return found, tf.sqrt(tf.tensordot(found, tf.linalg.matvec(matrix, found), 1))

        def step(least: tf.Tensor, found: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, ...]:
            slope = tf.math.divide_no_nan(tf.tensordot(found, inverse, 1), length)
            least -= tf.math.divide_no_nan(length - radius, slope)
            return least, *shortest(least)

        none, none_length = shortest(tf.zeros([], tf.float64))
        bound = tf.reduce_min(tf.where(gradients.there, products + radius * gradients.norms, np.inf))
        start = tf.where(none_length < radius, bound, tf.minimum(bound, 0))
        start = tf.where(tf.reduce_any(gradients.there), start, 0)
        _, found, length = tf.while_loop(
            lambda _least, _found, length: length > radius * (1 + 1e-9),
            step, (start, *shortest(start)), maximum_iterations=self.NEWTON_STEPS,
        )  # fmt: skip
        return inverse * tf.where(length < self.CANCELED * tf.reduce_sum(found), none, found)
