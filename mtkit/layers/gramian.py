"""What the inner products of gradients say of them, and what a method does that weighs them by these alone.

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
from mtkit.layers.quadratic_programs import Spectrum, definite


class Gradients(NamedTuple):
    """What a Gramian says of the gradients, in float64.

    Attributes:
        there: bool `[tasks]`, whether a gradient is not 0.
        norms: `[tasks]`.
        inverse: `[tasks]`, 1 / norms, and 0 of gradients that are 0.
        cosines: `[tasks, tasks]`, with rows and columns of 0 where a gradient is 0.
        gramian: `[tasks, tasks]`.
        precision: the type in which the Gramian came.
        finite: bool, whether the Gramian is; if not, the others are those of orthogonal unit vectors, for eigenvalues of what is
            no number end the program.
    """

    there: tf.Tensor
    norms: tf.Tensor
    inverse: tf.Tensor
    cosines: tf.Tensor
    gramian: tf.Tensor
    precision: tf.DType
    finite: tf.Tensor

    @classmethod
    def of(cls, gramian: tf.Tensor) -> Gradients:
        """Those with the inner products `[tasks, tasks]`."""
        finite = tf.reduce_all(tf.math.is_finite(gramian))
        products = tf.where(finite, tf.cast(gramian, tf.float64), tf.eye(gramian.shape[0], dtype=tf.float64))
        norms = tf.sqrt(tf.maximum(tf.linalg.diag_part(products), 0))
        inverse = tf.math.reciprocal_no_nan(norms)
        return cls(norms > 0, norms, inverse, products * inverse * inverse[:, None], products, gramian.dtype, finite)

    @property
    def share(self) -> tf.Tensor:
        """Weights of the mean over the gradients that are not 0."""
        there = tf.cast(self.there, tf.float64)
        return tf.math.divide_no_nan(there, tf.reduce_sum(there))

    @property
    def definite(self) -> tf.Tensor:
        """The cosines, regularized; gradients that are 0 stand at right angles to all others."""
        return definite(tf.linalg.set_diag(self.cosines, tf.ones_like(self.norms)), self.precision)

    def given(self, weights: tf.Tensor) -> tf.Tensor:
        """Weights as they are given back: 0 without a gradient, nan where the Gramian is not finite, in its type."""
        weights = tf.where(self.finite, tf.where(self.there, weights, 0), np.nan)
        return tf.cast(weights, self.precision)

    def norm_of(self, weights: tf.Tensor) -> tf.Tensor:
        """The norm of the weighted sum."""
        scaled = weights * self.norms
        return tf.sqrt(tf.maximum(tf.tensordot(scaled, tf.linalg.matvec(self.cosines, scaled), 1), 0))

    def spectrum(self, products: tf.Tensor) -> Spectrum:
        """Eigenvalues and eigenvectors of the Gramian, or of the cosines."""
        return Spectrum.of(products, self.precision)


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

        Of a Gramian that is not finite they are nan.

        Args:
            gramian: inner products of the tasks' gradients, `[tasks, tasks]`, float32 or float64, whose shape is static.
            memory: what was remembered.
            seed: int64 `[2]`, of what is drawn; another one for each step.
        """
        gradients = Gradients.of(gramian)
        return gradients.given(self.weights(gradients, seed)), memory

    def weights(self, gradients: Gradients, seed: tf.Tensor) -> tf.Tensor:
        """Weights, float64 `[tasks]`; those of gradients that are 0 may be anything finite."""
        raise NotImplementedError
