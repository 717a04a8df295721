"""What a run notes of its weights, so that another run can begin with them; no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

#: Of each position along an axis: what it stands for. None, which comes first, is the unknown.
Labels = Sequence[str | int | None]


@dataclass(frozen=True)
class Part:
    """A component that has weights.

    Attributes:
        reads: what it reads, in order, each with what the positions in it stand for.
        told: whether its layer says what the axes of its weights stand for (`mtkit.layers.axes`).
    """

    reads: Sequence[Sequence[str]]
    told: bool


@dataclass(frozen=True)
class KeptWeights:
    """The weights of a trained model: what they are of, and what they have seen.

    Attributes:
        mtkit: the version that trained.
        fold: `valid` or `test`.
        step: of the checkpoint.
        fit: what happened strictly before it was trained on.
        clocked: whether `fit` is on a clock of the split, instead of a time.
        timeless: tables of the lock for rows without times that trained it, or the model that it began with.
        parts: place in the recipe (`encoder.user`) -> component.
        weights: name of a weight -> number of an axis -> name of its labels (`item.id`, which lie in the catalogs, or one
            in `labels`), or a list that has to be the same; other axes mean the same in all runs.
        labels: name -> what the positions stand for.
        entities: those whose ids are kept.
    """

    mtkit: str
    fold: str
    step: int
    fit: int
    clocked: bool
    timeless: Sequence[Mapping[str, Any]]
    parts: Mapping[str, Part]
    weights: Mapping[str, Mapping[str, str | Sequence[str]]]
    labels: Mapping[str, Sequence[str | int | None]]
    entities: Sequence[str]


class Origin(NamedTuple):
    """Where weights are taken from.

    Attributes:
        directory: the run, as it was given.
        kept: what it notes of them.
        tables: of its lock, as of `mtkit.recipe.lock.model_tables`.
        labels: its labels, those of ids too.
        checkpoint: a directory.
    """

    directory: Path
    kept: KeptWeights
    tables: Mapping[str, Any]
    labels: Mapping[str, Labels]
    checkpoint: Path


@dataclass(frozen=True)
class Beginning:
    """What a model began with.

    Attributes:
        phase: the phase of the earlier run whose model it was.
        until: what happened strictly before it was trained on, seconds on the clock of that run's split.
        taken: how many weights were taken, in whole or in part.
        labels: `item.id`, `user.town`, ... -> how many are `known` to both, `new` here, `gone` since.
        left: component, or weight of one that was taken in part -> why it begins anew.
        unused: components that are not here.
        changed: component -> options that are set otherwise.
        timeless: as of `KeptWeights`.
        sizes: entity -> how many ids the earlier run has, where this one goes on with it (`train.replay`).
    """

    phase: str
    until: int
    taken: int
    labels: Mapping[str, Mapping[str, int]]
    left: Mapping[str, str]
    unused: Sequence[str]
    changed: Mapping[str, Sequence[str]]
    timeless: Sequence[Mapping[str, Any]]
    sizes: Mapping[str, int] | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """What it is, for people."""
        moved = (
            f"{name}: {count['known']:,} known, {count['new']:,} new, {count['gone']:,} gone"
            for name, count in self.labels.items()
            if count["new"] or count["gone"]
        )
        return [
            f"begins with {self.taken:,} weights of phase {self.phase}",
            *moved,
            *(f"{name} is set otherwise than there: {', '.join(options)}" for name, options in self.changed.items()),
            *(f"{name} is not here; its weights are left" for name in self.unused),
        ]

    def warnings(self) -> list[str]:
        """What begins anew."""
        return [f"train.init_from: {name} begins anew: {why}" for name, why in self.left.items()]
