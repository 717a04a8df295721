"""Preprocessors of numbers: scales, quantiles and buckets, and what stands for a missing value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from mtkit.errors import nearest
from mtkit.schema import ColumnKind
from mtkit.spec import FeatureInfo, Preprocessor

if TYPE_CHECKING:
    import numpy as np

_ROUNDING = 1e-12
"""What of the largest value may be rounding: values that differ by less do not differ."""
_LEAST = 1e-37
"""Scales below it have no reciprocal in float32."""


def _ascending(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] >= span[1]:
        raise ValueError(f"expected the lower number first, and another one after it, got {list(span)}")
    return span


def _statistic(fill: str | float) -> str | float:
    if isinstance(fill, str) and fill not in _STATISTICS:
        raise ValueError(f"{fill!r} is no statistic; expected a number, or one of them: {nearest(fill, _STATISTICS)}")
    return fill


_STATISTICS = ("mean", "median", "most_frequent")
Share = Annotated[float, Field(ge=0, le=1)]
Quantiles = Annotated[tuple[Share, Share], AfterValidator(_ascending)]
Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
Fill = Annotated[str | float, AfterValidator(_statistic)]
_FILL = (
    'what stands for a missing value, before scaling: the `"mean"`, the `"median"` or the `"most_frequent"` of the known ones, '
    "or a number"
)


class Scaling(Preprocessor):
    """Numbers to numbers near 1, with a 1 beside them if they are missing; nan and inf are missing.

    Scales are learned of known values alone, after `clip`.
    """

    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ("numeric",)

    fill: Fill = Field("mean", description=_FILL)
    indicator: bool = Field(True, description="whether a 1 stands beside a missing value, and a 0 beside others")
    clip: Quantiles | None = Field(
        None,
        description="quantiles of the training rows, such as `[0.01, 0.99]`: values beyond them count as they do; `[0, 1]` keeps "
        "to the range of the training rows",
    )

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """What `learn` returns, with `fill`, and `low` and `high` of `clip`."""
        import numpy as np

        known = values[np.isfinite(values)].astype(np.float64)
        known = known if len(known) else np.zeros(1)
        low, high = (None, None) if self.clip is None else np.quantile(known, self.clip).tolist()
        if self.clip is not None:
            known = np.clip(known, low, high)
        return {**self.learn(known), "fill": _filled(self.fill, known), "low": low, "high": high}

    def learn(self, known: np.ndarray) -> Mapping[str, Any]:
        """The scale of values float64 `[rows]`, at least one, all finite: JSON-able arguments of the layer."""
        raise NotImplementedError

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """A float, and with `indicator` whether it is missing."""
        return FeatureInfo(width=1 + self.indicator)

    def build(self, state: Mapping[str, Any]) -> Any:
        """A `mtkit.layers.number_scaling.Scale`: float32 `[rows]` to float32 `[rows, 1]`, or `[rows, 2]`."""
        from mtkit.layers.number_scaling import Scale

        return Scale(**state, indicator=self.indicator)


class Standardize(Scaling):
    """Numbers to (value - mean) / standard deviation, beside a 1 if missing; nan and inf are missing."""

    def learn(self, known: np.ndarray) -> Mapping[str, Any]:
        """Mean and standard deviation: `{"center": float, "scale": float}`; the scale is 1 where values do not differ."""
        return _standard(known)


class Robust(Scaling):
    """Numbers to (value - median) / distance of two quantiles: what is far off moves neither. As `RobustScaler`."""

    fill: Fill = Field("median", description=_FILL)
    quantiles: Quantiles = Field((0.25, 0.75), description="the quantiles whose distance becomes 1")

    def learn(self, known: np.ndarray) -> Mapping[str, Any]:
        """Median and distance: `{"center": float, "scale": float}`; the scale is 1 where the quantiles do not differ."""
        import numpy as np

        low, center, high = np.quantile(known, (self.quantiles[0], 0.5, self.quantiles[1])).tolist()
        return {"center": center, "scale": _scale(high - low, known)}


class MinMax(Scaling):
    """Numbers to a range, the least of the training rows to its begin and the largest to its end. As `MinMaxScaler`.

    Later values may lie beyond the range, unless `clip = [0, 1]`.
    """

    range: Range = Field((0.0, 1.0), description="begin and end")

    def learn(self, known: np.ndarray) -> Mapping[str, Any]:
        """What is 0, and what is 1 more than that: `{"center": float, "scale": float}`."""
        least, begin, end = float(known.min()), *self.range
        scale = _scale(float(known.max()) - least, known) / (end - begin)
        return {"center": least - begin * scale, "scale": scale}


class Log(Scaling):
    """Logarithms of numbers, standardized: for amounts and counts, of which few are large.

    Of negative values, too: sign(value) log(1 + |value|).
    """

    negative: Literal["sign", "shift"] = Field(
        "sign",
        description="what becomes of negative values: their `sign` is kept; or all values `shift` so that the least of the "
        "training rows is 0, log(1 + value - least), and lower ones count as that",
    )

    def learn(self, known: np.ndarray) -> Mapping[str, Any]:
        """Mean and standard deviation of the logarithms, and what is subtracted before: `{"center", "scale", "shift"}`."""
        import numpy as np

        shift = float(known.min()) if self.negative == "shift" else None
        logs = np.sign(known) * np.log1p(np.abs(known)) if shift is None else np.log1p(known - shift)
        return {**_standard(logs), "shift": shift}

    def build(self, state: Mapping[str, Any]) -> Any:
        """A `mtkit.layers.number_scaling.LogScale`."""
        from mtkit.layers.number_scaling import LogScale

        return LogScale(**state, indicator=self.indicator)


class Quantile(Scaling):
    """Numbers to the share of training rows below them, whatever their distribution. As `QuantileTransformer` of scikit-learn.

    Other than there, a value that many rows have is the middle of their shares also where it is the least or the largest one.
    """

    fill: Fill = Field("median", description=_FILL)
    count: Annotated[int, Field(ge=2, le=10_000)] = Field(
        1000,
        description="how many quantiles are learned, fewer where there are fewer rows; straight lines lie between them",
    )
    output: Literal["uniform", "normal"] = Field(
        "uniform", description="shares from 0 to 1, or the standard normal numbers that have these shares below them"
    )

    def learn(self, known: np.ndarray) -> Mapping[str, Any]:
        """The quantiles, ascending: `{"quantiles": [...]}`."""
        import numpy as np

        # As `np.quantile`, but for places that rounding would move a little past the last of some equal values.
        places = np.linspace(0, len(known) - 1, max(2, min(self.count, len(known)))).round(6)
        return {"quantiles": np.interp(places, np.arange(len(known)), np.sort(known)).tolist()}

    def build(self, state: Mapping[str, Any]) -> Any:
        """A `mtkit.layers.number_scaling.Quantile`."""
        from mtkit.layers.number_scaling import Quantile as Layer

        return Layer(**state, output=self.output, indicator=self.indicator)


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


def _standard(values: np.ndarray) -> dict[str, float]:
    return {"center": float(values.mean()), "scale": _scale(float(values.std()), values)}


def _scale(spread: float, values: np.ndarray) -> float:
    """The spread of values, or 1 where it is none but rounding."""
    return spread if spread > max(_LEAST, _ROUNDING * float(abs(values).max())) else 1.0


def _filled(fill: str | float, known: np.ndarray) -> float:
    import numpy as np

    if fill == "most_frequent":
        values, counts = np.unique(known, return_counts=True)
        return float(values[counts.argmax()])
    if isinstance(fill, str):
        return float(known.mean() if fill == "mean" else np.median(known))
    return float(fill)
