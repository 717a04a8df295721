"""Every installed component by the name that recipes call it: `components.encoder.features(reads=["user.id"])`.

There is a namespace for each kind: `data_source`, `cleaner`, `split`, `rows`, `preprocessor`, `encoder`, `correlation`,
`task_head`, `balancer`, `ranking_metric`, `prediction_metric`, `baseline`, `exporter` and `callback`. Names come from the entry
points of what is installed, plugins included; a class is imported when it is asked for, and none imports TensorFlow.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Generic, TypeVar

from mtkit.errors import PluginError
from mtkit.recipe.registry import Registry
from mtkit.spec import (
    Balancer,
    Baseline,
    Callback,
    Cleaner,
    Correlation,
    DataSource,
    Encoder,
    Exporter,
    PredictionMetric,
    Preprocessor,
    RankingMetric,
    Rows,
    Spec,
    Split,
    TaskHead,
)

S = TypeVar("S", bound=Spec)


@functools.cache
def _installed() -> Registry:
    return Registry.installed()


class Components(Generic[S]):
    """The components of one kind: attributes are their classes, by the names of their entry points.

    Args:
        base: the base class of the kind.
    """

    def __init__(self, base: type[S]) -> None:
        self._base = base

    def __getattr__(self, name: str) -> type[S]:
        """The class of a component.

        Raises:
            AttributeError: none is called so, and what is near; or its distribution is broken or not installed.
        """
        if name.startswith("__"):  # what Python asks of any object
            raise AttributeError(name)
        try:
            found: type[S] = _installed().get(self._base.kind, name)
        except PluginError as error:
            raise AttributeError(str(error)) from None
        return found

    def __dir__(self) -> Sequence[str]:
        return _installed().names(self._base.kind)

    def __repr__(self) -> str:
        return f"<components of kind {self._base.kind}: {', '.join(dir(self))}>"


class _Sources(Components[DataSource]):
    """Those that recipes name, and `frames`, which files cannot name: it holds data frames."""

    def __getattr__(self, name: str) -> type[DataSource]:
        if name == "frames":
            from mtkit.standard.sources import Frames

            return Frames
        return super().__getattr__(name)

    def __dir__(self) -> Sequence[str]:
        return [*super().__dir__(), "frames"]


data_source = _Sources(DataSource)
cleaner = Components(Cleaner)
split = Components(Split)
rows = Components(Rows)
preprocessor = Components(Preprocessor)
encoder = Components(Encoder)
correlation = Components(Correlation)
task_head = Components(TaskHead)
balancer = Components(Balancer)
ranking_metric = Components(RankingMetric)
prediction_metric = Components(PredictionMetric)
baseline = Components(Baseline)
exporter = Components(Exporter)
callback = Components(Callback)
