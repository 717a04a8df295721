"""Metrics over the top of a ranked catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtkit.spec import RankingMetric

if TYPE_CHECKING:
    import numpy as np

    from mtkit.types import Ranking


class Recall(RankingMetric):
    """Share of the relevant items that the top k holds, of at most k: `hits / min(k, relevant)`."""

    def per_row(self, ranking: Ranking, k: int) -> np.ndarray:
        """Values float64 `[rows]` in [0, 1]."""
        import numpy as np

        return np.asarray(ranking.hits[:, :k].sum(axis=1) / np.minimum(k, ranking.relevant))


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


class Coverage(RankingMetric):
    """Share of the catalog that appears in the top k of any row; it has no value per row."""

    def value(self, ranking: Ranking, k: int) -> float:
        """The share in [0, 1]; nan where no row was ranked."""
        import numpy as np

        shown = np.unique(ranking.items[:, :k])
        return np.count_nonzero(shown) / ranking.catalog if ranking.catalog else float("nan")
