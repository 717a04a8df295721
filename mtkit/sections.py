"""The sections of a recipe that are not components: header, data, train, evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mtkit.spec import (
    Baseline,
    DataSource,
    Name,
    PositiveFloat,
    PositiveInt,
    PredictionMetric,
    RankingMetric,
    Split,
)

Slice = Literal["new"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Header(_Section):
    """The keys before the first table."""

    recipe: Literal[1] = Field(description="1, the version of the recipe format")
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="the recipe's name; run directories carry it"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of initial values, shuffling, sampling and dropout")
    deterministic: bool = Field(True, description="whether the same seed gives the same bits, at some cost in speed")
    requires: Mapping[str, str] = Field({}, description="distribution -> version specifier")


class Catalog(_Section):
    """Which rows of an entity belong to its catalog."""

    min_count: PositiveInt = Field(1, description="least number of interactions before the cut")
    unlisted: Literal["refuse", "drop"] = Field(
        "refuse", description="what becomes of interactions whose id is not in the entity's table"
    )


class Data(_Section):
    """Where data come from, where they are cut, and the catalogs."""

    source: DataSource
    split: Split
    catalog: Mapping[str, Catalog] = Field({}, description="entity -> which of its rows count")


class Train(_Section):
    """How the model is trained; batch sizes belong to the row tables."""

    epochs: PositiveInt = Field(1, description="number of epochs")
    epoch_of: Name | None = Field(None, description="row table whose pass is an epoch; default: the first task's")
    optimizer: Literal["adam", "adagrad", "sgd", "adamw"] = Field(
        "adam", description="optimizer; tables of more than 4096 rows are updated by rows"
    )
    learning_rate: PositiveFloat = Field(1e-3, description="learning rate after warm-up")
    schedule: Literal["constant", "cosine"] = Field("constant", description="learning rate after warm-up, over steps")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="steps of linear warm-up")
    clip_norm: PositiveFloat | None = Field(None, description="largest global norm of the gradient; default: any")
    strategy: str = Field("auto", description="entry point of mtkit.strategy")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="precision of computation; variables are float32 in all of them"
    )
    jit_compile: bool = Field(False, description="whether XLA compiles the training step (one replica only)")
    steps_per_execution: PositiveInt = Field(16, description="training steps in one compiled call")


class Evaluate(_Section):
    """What is measured, beside which baselines, and what chooses on validation.

    In a recipe, metrics and baselines are lists of names, or of inline tables with options:
    `baselines = ["popularity", {use = "own_recency", half_life = "120d"}]`.
    """

    k: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field((10,), description="cutoffs of rankings")
    metrics: Mapping[str, RankingMetric] = Field({}, description="of retrieval tasks")
    slices: tuple[Slice, ...] = Field(
        (), description="parts of the catalog measured beside the whole: `new` = never seen by the row's user before"
    )
    prediction_metrics: Mapping[str, PredictionMetric] = Field({}, description="of prediction tasks")
    baselines: Mapping[str, Baseline] = Field({}, description="measured beside the model")
    main: str | None = Field(
        None,
        description="metric key by which validation chooses (`next/ndcg@10`); default: the first of the first task",
    )
    block: PositiveInt = Field(512, description="rows scored at once against the whole catalog")

    @property
    def main_task(self) -> str:
        """The task of `main`."""
        assert self.main is not None
        return self.main.split("/")[0]

    def keys(self, task: str, form: str) -> tuple[str, ...]:
        """Metric keys `task/[slice/]metric[@k]` of a task of this form, the whole catalog first."""
        if form == "prediction":
            return tuple(f"{task}/{metric}" for metric in self.prediction_metrics)
        return tuple(
            f"{task}/{part}{metric}@{k}"
            for part in ("", *(f"{name}/" for name in self.slices))
            for metric in self.metrics
            for k in self.k
        )
