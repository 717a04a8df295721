"""How much the gradient of each task counts, by the inner products of all of them.

Each class is a method whose weights depend on the Gramian alone, so that nothing as large as a gradient is computed with. It
is computed in float64, in the graph, in a bounded number of operations, which XLA can compile. A task whose gradient is 0, such
as one without labels in the batch, counts as if it were not there: it gets weight 0.
"""

from __future__ import annotations

import numpy as np

from mtkit.backend import tf
from mtkit.layers.draws import integers
from mtkit.layers.gramian import Gradients, Memory, Weighting
from mtkit.layers.quadratic_programs import bargain, nonnegative_minimum, rounding


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
        # As XLA draws, wherever this runs: the numbers are few.
        drawn = integers(seed, tasks * tasks, 0, 2**31 - 1, compiled=True)
        return self.projected(gradients, tf.argsort(tf.reshape(drawn, [tasks, tasks])))

    @staticmethod
    def projected(gradients: Gradients, order: tf.Tensor) -> tf.Tensor:
        """The same in a given order.

        Args:
            gradients: the gradients.
            order: integers `[tasks, tasks]`: for each task the order of all tasks; itself is passed over.
        """
        tasks = gradients.norms.shape[0]
        coefficients, others = tf.eye(tasks, dtype=tf.float64), ~tf.cast(tf.eye(tasks), tf.bool)
        for other in tf.unstack(tf.one_hot(order, tasks, dtype=tf.float64), axis=1):
            product = tf.reduce_sum(tf.matmul(coefficients, gradients.gramian) * other, 1, keepdims=True)
            change = tf.minimum(product, 0) * other * tf.square(gradients.inverse)
            coefficients -= tf.where(others, change, 0)
        return tf.reduce_sum(coefficients, 0)


