"""Metrics over the top of a ranked catalog, or over all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from mtkit.spec import Address, ItemsBy, Name, RankingMetric

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from mtkit.types import Ranking


class Recall(RankingMetric):
    """Share of the relevant items that the top k holds, of at most k: `hits / min(k, relevant)`."""

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]."""
        import numpy as np

        return np.asarray(ranking.hits[:, :k].sum(axis=1) / np.minimum(k, ranking.relevant))


class PooledRecall(RankingMetric):
    """Share of the relevant items of all rows that the top k of their rows hold; it has no value per row.

    Rows with more relevant items count more: each of these counts as if it were a row of its own. The accuracy of
    `tfrs.metrics.FactorizedTopK`, whose rows have one item each.
    """

    def value(self, ranking: Ranking, k: int) -> float:
        """The share in [0, 1]; nan where no row was ranked."""
        import numpy as np

        weights = np.ones(len(ranking.relevant)) if ranking.weights is None else ranking.weights.astype(float)
        hits = ranking.hits[:, :k].sum(axis=1)
        return float(weights @ hits / (weights @ ranking.relevant)) if len(hits) else float("nan")


class Precision(RankingMetric):
    """Share of the k places that hold a relevant item; places that stay empty count."""

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]."""
        import numpy as np

        return np.asarray(ranking.hits[:, :k].sum(axis=1) / k)


class Map(RankingMetric):
    """Average precision: the precision at each relevant item of the top k, summed, over `min(k, relevant)`."""

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]."""
        import numpy as np

        hits = ranking.hits[:, :k]
        precision = hits.cumsum(axis=1) / np.arange(1, k + 1)
        return np.asarray((hits * precision).sum(axis=1) / np.minimum(k, ranking.relevant))


class Ndcg(RankingMetric):
    """Normalized discounted cumulative gain with binary relevance.

    Source: Järvelin and Kekäläinen, 2002; discount `1 / log2(1 + position)`, ideal over min(k, relevant) positions.
    """

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]."""
        import numpy as np

        discount = 1 / np.log2(np.arange(2, k + 2))
        ideal = np.cumsum(discount)[np.minimum(k, ranking.relevant) - 1]
        return np.asarray(ranking.hits[:, :k] @ discount / ideal)


class DebiasedNdcg(RankingMetric):
    """NDCG in which a relevant item counts the more, the fewer users have had it: `popularity ** -power`.

    What users interact with is what they were shown, so that popular items are overrepresented among what is relevant; if
    an item is observed with a probability in proportion to `popularity ** power`, weighing by its inverse corrects for
    that. As in the source weights are normalized by themselves, so only their proportions matter; but by the best order that
    the row's items can have, as NDCG is, so that 1 is reached and power 0 is `ndcg`. An item that nobody has had counts as
    one that one user has had.

    Source: Yang et al., "Unbiased offline recommender evaluation for missing-not-at-random implicit feedback", 2018.
    """

    power: Annotated[float, Field(ge=0)] = Field(1.0, description="of popularity, in the probability of being observed")

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]; nan where shares are not known."""
        import numpy as np

        rows = len(ranking.items)
        if ranking.shares is None or ranking.targets is None:
            return np.full(rows, np.nan)
        weight = np.append(0.0, ranking.shares[1:] ** -self.power)
        discount = 1 / np.log2(np.arange(2, k + 2))
        gain = np.where(ranking.hits[:, :k], weight[ranking.items[:, :k]], 0) @ discount
        row = np.repeat(np.arange(rows), ranking.relevant)
        weights = weight[ranking.targets.values["item"]]
        weights = weights[np.lexsort((-weights, row))]
        place = np.arange(len(row)) - np.repeat(np.cumsum(ranking.relevant) - ranking.relevant, ranking.relevant)
        best = np.bincount(row, np.where(place < k, weights * discount[np.minimum(place, k - 1)], 0), minlength=rows)
        return np.asarray(gain / best)


