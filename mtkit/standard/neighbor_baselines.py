"""Neighbors: items that go with the user's own by who bought them or by what they are, and users who bought the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mtkit.spec import Address, Baseline, ContentBaseline, ItemsBy, Name, PositiveInt
from mtkit.standard.baselines import SPARSE, RetrievalBaseline, bought, linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from mtkit.standard.baselines import Scorer
    from mtkit.types import Events, Sizes

Similarity = Literal["cosine", "jaccard", "conditional"]
Shrinkage = Annotated[float, Field(ge=0)]

_PAIRS = 1.7e7
"""Pairs of a sparse product that a core adds up in a second, by which costs are estimated."""
_CELLS = 2**23
"""Similarities that are held dense at once, at most; those of one row always are."""


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

    def cost(self, size: Sizes) -> float:
        """Of pairs of items of each user, as if all had equally many, and of a user's items times their neighbors."""
        return size.events**2 / max(size.users, 1) / _PAIRS + size.events * size.items / SPARSE

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        matrix = bought(events, cut, items)
        similarity = self._similarity(matrix)
        if self.neighbors is not None:
            similarity = strongest(similarity, self.neighbors)
        if similarity.nnz > 0.1 * items**2:
            return linear(matrix, similarity.toarray())
        return lambda users: (matrix[users] @ similarity).toarray()

    def nearest(self, events: Events, cut: int, items: int) -> tuple[np.ndarray, np.ndarray]:
        """The `neighbors` most similar items of each, int32, and how similar, float32, `[items, n]`; 0 where there are no more.

        Args:
            events: all events; those strictly before `cut` count.
            cut: seconds.
            items: number of rows of the item table, the unknown included.
        """
        import numpy as np
        from scipy import sparse

        assert self.neighbors is not None, "a table is as wide as they are many"
        known = sparse.diags_array((np.arange(items) > 0).astype(float))
        similar = strongest(self._similarity((bought(events, cut, items) @ known).tocsr()), self.neighbors)
        row, place = np.repeat(np.arange(items), np.diff(similar.indptr)), np.arange(similar.nnz)
        order = np.lexsort((similar.indices, -similar.data, row))
        found, scores = np.zeros((items, self.neighbors), np.int32), np.zeros((items, self.neighbors), np.float32)
        place -= similar.indptr[row]
        found[row, place], scores[row, place] = similar.indices[order], similar.data[order]
        return found, scores

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

    def cost(self, size: Sizes) -> float:
        """Of pairs of users of each item, as if all had equally many, and of a row of the catalog for each user."""
        return size.events**2 / max(size.items, 1) / _PAIRS + size.users * size.items / SPARSE

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        import numpy as np
        from scipy import sparse

        matrix = bought(events, cut, items)
        norm = np.sqrt(matrix.sum(axis=1).clip(min=1))
        normed = (sparse.diags_array(1 / norm) @ matrix).tocsr()
        buyers = normed.T.tocsr()

        def score(users: np.ndarray) -> np.ndarray:
            scores = np.zeros((len(users), items))
            for block in _blocks(len(users), len(norm)):
                similarity = (normed[users[block]] @ buyers).tocsr()
                similarity.data[np.repeat(users[block], np.diff(similarity.indptr)) == similarity.indices] = 0
                scores[block] = (strongest(similarity, self.neighbors) @ matrix).toarray()
            return scores

        return score


class ContentKnn(ContentBaseline):
    """Mean, over the user's distinct items, of their cosine with the candidate by what they are: texts, or vectors of them.

    Vectors of an encoder are taken about their mean over the items that have been bought, for those of language models
    have much in common all of them. An item is no neighbor of itself, and nobody's if it has no vector.

    Source: Pazzani and Billsus, "Content-based recommendation systems", 2007, section 3, nearest neighbors.
    """

    by: ItemsBy

    @property
    def reads(self) -> tuple[Address | Name, ...]:
        """The column, or the encoder."""
        return (self.by,)

    def rank(self, events: Events, cut: int, items: int, vectors: Mapping[str, Any] | None = None) -> Scorer:
        """A scorer of the catalog, see `ContentBaseline.rank`."""
        assert vectors is not None
        matrix, unit = bought(events, cut, items), vectors[self.by]
        if not hasattr(unit, "tocsr"):
            unit = _about_mean(unit, matrix.sum(axis=0) > 0)
        itself = matrix.multiply((unit * unit).sum(axis=1)).tocsr()
        count = matrix.sum(axis=1).clip(min=1)[:, None]
        profiles = matrix @ unit

        def score(users: np.ndarray) -> np.ndarray:
            common = profiles[users] @ unit.T
            dense = common.toarray() if hasattr(common, "toarray") else common
            scores: np.ndarray = (dense - itself[users].toarray()) / count[users]
            return scores

        return score


def _about_mean(vectors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Vectors of length 1 about the mean of those that are known; rows of zeros stay zeros."""
    import numpy as np

    there: np.ndarray = np.any(vectors, axis=1)
    centered = np.where(there[:, None], vectors - vectors[known & there].sum(0) / max((known & there).sum(), 1), 0)
    unit: np.ndarray = centered / np.linalg.norm(centered, axis=1, keepdims=True).clip(min=1e-12)
    return unit


def strongest(matrix: Any, number: int) -> Any:
    """The `number` largest positive values of each row of a sparse matrix, lower column first among equals.

    Column 0, the unknown, must be empty.
    """
    import numpy as np
    from scipy import sparse

    from mtkit.evaluation.rank import top_k

    kept = [sparse.csr_array((0, matrix.shape[1]))]
    for rows in _blocks(matrix.shape[0], matrix.shape[1]):
        dense = matrix[rows].toarray()
        dense[dense <= 0] = -np.inf
        top = top_k(dense, number)
        row, place = np.nonzero(top)
        column = top[row, place]
        kept.append(sparse.csr_array((dense[row, column], (row, column)), shape=dense.shape))
    return sparse.vstack(kept, format="csr")


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows that hold at most `_CELLS` cells, or one row."""
    block = max(1, _CELLS // columns)
    yield from (slice(start, start + block) for start in range(0, rows, block))


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
