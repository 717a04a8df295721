"""Task heads that train an encoder on what it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from mtkit.schema import SCOPES, Address
from mtkit.spec.base import Contributions, Name
from mtkit.spec.heads import Measures, Read, TaskHead, TaskMistake, Wiring
from mtkit.spec.model import Encoder


class SelfSupervisedTask(TaskHead):
    """A head that trains an encoder on what the encoder itself reads, without labels, and measures itself.

    No other task reads it, and a servable does not answer it. The layer is a `mtkit.heads.SelfSupervisedHead`.
    """

    brings_baselines: ClassVar[bool] = True
    #: Metric -> whether less of it is better.
    metrics: ClassVar[Mapping[str, bool]]

    encoder: Name = Field(description="the encoder that it trains, of one entity that the rows have")

    def reads(self) -> tuple[Read, ...]:
        """What its encoder reads."""
        return (Read("encoder", self.encoder, self.rows, embedded=False),)

    def metric_labels(self, measures: Measures) -> tuple[str, ...]:
        """Its own metrics."""
        return tuple(self.metrics)

    def lower_is_better(self, metric: str, measures: Measures) -> bool:
        """What it says of its metrics."""
        return self.metrics[metric]

    def mistakes(self, name: str, wiring: Wiring) -> Iterator[TaskMistake]:
        """An encoder that it cannot train."""
        encoder = wiring.encoder.get(self.encoder)
        if encoder is None:
            return
        scopes = sorted({Address(address).scope for address in encoder.reads})
        if len(scopes) > 1 or scopes[0] in SCOPES:
            yield ("encoder",), f"{self.encoder!r} reads {' and '.join(scopes)}; expected an encoder of one entity"
        elif message := self.refusal(encoder):
            yield ("encoder",), message

    def refusal(self, encoder: Encoder) -> str:
        """Why it cannot train an encoder, as far as declarations tell; empty if it can."""
        return ""

    def values(self, means: Mapping[str, Contributions]) -> dict[str, float]:
        """Metric -> value, from values and weights of rows, float64 `[rows]` each; nan where weights are 0.

        Default: the means of what the head measures. Other metrics, such as functions of them, are added here.
        """
        import numpy as np

        totals = {name: (np.dot(values, weights), weights.sum()) for name, (values, weights) in means.items()}
        return {name: float(total / weight) if weight else float("nan") for name, (total, weight) in totals.items()}
