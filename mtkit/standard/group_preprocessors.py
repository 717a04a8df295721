"""Preprocessors that make one feature of several columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from mtkit.schema import ColumnKind
from mtkit.spec import FeatureInfo, GroupPreprocessor, PositiveInt
from mtkit.standard.number_preprocessors import Standardize
from mtkit.standard.preprocessors import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from scipy import sparse

_FLAT = 1e-6
"""Components whose deviation is less than so much of that of the first one are rounding, and left out."""


class _Components(GroupPreprocessor):
    """What preprocessors share that map columns to a few numbers by a matrix."""

    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ("numeric", "categorical")

    components: PositiveInt = Field(8, description="how many there are, fewer where the columns have no more")
    whiten: bool = Field(
        True, description="whether each has mean 0 and variance 1 in the training rows, so that encoders hear all alike"
    )
    min_count: PositiveInt = Field(1, description="training rows in which a value of a categorical column must occur")
    max_size: PositiveInt = Field(
        1000, description="values of each categorical column that are told apart, the most frequent ones"
    )

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """Scales and vocabularies of the columns, and the matrix: `{"columns": [...], "matrix": [...], "offset": [...]}`."""
        import numpy as np
        from scipy import sparse

        columns = [self._column(values[str(name)]) for name in self.columns]
        wide = sparse.hstack(
            [_entries(values[str(name)], of) for name, of in zip(self.columns, columns, strict=True)], "csr"
        )
        matrix, offset = self._map(wide)
        if not len(offset):
            matrix, offset = np.zeros((wide.shape[1], 1)), np.zeros(1)
        return {"columns": columns, "matrix": matrix.tolist(), "offset": offset.tolist()}

    def _map(self, wide: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """The matrix `[entries, n]` and the offset `[n]` of components in which rows differ."""
        import numpy as np

        count = min(self.components, *wide.shape)
        if count == 0 or wide.shape[0] < 2:
            return np.zeros((wide.shape[1], 0)), np.zeros(0)
        with np.errstate(divide="ignore", invalid="ignore"):  # shares of a variance of 0, which nobody asks for
            directions, mean = self._learned(wide, count)
        made = wide @ directions.T
        deviations = made.std(0, ddof=1)
        there = deviations > _FLAT * max(1.0, deviations.max())
        matrix, deviations = directions.T[:, there], deviations[there]
        return (matrix / deviations, made.mean(0)[there] / deviations) if self.whiten else (matrix, mean @ matrix)

    def _column(self, values: np.ndarray) -> dict[str, Any]:
        """What is learned of one column alone."""
        if values.dtype != object:
            return dict(Standardize(columns=()).learn(_finite(values)))
        return dict(Vocabulary(columns=(), min_count=self.min_count, max_size=self.max_size).fit(values))

    def _learned(self, values: sparse.csr_matrix, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Directions float64 `[count, entries]`, and what is subtracted before, `[entries]`."""
        raise NotImplementedError

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """Floats."""
        return FeatureInfo(width=len(state["offset"]))

    def build(self, state: Mapping[str, Any]) -> Any:
        """A `mtkit.layers.components.Components`: columns `[rows]` to float32 `[rows, components]`."""
        from mtkit.layers.components import Components

        return Components(**state)


class Pca(_Components):
    """Principal components of several columns: the directions in which rows differ most, by scikit-learn's `PCA`.

    Numbers are standardized, missing ones are the mean; each value of a categorical column is a column of 0 and 1, and values
    that are rare, missing or new have none.
    """

    def _learned(self, values: sparse.csr_matrix, count: int) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.decomposition import PCA

        found = PCA(count, svd_solver="covariance_eigh").fit(values)
        return found.components_, found.mean_


class TruncatedSvd(_Components):
    """Singular vectors of several columns: as `pca`, but without the mean, by scikit-learn's `TruncatedSVD`.

    For categorical columns of many values: its memory grows with the rows, and not with the square of the number of values.
    """

    def _learned(self, values: sparse.csr_matrix, count: int) -> tuple[np.ndarray, np.ndarray]:
        import numpy as np
        from sklearn.decomposition import TruncatedSVD

        entries = values.shape[1]
        found = (
            TruncatedSVD(count, n_iter=10, random_state=0).fit(values).components_ if entries > 1 else np.ones((1, 1))
        )
        return found, np.zeros(entries)


def _entries(values: np.ndarray, column: Mapping[str, Any]) -> sparse.csr_matrix:
    """A column as entries `[rows, entries]`, as `mtkit.layers.components.Components` has them."""
    import numpy as np
    from scipy import sparse

    if "values" not in column:
        known = np.where(np.isfinite(values), values.astype(np.float64), column["center"])
        return sparse.csr_matrix(((known - column["center"]) / column["scale"])[:, None])
    place = {value: place for place, value in enumerate(column["values"])}
    places = np.array([place.get(value, -1) for value in values], np.int64)
    rows = np.flatnonzero(places >= 0)
    shape = (len(values), len(place))
    return sparse.csr_matrix((np.ones(len(rows)), (rows, places[rows])), shape)


def _finite(values: np.ndarray) -> np.ndarray:
    import numpy as np

    known = values[np.isfinite(values)].astype(np.float64)
    return known if len(known) else np.zeros(1)
