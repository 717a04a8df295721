"""Linear models of who bought what: item-item weights in closed form, also beside the own past, and factors by least squares."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from mtkit.spec import Baseline, PositiveFloat, PositiveInt
from mtkit.standard.baselines import DENSE, SPARSE, OwnRecency, RetrievalBaseline, bought, linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from mtkit.standard.baselines import Scorer
    from mtkit.types import Events, Sizes

_SYSTEM = 4e-5
"""Seconds that it takes to set up and solve a small system of equations, beside its operations."""


class Ease(RetrievalBaseline):
    """Linear item-item model with a closed form, on who bought what.

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019, equation 8.
    """

    l2: PositiveFloat = Field(5000, description="the regularization λ")
    l2s: tuple[PositiveFloat, ...] = Field(
        (500, 1000, 2000, 5000, 10000), min_length=1, description="values of λ tried on validation"
    )
    max_items: PositiveInt = Field(
        20_000, description="in larger catalogs it does not apply: its model is a dense matrix"
    )

    def grid(self) -> Sequence[Baseline]:
        """One for each of `l2s`."""
        return tuple(self.model_copy(update={"l2": l2}) for l2 in self.l2s)

    def cost(self, size: Sizes) -> float:
        """Of the inverse, and of the product of purchases and weights; 0 where it does not apply."""
        if size.items > self.max_items:
            return 0.0
        return 2 * size.items**3 / DENSE + size.events * size.items / SPARSE

    def rank(self, events: Events, cut: int, items: int) -> Scorer | None:
        """A scorer of the catalog, see `Baseline.rank`; None if it has more than `max_items`."""
        import numpy as np
        from scipy import linalg

        if items > self.max_items:
            return None
        matrix = bought(events, cut, items)
        gram = (matrix.T @ matrix).toarray()
        gram[np.diag_indices(items)] += self.l2
        weights = linalg.inv(gram, overwrite_a=True)
        weights /= -np.diag(weights)
        np.fill_diagonal(weights, 0)
        return linear(matrix, weights)


class Blend(RetrievalBaseline):
    """EASE for what is new and own recency for what comes back: the sum of their scores, weighed by validation.

    The score of an item is that of `ease` plus `weight` times that of `own_recency`, which is divided by the largest of the
    user's, so that it is 1 for the habit that is strongest.
    """

    weight: PositiveFloat = Field(1.0, description="of the own past, beside 1 for EASE")
    half_life: PositiveFloat = Field(120, description="days after which a basket of the own past counts half")
    l2: PositiveFloat = Field(5000, description="the regularization λ of EASE")
    weights: tuple[PositiveFloat, ...] = Field(
        (0.3, 1.0, 3.0, 10.0), min_length=1, description="`weight` tried on validation"
    )
    half_lives: tuple[PositiveFloat, ...] = Field(
        (30, 120), min_length=1, description="`half_life` tried on validation"
    )
    l2s: tuple[PositiveFloat, ...] = Field((500, 5000), min_length=1, description="`l2` tried on validation")
    max_items: PositiveInt = Field(20_000, description="in larger catalogs it does not apply, as EASE does not")

    def grid(self) -> Sequence[Baseline]:
        """Every combination of `weights`, `half_lives` and `l2s`."""
        names = ("weight", "half_life", "l2")
        settings = product(self.weights, self.half_lives, self.l2s)
        return tuple(self.model_copy(update=dict(zip(names, setting, strict=True))) for setting in settings)

    def cost(self, size: Sizes) -> float:
        """That of EASE."""
        return Ease(max_items=self.max_items).cost(size)

    def rank(self, events: Events, cut: int, items: int) -> Scorer | None:
        """A scorer of the catalog, see `Baseline.rank`; None if it has more than `max_items`."""
        import numpy as np

        new = Ease(l2=self.l2, max_items=self.max_items).rank(events, cut, items)
        own = OwnRecency(half_life=self.half_life).rank(events, cut, items)
        if new is None:
            return None

        def score(users: np.ndarray) -> np.ndarray:
            habits = own(users)
            most = habits.max(1, keepdims=True)
            share = np.divide(habits, most, out=np.zeros_like(habits), where=most > 0)
            return np.asarray(new(users) + self.weight * share)

        return score


class Ials(RetrievalBaseline):
    """Matrix factorization of who bought what by alternating least squares, each half step exact.

    Loss: `alpha * (1 - score)**2` over what was bought, plus `score**2` over all pairs, plus the squared norm of each
    user's and item's factors times `regularization * (alpha * count + others)`, where `count` is how many items the
    user has (or users the item has), and `others` how many there are in all. Users without a past have scores of zero.
    Memory is linear in users, items and purchases. Where interactions have weights, what was bought counts
    in the loss, and in `count`, by the largest of its purchases' weights.

    Source: Hu et al., "Collaborative filtering for implicit feedback datasets", 2008; Rendle et al., "Revisiting the
    performance of iALS on item recommendation benchmarks", 2022, for the regularization, whose exponent is 1 here.
    """

    weighs: ClassVar[bool] = True

    factors: PositiveInt = Field(64, description="length of the factors")
    regularization: PositiveFloat = Field(0.01, description="strength of the regularization")
    alpha: PositiveFloat = Field(3, description="weight of what was bought, beside 1 for every pair")
    epochs: PositiveInt = Field(8, description="times that all users, then all items, are solved")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of the initial factors")
    factors_tried: tuple[PositiveInt, ...] = Field((), description="tried on validation; empty = `factors` alone")
    regularizations: tuple[PositiveFloat, ...] = Field(
        (0.003, 0.01, 0.03), min_length=1, description="`regularization` tried on validation"
    )
    alphas: tuple[PositiveFloat, ...] = Field((1, 3, 10), min_length=1, description="`alpha` tried on validation")

    def grid(self) -> Sequence[Baseline]:
        """Every combination of `factors_tried`, `regularizations` and `alphas`."""
        names = ("factors", "regularization", "alpha")
        settings = product(self.factors_tried or (self.factors,), self.regularizations, self.alphas)
        return tuple(self.model_copy(update=dict(zip(names, setting, strict=True))) for setting in settings)

    def cost(self, size: Sizes) -> float:
        """Of a system for each user and item in each epoch, and of what each interaction adds to one."""
        systems = (size.users + size.items) * (_SYSTEM + self.factors**3 / 3 / DENSE)
        return self.epochs * (systems + 4 * size.events * self.factors**2 / DENSE)

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        import numpy as np
        from threadpoolctl import threadpool_limits

        of_user = bought(events, cut, items, weighed=True)
        of_item = of_user.T.tocsr()
        item_factors = np.random.default_rng(self.seed).normal(0, self.factors**-0.5 / 10, (items, self.factors))
        # Threads cost small systems more than they gain.
        with threadpool_limits(1):
            user_factors = self._solve(of_user, item_factors)
            for _ in range(self.epochs):
                item_factors = self._solve(of_item, user_factors)
                user_factors = self._solve(of_user, item_factors)
        return lambda users: user_factors[users] @ item_factors.T

    def _solve(self, matrix: Any, others: np.ndarray) -> np.ndarray:
        """The best factors `[rows, factors]` of each row of a sparse `[rows, n]`, given those of its columns."""
        import numpy as np
        from scipy.linalg import lapack

        gram = others.T @ others
        counts = np.diff(matrix.indptr)
        solved = np.zeros((len(counts), self.factors))
        diagonal = np.diag_indices(self.factors)
        for row in np.flatnonzero(counts):
            own = slice(matrix.indptr[row], matrix.indptr[row + 1])
            mine, weight = others[matrix.indices[own]], matrix.data[own]
            weighed = weight[:, None] * mine
            system = gram + mine.T @ (self.alpha * weighed)
            system[diagonal] += self.regularization * (self.alpha * weight.sum() + len(others))
            # By Cholesky, in place: the transpose of a symmetric matrix is the matrix in LAPACK's order.
            _, solved[row], _ = lapack.dposv(system.T, self.alpha * weighed.sum(axis=0), overwrite_a=True)
        return solved