class Hit(RankingMetric):
    """Whether the top k holds a relevant item."""

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]`, 0 or 1."""
        return ranking.hits[:, :k].any(axis=1).astype(float)


class Mrr(RankingMetric):
    """Reciprocal of the position of the first relevant item, 0 if the top k holds none."""

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]."""
        import numpy as np

        return np.asarray((ranking.hits[:, :k] / np.arange(1, k + 1)).max(axis=1))


class Auc(RankingMetric):
    """Area under the ROC curve of each row: how often a relevant candidate is above another one, ties counting one half.

    It is over the whole ranking, so its key has no cutoff. Source: Rendle et al., "BPR: Bayesian personalized ranking from
    implicit feedback", 2009.
    """

    cutoff: ClassVar[bool] = False

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]; nan where every candidate is relevant."""
        import numpy as np

        assert ranking.targets is not None
        row = np.repeat(np.arange(len(ranking.relevant)), ranking.relevant)
        above = np.bincount(row, ranking.targets.values["above"], minlength=len(ranking.relevant))
        return np.asarray(above / ranking.relevant)


class Coverage(RankingMetric):
    """Share of the catalog that appears in the top k of any row; it has no value per row."""

    def value(self, ranking: Ranking, k: int) -> float:
        """The share in [0, 1]; nan where no row was ranked."""
        import numpy as np

        shown = np.unique(ranking.items[:, :k])
        return np.count_nonzero(shown) / ranking.catalog if len(ranking.items) else float("nan")


class Gini(RankingMetric):
    """Inequality of how often the items of the catalog appear in the top k of all rows; it has no value per row.

    0 where all appear equally often, close to 1 where a few take all places.
    """

    lower_is_better: ClassVar[bool] = True

    def value(self, ranking: Ranking, k: int) -> float:
        """The Gini coefficient in [0, 1); nan where nothing was recommended."""
        import numpy as np

        items = ranking.items[:, :k]
        times = None if ranking.weights is None else np.repeat(ranking.weights, items.shape[1])
        shown = np.bincount(items.ravel(), times, minlength=ranking.catalog + 1)[1:]
        if not shown.any():
            return float("nan")
        poorest_first = 2 * np.arange(1, ranking.catalog + 1) - ranking.catalog - 1
        return float(np.sort(shown) @ poorest_first / (ranking.catalog * shown.sum()))


class Novelty(RankingMetric):
    """Mean self-information of the top k, in bits: `-log2` of the share of users who have had the item.

    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", 2010.
    """

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]`, 0 or more; nan where nothing was recommended, or shares are not known."""
        import numpy as np

        return _mean_of_shown(ranking, k, lambda share: -np.log2(share))


class PopularityBias(RankingMetric):
    """Mean share of users who have had the items of the top k (average recommendation popularity).

    Source: Abdollahpouri et al., "Managing popularity bias in recommender systems with personalized re-ranking", 2019.
    """

    lower_is_better: ClassVar[bool] = True

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]; nan where nothing was recommended, or shares are not known."""
        return _mean_of_shown(ranking, k, lambda share: share)


class Serendipity(RankingMetric):
    """Share of the k places that hold a relevant item which is not among the k items that most users have had.

    Source: Ge et al., "Beyond accuracy: evaluating recommender systems by coverage and serendipity", 2010; the primitive
    model is popularity.
    """

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]; nan where shares are not known."""
        import numpy as np

        if ranking.shares is None:
            return np.full(len(ranking.items), np.nan)
        unexpected = np.ones(len(ranking.shares), bool)
        unexpected[1 + np.argsort(-ranking.shares[1:], kind="stable")[:k]] = False
        return np.asarray((ranking.hits[:, :k] & unexpected[ranking.items[:, :k]]).sum(axis=1) / k)


class Diversity(RankingMetric):
    """How much the items of the top k differ (intra-list distance): mean over their pairs of 1 less what they share.

    What two items share is the cosine of their vectors, as an encoder derives them (a frozen language model, a file), or of
    their texts (tf-idf of the words); or 1 where they have the same category and 0 else. What is null, or has no vector, has
    nothing in common with anything. Source: Ziegler et al., "Improving recommendation lists through
    topic diversification", 2005.
    """

    by: ItemsBy

    @property
    def reads(self) -> tuple[Address | Name, ...]:
        """The column, or the encoder."""
        return (self.by,)

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1], by vectors of an encoder in [0, 2]; 0 where fewer than two items are shown."""
        import numpy as np
        from scipy.sparse import csr_array

        vectors = ranking.vectors[self.by]
        row, place = np.nonzero(ranking.items[:, :k])
        shape = len(ranking.items), vectors.shape[0]
        shown = csr_array((np.ones(len(row)), (row, ranking.items[row, place])), shape)
        common = _squares(shown @ vectors) - shown @ _squares(vectors)
        pairs = shown.sum(axis=1) * (shown.sum(axis=1) - 1)
        return np.asarray(np.divide(pairs - common, pairs, out=np.zeros(len(pairs)), where=pairs > 0))


