"""Preprocessors of raw columns: missing values, vocabularies, standardization, buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from mtkit.schema import ColumnKind
from mtkit.spec import FeatureInfo, PositiveInt, Preprocessor

if TYPE_CHECKING:
    import numpy as np


class Vocabulary(Preprocessor):
    """Strings to integers from 1 on, in sorted order; 0 = missing, rare, or never seen. Of lists, each value."""

    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ("categorical", "list")

    min_count: PositiveInt = Field(1, description="training rows in which a value must occur")

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """The sorted values: `{"values": [...]}`; of lists, beside whether these are `weighted`."""
        from collections import Counter

        listed, weighted = values.ndim == 2, values.dtype.names is not None
        counts = Counter((values["value"] if weighted else values).ravel().tolist())
        known = sorted(v for v, n in counts.items() if v not in (None, "") and n >= self.min_count)
        return {"values": known, "weighted": weighted} if listed else {"values": known}

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """An integer feature, or several of a row."""
        return FeatureInfo(size=len(state["values"]) + 1, listed="weighted" in state)

    def values(self, state: Mapping[str, Any]) -> Sequence[str]:
        """The values."""
        values: Sequence[str] = state["values"]
        return values

    def build(self, state: Mapping[str, Any]) -> Any:
        """A layer from strings to int32 of their shape, `[rows]` or `[rows, n]`."""
        from mtkit.layers.preprocessing import ListVocabulary
        from mtkit.layers.preprocessing import Vocabulary as Layer

        return ListVocabulary(**state) if "weighted" in state else Layer(**state)


class Standardize(Preprocessor):
    """Numbers to (value - mean) / standard deviation, 0 if missing, beside a 1 if missing; nan and inf are missing."""

    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ("numeric",)

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """Mean and standard deviation: `{"mean": float, "std": float}`; std is 1 where values do not differ."""
        import numpy as np

        known = values[np.isfinite(values)].astype(np.float64)
        if not len(known):
            return {"mean": 0.0, "std": 1.0}
        return {"mean": float(known.mean()), "std": float(known.std()) or 1.0}

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """Two floats: the value, and whether it is missing."""
        return FeatureInfo(width=2)

    def build(self, state: Mapping[str, Any]) -> Any:
        """A layer from float32 `[rows]` to float32 `[rows, 2]`."""
        from mtkit.layers.preprocessing import Standardize as Layer

        return Layer(**state)


class Buckets(Preprocessor):
    """Numbers to the integers of quantile buckets, from 1 on; 0 = missing."""

    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ("numeric",)

    count: Annotated[int, Field(ge=2)] = Field(10, description="number of buckets, fewer where values repeat")

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """The inner edges, ascending float32 values: `{"edges": [...]}`; a bucket holds its lower edge."""
        import numpy as np

        known = values[np.isfinite(values)]
        if not len(known):
            return {"edges": []}
        edges = np.quantile(known, np.linspace(0, 1, self.count + 1)[1:-1])
        return {"edges": np.unique(edges.astype(np.float32)).tolist()}

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """An integer feature."""
        return FeatureInfo(size=len(state["edges"]) + 2)

    def build(self, state: Mapping[str, Any]) -> Any:
        """A layer from float32 `[rows]` to int32 `[rows]`."""
        from mtkit.layers.preprocessing import Buckets as Layer

        return Layer(**state)
