"""Neighbors by who bought what: items that go with the user's own, and users who bought the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mtkit.spec import Baseline, PositiveInt
from mtkit.standard.baselines import RetrievalBaseline, bought, linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from mtkit.standard.baselines import Scorer
    from mtkit.types import Events

Similarity = Literal["cosine", "jaccard", "conditional"]
Shrinkage = Annotated[float, Field(ge=0)]

_PAIRS = 2**24
"""Similarities of users that are held at once, at most, 12 bytes each; those of one user always are."""


class ItemKnn(RetrievalBaseline):
    """Sum, over the user's distinct items, of their similarity with the candidate by who bought them.

    With `n` buyers of the own item, `m` of the candidate and `c` of both, the similarity is `c / sqrt(n * m)` (cosine),
    `c / (n + m - c)` (jaccard) or `c / n` (conditional: the share of the own item's buyers who bought the candidate),
    times `c / (c + shrinkage)`. An item is no neighbor of itself.

    Source: Deshpande and Karypis, 2004; Koren, "Factorization meets the neighborhood", 2008, for the shrinkage.
    """

    similarity: Similarity = Field("cosine", description="similarity of two items")
    neighbors: PositiveInt | None = Field(
        None, description="most similar candidates that an item votes for; default: all"
    )
    shrinkage: Shrinkage = Field(0, description="common buyers at which the similarity counts half")
    similarities: tuple[Similarity, ...] = Field((), description="tried on validation; empty = `similarity` alone")
    neighbors_tried: tuple[PositiveInt, ...] = Field((), description="tried on validation; empty = `neighbors` alone")
    shrinkages: tuple[Shrinkage, ...] = Field((), description="tried on validation; empty = `shrinkage` alone")

    def grid(self) -> Sequence[Baseline]:
        """Every combination of what is to be tried."""
        settings = product(
            self.similarities or (self.similarity,),
            self.neighbors_tried or (self.neighbors,),
            self.shrinkages or (self.shrinkage,),
        )
        names = ("similarity", "neighbors", "shrinkage")
        return tuple(self.model_copy(update=dict(zip(names, setting, strict=True))) for setting in settings)

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        matrix = bought(events, cut, items)
        similarity = self._similarity(matrix)
        if self.neighbors is not None:
            similarity = strongest(similarity, self.neighbors)
        if similarity.nnz > 0.1 * items**2:
            return linear(matrix, similarity.toarray())
        return lambda users: (matrix[users] @ similarity).toarray()

    def _similarity(self, matrix: Any) -> Any:
        """Sparse `[items, items]` from the own item to the candidate; zeros on the diagonal."""
        from scipy import sparse

        together = (matrix.T @ matrix).tocsr()
        buyers = together.diagonal()
        common = (together - sparse.diags_array(buyers)).tocsr()
        similarity = _SIMILARITIES[self.similarity](common, buyers.clip(min=1)).tocsr()
        return similarity.multiply(_shrink(common, self.shrinkage)).tocsr() if self.shrinkage else similarity


class UserKnn(RetrievalBaseline):
    """Sum, over the most similar users, of their cosine similarity with the user, for the items they bought.

    A user is no neighbor of oneself. Source: Herlocker et al., 1999, for who bought what instead of ratings.
    """

    neighbors: PositiveInt = Field(100, description="most similar users that count")
    neighbors_tried: tuple[PositiveInt, ...] = Field(
        (25, 50, 100, 200, 400), min_length=1, description="`neighbors` tried on validation"
    )

    def grid(self) -> Sequence[Baseline]:
        """One for each of `neighbors_tried`."""
        return tuple(self.model_copy(update={"neighbors": neighbors}) for neighbors in self.neighbors_tried)

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        import numpy as np
        from scipy import sparse

        matrix = bought(events, cut, items)
        norm = np.sqrt(matrix.sum(axis=1).clip(min=1))
        normed = (sparse.diags_array(1 / norm) @ matrix).tocsr()
        buyers = normed.T.tocsr()
        block = max(1, _PAIRS // len(norm))

        def score(users: np.ndarray) -> np.ndarray:
            scores = np.zeros((len(users), items))
            for start in range(0, len(users), block):
                asked = users[start : start + block]
                similarity = (normed[asked] @ buyers).tocsr()
                similarity.data[np.repeat(asked, np.diff(similarity.indptr)) == similarity.indices] = 0
                scores[start : start + block] = (strongest(similarity, self.neighbors) @ matrix).toarray()
            return scores

        return score


def strongest(matrix: Any, number: int) -> Any:
    """The `number` largest positive values of each row of a sparse matrix, lower column first among equals."""
    import numpy as np
    from scipy import sparse

    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    place = np.arange(len(row)) - matrix.indptr[row]
    kept = order[(place < number) & (matrix.data[order] > 0)]
    return sparse.csr_array((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)


def _cosine(common: Any, buyers: np.ndarray) -> Any:
    import numpy as np
    from scipy import sparse

    scale = sparse.diags_array(1 / np.sqrt(buyers))
    return scale @ common @ scale


def _jaccard(common: Any, buyers: np.ndarray) -> Any:
    import numpy as np

    similarity = common.copy()
    own, candidate = np.repeat(buyers, np.diff(common.indptr)), buyers[common.indices]
    similarity.data = common.data / (own + candidate - common.data)
    return similarity


def _conditional(common: Any, buyers: np.ndarray) -> Any:
    from scipy import sparse

    return sparse.diags_array(1 / buyers) @ common


_SIMILARITIES: Mapping[Similarity, Callable[[Any, np.ndarray], Any]] = {
    "cosine": _cosine,
    "jaccard": _jaccard,
    "conditional": _conditional,
}
"""From common buyers `[items, items]` and buyers `[items]` (at least 1) to similarities."""


def _shrink(common: Any, shrinkage: float) -> Any:
    """`c / (c + shrinkage)` where there are common buyers."""
    factor = common.copy()
    factor.data = common.data / (common.data + shrinkage)
    return factor