class Miscalibration(RankingMetric):
    """How far the categories of the top k are from those of what the row was followed by: Kullback-Leibler divergence.

    0 where both have the same shares of genres, say; a list of nothing but comedies is no list for who also watches crime. Shares
    of the list are mixed with .01 of the others, so that the divergence is finite. An item with several values counts for
    each in equal parts. Source: Steck, "Calibrated recommendations", 2018, equations 2 to 5, there with the user's past in the
    place of what the row was followed by.
    """

    lower_is_better: ClassVar[bool] = True

    by: Address = Field(description="categorical column, list, or label of classes of the items (`item.genre`)")

    @property
    def reads(self) -> tuple[Address | Name, ...]:
        """The column."""
        return (self.by,)

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]`, 0 or more, at most log 100; nan where one side has no category."""
        import numpy as np

        assert ranking.targets is not None, "every ranking has targets"
        vectors, rows = ranking.vectors[self.by], len(ranking.items)
        row = np.repeat(np.arange(rows), ranking.relevant)
        wanted = _shares(vectors, row, ranking.targets.values["item"], rows)
        shown = _shares(vectors, *_places(ranking.items[:, :k]), rows)
        mixed = 0.99 * shown + 0.01 * wanted
        terms = wanted * np.log(np.divide(wanted, mixed, out=np.ones_like(wanted), where=wanted > 0))
        return np.asarray(np.maximum(terms.sum(axis=1), 0))


def _places(items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row and the item of each place that is not empty."""
    import numpy as np

    row, place = np.nonzero(items)
    return row, items[row, place]


def _shares(vectors: Any, row: np.ndarray, items: np.ndarray, rows: int) -> np.ndarray:
    """Shares of the categories among the items of each row, float64 `[rows, categories]`; nan where none has any."""
    import numpy as np
    from scipy.sparse import csr_array

    each = csr_array(vectors)
    size = np.asarray(abs(each).sum(axis=1)).ravel()
    weight = np.divide(1.0, size[items], out=np.zeros(len(items)), where=size[items] > 0)
    total = (csr_array((weight, (row, items)), (rows, each.shape[0])) @ each).toarray()
    with np.errstate(invalid="ignore"):
        return np.asarray(total / total.sum(axis=1, keepdims=True))


def _squares(vectors: Any) -> np.ndarray:
    """Squared lengths `[rows]` of the rows of a SciPy sparse array or of floats."""
    import numpy as np

    squares = vectors.multiply(vectors) if hasattr(vectors, "multiply") else vectors * vectors
    return np.asarray(squares.sum(axis=1))


def _mean_of_shown(ranking: Ranking, k: int, of_share: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Mean over the items of the top k of a function of their shares of users."""
    import numpy as np

    items = ranking.items[:, :k]
    values = np.full(len(items), np.nan)
    shown = items > 0
    if ranking.shares is not None:
        of_item = np.where(shown, of_share(np.where(shown, ranking.shares[items], 1)), 0)
        np.divide(of_item.sum(axis=1), shown.sum(axis=1), out=values, where=shown.any(axis=1))
    return values