class MGDA(Weighting):
    """The shortest vector among all convex combinations of the gradients; exact, unlike Frank-Wolfe steps.

    Source: Désidéri, Multiple-Gradient Descent Algorithm, Comptes Rendus Mathématique 350 (2012); Sener and Koltun,
    Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018, section 3. The least w'Gw over the simplex is where
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

    The ball has the radius c times the mean gradient's norm. Where none in it does good to all tasks, and gradients cancel, it
    is the one nearest to the mean that makes no task worse.

    Source: Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021, algorithm 1,
    without the rescaling of its published code: of one task it is 1 + c times the gradient. The least that the direction does for
    a task, m, is found by Newton's method: for a given m, the shortest Σ y g that, added to the mean, does as much for all of
    them minimizes y'Gy / 2 + (b - m)'y over y ≥ 0, b being their products with the mean. Its norm grows with m, and is convex;
    where it is the radius, y is the dual's w by the radius.

    Args:
        c: the radius, by the mean gradient's norm.
    """

    #: Where no more than this part of the gradients' lengths remains in their sum, they cancel.
    CANCELED = 1e-4
    #: What the norm may differ from the radius by, in parts of it, and after how many steps it is as it is.
    CLOSE, STEPS = 1e-9, 30

    def __init__(self, c: float = 0.4) -> None:
        self.c = c
        # Only so wide a ball always has a direction without conflict, and then it holds 0, too.
        self.non_conflicting, self.strongly_stationary = c >= 1, c < 1

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """1 / tasks, and the dual's weights by the radius."""
        products = tf.linalg.matvec(gradients.gramian, gradients.share)
        return gradients.share + self._added(gradients, products, self.c * gradients.norm_of(gradients.share))

    def _added(self, gradients: Gradients, products: tf.Tensor, radius: tf.Tensor) -> tf.Tensor:
        matrix, inverse = gradients.definite, gradients.inverse

        def shortest(least: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = nonnegative_minimum(matrix, ((products - least) * inverse)[None])[0]
            return found, tf.sqrt(tf.tensordot(found, tf.linalg.matvec(matrix, found), 1))

        def step(least: tf.Tensor, found: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # From above, for the norm is convex.
            least -= tf.math.divide_no_nan((length - radius) * length, tf.tensordot(found, inverse, 1))
            return least, *shortest(least)

        harmless, harmless_length = shortest(tf.zeros([], tf.float64))
        does_good = harmless_length < radius
        # What each gradient alone would do, as the dual says, is no less than the best.
        bound = tf.reduce_min(tf.where(gradients.there, products + radius * gradients.norms, np.inf))
        bound = tf.where(does_good, bound, tf.minimum(bound, 0))
        _, found, length = tf.while_loop(
            lambda _least, _found, length: length > radius * (1 + self.CLOSE),
            step, (bound, *shortest(bound)), maximum_iterations=self.STEPS,
        )  # fmt: skip
        # Where gradients cancel, rounding may have made the last step too long.
        canceled = (length < self.CANCELED * tf.reduce_sum(found)) | (length < radius * (1 - self.CANCELED))
        return inverse * tf.where(does_good & canceled, harmless, found)


class NashMTL(Weighting):
    """The bargain of Nash: the tasks' products with the sum, (Gw)_i, are 1 / w_i.

    Its norm is the root of the number of tasks, and is clipped. Where the gradients cancel, no weights are the solution;
    those of the regularized problem are large, and their sum is about 0.

    Source: Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022, claim 3.1 and algorithm 1. Deviation:
    its solution is found by Newton's method instead of a sequence of convex programs. Clipping is that of the published code.

    Args:
        every: after how many steps weights are computed anew; in between they are those of before.
        max_norm: the largest norm of the weighted sum; 0 = any.
    """

    non_conflicting = True
    scale_invariant = True
    strongly_stationary = True

    def __init__(self, every: int = 1, max_norm: float = 1.0) -> None:
        self.every, self.max_norm = every, max_norm

    def memory(self, tasks: int) -> dict[str, np.ndarray]:
        """The last weights, float32 `[tasks]`, and the number of the step, int64.

        Args:
            tasks: how many.
        """
        return {"weights": np.ones(tasks, np.float32), "step": np.zeros([], np.int64)}

    def __call__(self, gramian: tf.Tensor, memory: Memory, seed: tf.Tensor) -> tuple[tf.Tensor, Memory]:
        """The weights, and those that are remembered: of a task that is not there, the last ones.

        Args:
            gramian: inner products of the tasks' gradients, `[tasks, tasks]`.
            memory: the last weights, and the number of the step.
            seed: not needed here.
        """
        gradients = Gradients.of(gramian)
        last = tf.cast(memory["weights"], tf.float64)
        found = tf.cond(memory["step"] % self.every == 0, lambda: self.weights(gradients, seed), lambda: last)
        kept = tf.where(gradients.there & gradients.finite, found, last)
        remembered = {"weights": tf.cast(kept, memory["weights"].dtype), "step": memory["step"] + 1}
        return gradients.given(self._clipped(kept, gradients)), remembered

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """The bargain's weights, before they are clipped."""
        return bargain(gradients.definite) * gradients.inverse

    def _clipped(self, weights: tf.Tensor, gradients: Gradients) -> tf.Tensor:
        if not self.max_norm:
            return weights
        return weights * (self.max_norm / tf.maximum(gradients.norm_of(weights), self.max_norm))


class IMTLG(Weighting):
    """The sum, of weights that add up to 1, whose projections onto all gradients are of one length.

    Weights may be below 0, and so may these projections be, of more than two tasks. Of gradients that depend on one another it
    is the least-squares solution of the smallest weights; 0 where these add up to 0.

    Source: Liu et al., Towards Impartial Multi-Task Learning, ICLR 2021, section 3.1: G w is proportional to the norms.
    """

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """Weights that add up to 1."""
        found = gradients.spectrum(gradients.gramian).solved(gradients.norms)
        total = tf.reduce_sum(found)
        adds_up = tf.abs(total) > rounding(gradients.precision) * tf.reduce_sum(tf.abs(found))
        return tf.where(adds_up, tf.math.divide_no_nan(found, total), 0)


class AlignedMTL(Weighting):
    """The mean of the gradients after they are made orthogonal, and as long as the smallest singular value.

    Source: Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023, algorithm 1, with equal task
    weights that add up to 1.
    """

    strongly_stationary = True

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """The balance matrix times equal weights."""
        return gradients.spectrum(gradients.gramian).balanced(gradients.share)


class ConFIG(Weighting):
    """The direction with one cosine with all gradients, as long as the gradients' projections onto it together.

    Of gradients that depend on one another it is the least-squares solution.

    Source: Liu, Chu and Thuerey, ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, ICLR 2025,
    section 3.
    """

    scale_invariant = True

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """The pseudo-inverse of the unit vectors, in terms of the gradients."""
        found = gradients.spectrum(gradients.cosines).solved(tf.cast(gradients.there, tf.float64))
        products = tf.linalg.matvec(gradients.cosines, found)
        length = tf.math.divide_no_nan(tf.tensordot(gradients.norms, products, 1), tf.tensordot(found, products, 1))
        # Unit vectors that add up to 0 have no such direction.
        there = tf.reduce_max(tf.abs(products)) > rounding(gradients.precision)
        return tf.where(there, length * found * gradients.inverse, 0)


class UPGrad(Weighting):
    """The mean of the gradients, each projected onto the directions that make no task worse.

    Source: Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024, section 3, by the dual of proposition 1: the
    least v'Gv over v that is nowhere below the unit vector of a task.
    """

    non_conflicting = True
    linear_under_scaling = True
    strongly_stationary = True

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """Sums of the coefficients of the projected gradients."""
        matrix = gradients.definite
        # What is added to each unit vector, by row.
        added = nonnegative_minimum(matrix, matrix)
        return gradients.share + tf.linalg.matvec(added, gradients.share * gradients.norms, True) * gradients.inverse


class DBMTL(Weighting):
    """The sum of the gradients, all made as long as the longest.

    Source: Lin et al., Dual-Balancing for Multi-Task Learning, 2023, the part that balances magnitudes of gradients. Deviation:
    gradients are those of the step, not moving averages, which a Gramian does not hold.
    """

    scale_invariant = True
    strongly_stationary = True

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """The largest norm by that of each."""
        return tf.reduce_max(gradients.norms) * gradients.inverse
