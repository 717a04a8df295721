"""Graphs on TF-GNN for mtkit: of tasks, and of users and items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mtkit.errors import WiringError, nearest
from mtkit.spec import Activation, BuildContext, Correlation, Name, PositiveInt
from mtkit_tfgnn.affinity import read_affinity
from mtkit_tfgnn.user_item_spec import UserItemGraph

__all__ = ["TaskGraph", "UserItemGraph"]


class TaskGraph(Correlation):
    """Lets tasks exchange messages: each row is a graph whose nodes are the tasks, and a graph network runs on it."""

    edges: Literal["complete", "none", "learned"] | tuple[tuple[Name, Name], ...] = Field(
        "complete",
        description="from which task to which: every pair, no pair, a list of [source, target]; or every pair by a share "
        "that is learned (`gcn`)",
    )
    affinity: Path | None = Field(
        None,
        description="file by which learned edges begin: what each task does for each other, as `mtkit tasks` writes it "
        "(`tasks.json`)",
    )
    conv: Literal["gcn", "gat_v2"] = Field("gcn", description="mean of the sources' states, or attention over them")
    heads: PositiveInt = Field(4, description="attention heads of `gat_v2`; divide the width of the states")
    layers: PositiveInt = Field(1, description="how often messages are passed")
    activation: Activation = Field("relu", description="of an update")
    residual: bool = Field(True, description="add the update to the state instead of replacing it")

    @model_validator(mode="after")
    def _learned_by_means(self) -> Self:
        if self.edges == "learned" and self.conv != "gcn":
            raise ValueError(
                'edges = "learned" is for conv = "gcn"; `gat_v2` learns row by row what a task hears of which'
            )
        if self.affinity and self.edges != "learned":
            raise ValueError('affinity is what learned edges begin by; set edges = "learned" with it')
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The affinity."""
        return (self.affinity,) if self.affinity else ()

    def among(self, tasks: Sequence[str]) -> TaskGraph:
        """The edges between these tasks."""
        if isinstance(self.edges, str):
            return self
        edges = tuple(edge for edge in self.edges if set(edge) <= set(tasks))
        return self.model_copy(update={"edges": edges or "none"})

    def build(self, context: BuildContext) -> Any:
        """A `mtkit_tfgnn.layers.TaskGraph`.

        Raises:
            DataError: the file of the affinity cannot be read, is not as described, or lacks a task.
            WiringError: an edge names an unknown task, or joins a task with itself.
        """
        pairs = self._pairs(context)
        affinity = read_affinity(self.affinity, context.tasks) if self.affinity else None
        from mtkit_tfgnn.layers import TaskGraph as Layer

        return Layer(
            tasks=len(context.tasks),
            edges=pairs,
            conv=self.conv,
            heads=self.heads,
            layers=self.layers,
            activation=self.activation,
            residual=self.residual,
            learned=self.edges == "learned",
            affinity=affinity,
            name=context.name,
        )

    def _pairs(self, context: BuildContext) -> list[tuple[int, int]]:
        tasks = range(len(context.tasks))
        if self.edges == "none":
            return []
        if self.edges in ("complete", "learned"):
            return [(source, target) for source in tasks for target in tasks if source != target]
        return sorted({_numbers(edge, context) for edge in self.edges})


def _numbers(edge: Sequence[str], context: BuildContext) -> tuple[int, int]:
    for task in edge:
        if task not in context.tasks:
            raise WiringError(
                f"correlation.{context.name}: edges: no task {task!r} in edge {list(edge)}; "
                f"{nearest(task, context.tasks)}"
            )
    source, target = map(context.tasks.index, edge)
    if source == target:
        raise WiringError(
            f"correlation.{context.name}: edges: edge {list(edge)} joins a task with itself; a task's own state is "
            "always part of its update, so leave the edge out"
        )
    return source, target
