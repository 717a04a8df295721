"""The options of the sections that are not components: header, data, train, evaluate."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mtkit.allowed import form
from mtkit.conditions import Where
from mtkit.declared import Declared
from mtkit.recipe.data_checks import CheckCode
from mtkit.recipe.report_checks import ReportCode
from mtkit.schema import Address
from mtkit.spec import (
    Baseline,
    DataSource,
    Fraction,
    Name,
    PositiveFloat,
    PositiveInt,
    PredictionMetric,
    RankingMetric,
    Split,
    TaskHead,
)
from mtkit.types import MetricKey

LARGEST_SEED = 2**32 - 1
"""Larger ones NumPy's and Keras' generators do not take."""


MOST_EPOCHS = 10
"""Of a recipe that leaves their number to validation; over this many a cosine falls far enough for the last ones to be quiet."""

Stop = Literal["never", "main", "task"]


def _tuple(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given  # the union of slices keeps no JSON


class By(Declared):
    """A slice for each value of a column, or for each range of numbers."""

    by: Address = Field(description="a column of an entity (`user.town`, labels too), or of the context")
    edges: Annotated[tuple[float, ...], BeforeValidator(_tuple)] = Field(
        (), description="where ranges of a numeric column begin and end, increasing"
    )
    values: PositiveInt = Field(10, description="at most this many values get a slice, the most frequent ones")

    @field_validator("edges")
    @classmethod
    def _increasing(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if any(high <= low for low, high in pairwise(edges)):
            raise ValueError("edges must increase")
        return edges


def _by(given: Any) -> Any:
    return {"by": given} if isinstance(given, str) and Address(given).scope else given


def _shape(given: Any) -> str:
    return "name" if isinstance(given, str) else "of column"


SliceName = Literal[
    "new", "cold_user", "cold_item", "tail", "unknown_user", "unknown_item", "unknown_both",
    "kept_user", "added_user", "kept_item", "added_item",
]  # fmt: skip
Slice = Annotated[
    Annotated[SliceName, Tag("name")] | Annotated[By, Tag("of column")],
    Discriminator(_shape),
    BeforeValidator(_by, json_schema_input_type=SliceName | Address | By),
]
#: Slices of which rankings have lists of their own, and the lists of the rows that such a ranking leaves out; the others
#: are parts of the lists over the whole catalog.
LISTS = {"new": "own"}


class Header(Declared):
    """The keys before the first table."""

    recipe: Literal[1] = Field(description="1, the version of the recipe format")
    name: str = form(
        r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        "a name of letters, digits and `_`, `.` or `-` between them",
        "the recipe's name; run directories carry it",
    )
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = Field(
        0, description="of initial values, shuffling, sampling and dropout"
    )
    deterministic: bool = Field(True, description="whether the same seed gives the same bits, at some cost in speed")
    requires: Mapping[str, str] = Field({}, description="distribution -> version specifier")
    description: str = Field("", description="what the recipe is about; on the model card beside each export")
    intended_use: str = Field("", description="what the model is for, and what it is not for; on the model card")
    plugins: Mapping[str, str] = Field(
        {},
        description="file that `--plugin` has to give -> its hash, as locks have it; no file is read because a recipe names it",
    )


class Catalog(Declared):
    """Which rows of an entity belong to its catalog."""

    min_count: Annotated[int, Field(ge=0)] = Field(
        1, description="least number of interactions to train on; 0 = all rows of its table"
    )
    where: Where | None = Field(None, description="which interactions `min_count` counts; default: all")
    unlisted: Literal["refuse", "drop", "unknown"] = Field(
        "refuse",
        description="what becomes of interactions whose id is not in the entity's table; with `unknown`, those to be evaluated "
        "whose id is not in the catalog, for whatever reason, are of the unknown, instead of being left out",
    )


class NamedEvents(Declared):
    """Interactions that a recipe speaks of by name, wherever a condition may stand."""

    where: Where = Field(description='a condition, such as `{event = "buy"}`')


class Silence(Declared):
    """Keys of `[data]` that are about checks of the data, and where they are prepared, and not of the source."""

    silence: tuple[CheckCode, ...] = Field((), description="codes of checks of the data that are not made (`P012`)")
    prepared: Path | None = Field(
        None,
        description="directory that `mtkit prepare` made of this recipe: rows are read from it, as they are needed, in the "
        "place of the source",
    )


class Data(Silence):
    """Where data come from, where they are cut, the catalogs, and which checks of the data are not made."""

    source: DataSource
    split: Split
    catalog: Mapping[str, Catalog] = Field({}, description="entity -> which of its rows count")


class Train(Declared):
    """How the model is trained; batch sizes belong to the row tables."""

    epochs: PositiveInt | None = Field(
        None, description='number of epochs; default: as many as `stop = "task"` lets, at most 10'
    )
    epoch_of: Name | None = Field(None, description="row table whose pass is an epoch; default: the first task's")
    rates: Literal["fixed", "learned"] = Field(
        "fixed",
        description="of row tables: as stated, or `learned`: after each epoch, tables whose tasks progress on validation get "
        "more of the rows of a step, others fewer",
    )
    temperature: Annotated[float, Field(ge=1)] | None = Field(
        None,
        description="divides the rows of a step among the tables by their sizes to the power of 1 / temperature; 1 = all are "
        "passed over equally often; default: each has its own `batch_size`",
    )
    steps_per_epoch: PositiveInt | None = Field(
        None, description="most steps of an epoch; the next one goes on with the other rows"
    )
    init_from: Path | None = Field(
        None,
        description="directory of an earlier run: training begins with the weights that it ended with, where they fit",
    )
    replay: Fraction | None = Field(
        None,
        description="goes on with the run of `init_from`, instead of taking its weights alone: its ids keep their numbers, and "
        "preprocessors what they have learned; training sees the rows that this run has not learned from, and this share of "
        "the others, drawn. Default: all rows, all learned anew. `mtkit update` sets it",
    )
    new_ids: Literal["content", "initial"] = Field(
        "initial",
        description="what ids begin with that the run of `init_from` has not: `content`, the mean of the ten ids that are most "
        "alike by the columns that encoders read; or what any id begins with",
    )
    stop: Stop | None = Field(
        None,
        description="what ends training before `epochs`. `main`: no progress of `evaluate.main` on validation, whose best "
        "epoch is kept. `task`: a task without progress by its own figure leaves as it was at its best, while others go on. "
        "The test repeats what validation chose. Default: `never` where `epochs` is given, else `task`",
    )
    patience: PositiveInt = Field(2, description="epochs without progress after which `stop` acts")
    hide: Mapping[str, Fraction] = Field(
        {},
        description="what -> share of the rows of a step that do not know it, which trains the unknown: an id (`item.id`), a "
        "role (`user`: its id, columns, texts and past), a column (`item.text`), or all that an encoder reads of entities "
        "(`encoder.text`); see below for which rows",
    )
    validation_rows: Annotated[int, Field(ge=0)] = Field(
        20_000,
        description="rows of each table, evenly spread, on which tasks are measured after each epoch of the validation "
        "phase; 0 = none",
    )
    optimizer: Literal["adam", "adagrad", "sgd", "adamw"] = Field(
        "adam",
        description="optimizer; tables of more than 32768 rows are updated by rows, which for Adam is about the dense rule",
    )
    learning_rate: PositiveFloat | None = Field(
        None, description="learning rate after warm-up; default: by the batch of `epoch_of`, .001 to .003"
    )
    epsilon: PositiveFloat | None = Field(
        None,
        description="added to the denominator of an Adam or Adagrad step; gradients that are smaller move weights less, "
        "which keeps rounding from growing; default: the optimizer's",
    )
    schedule: Literal["constant", "cosine"] | None = Field(
        None,
        description="learning rate after warm-up, over the steps of all `epochs`; default: `constant` where `epochs` is given, "
        "else `cosine`",
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="steps of linear warm-up")
    clip_norm: PositiveFloat | None = Field(None, description="largest global norm of the gradient; default: any")
    strategy: str = Field("auto", description="entry point of mtkit.strategy")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="precision of computation; variables are float32 in all of them"
    )
    jit_compile: bool = Field(
        False,
        description="whether the steps of a call are one program of XLA (one replica, rows without lists); see below for when "
        "that pays",
    )
    steps_per_execution: PositiveInt | None = Field(
        None,
        description="training steps in one compiled call, between which a run can be stopped, saved and watched; results "
        "do not depend on it; default: as many as take about a second, by the size of the model and the device, at most an "
        "epoch (several workers: 1)",
    )

    @property
    def most_epochs(self) -> int:
        """The number of epochs, unless training stops before."""
        return self.epochs or MOST_EPOCHS

    @property
    def anneals(self) -> bool:
        """Whether the learning rate falls."""
        return (self.schedule or ("constant" if self.epochs else "cosine")) == "cosine"

    @property
    def stops(self) -> Stop:
        """What ends training before."""
        return self.stop or ("never" if self.epochs else "task")

    @model_validator(mode="after")
    def _goes_on_with_something(self) -> Self:
        if self.init_from is None and (self.replay is not None or self.new_ids != "initial"):
            raise ValueError("replay and new_ids are of runs that go on with another one; name it by init_from")
        return self

    @model_validator(mode="after")
    def _validates(self) -> Self:
        looks = [f'stop = "{self.stops}"'] * (self.stops != "never") + ['rates = "learned"'] * (self.rates == "learned")
        if looks and not self.validation_rows:
            raise ValueError(
                f"{looks[0]} looks at validation, and validation_rows = 0 says that there is none; set "
                'validation_rows, or epochs, stop = "never" and rates = "fixed"'
            )
        return self

    @field_validator("epsilon")
    @classmethod
    def _has_denominator(cls, epsilon: float | None, info: ValidationInfo) -> float | None:
        if epsilon is not None and info.data.get("optimizer") == "sgd":
            raise ValueError("sgd divides by nothing; leave epsilon out, or use adam, adamw or adagrad")
        return epsilon


class Evaluate(Declared):
    """What is measured, beside which baselines, and what chooses on validation.

    In a recipe, metrics and baselines are lists of names, or of inline tables with options:
    `baselines = ["popularity", {use = "own_recency", half_life = 60}]`.
    """

    k: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field((10,), description="cutoffs of rankings")
    metrics: Mapping[str, RankingMetric] = Field({}, description="of retrieval tasks")
    slices: tuple[Slice, ...] = Field(
        (),
        description="parts measured beside the whole: `new`, `cold_user`, `cold_item`, `tail`, `unknown_user`, `unknown_item`, "
        "`unknown_both`, a column (`user.town`), or an inline table `{by, edges, values}`; in a run that goes on with another "
        "one (`train.replay`) also `kept_user`, `kept_item`, whose ids that run has, and `added_user`, `added_item`",
    )
    cold: PositiveInt = Field(5, description="users and items with fewer interactions before the cut are cold")
    tail: Fraction = Field(
        0.2,
        description="the tail: the least popular items, which together had this share of interactions before the cut",
    )
    prediction_metrics: Mapping[str, PredictionMetric] = Field({}, description="of prediction tasks")
    baselines: Mapping[str, Baseline] = Field(
        {}, description='measured beside the model; in a recipe also `"auto"`, those that fit the tasks'
    )
    baseline_budget: PositiveFloat | None = Field(
        None,
        description="baselines that by an estimate from users, items and interactions take more seconds than this, with all "
        'their settings, are left out; default: 300 with `baselines = "auto"`, no limit for those that are listed',
    )
    main: str | None = Field(
        None,
        description="metric key by which validation chooses (`next/ndcg@10`); default: the first of the first task",
    )
    sampled: PositiveInt | None = Field(
        None,
        description="number of items, drawn for each row, to rank against instead of the whole catalog; biased, see below",
    )
    block: PositiveInt = Field(512, description="rows scored at once against the whole catalog")
    silence: tuple[ReportCode, ...] = Field((), description="codes of checks of the report that are not made (`R003`)")

    @property
    def main_task(self) -> str | None:
        """The task of `main`; None where nothing is measured."""
        return MetricKey.parse(self.main).task if self.main else None

    def limits(self, key: str) -> tuple[float, float]:
        """Between which values the figure of a metric key lies."""
        metric = self.prediction_metrics.get(MetricKey.parse(key).metric)
        return metric.limits if metric else (-math.inf, math.inf)

    def keys(self, task: str, head: TaskHead) -> tuple[str, ...]:
        """Metric keys `task/[slice/]metric[@k]` of a task, the whole first; columns' slices are not known."""
        slices = ("", *(name for name in self.slices if isinstance(name, str)))
        labels = head.metric_labels(self)
        return tuple(f"{MetricKey(task, part, '').group}/{label}" for part in slices for label in labels)

    def deciding(self, task: str, head: TaskHead) -> tuple[str, ...]:
        """Metric keys of a task, of which the first that has a value decides: that of `main`, or the first."""
        wanted = self.main and str(MetricKey.parse(self.main)._replace(task=task))
        return tuple(sorted(self.keys(task, head), key=lambda key: key != wanted))

    def judged(self, task: str, head: TaskHead, measured: Collection[str]) -> tuple[str, ...]:
        """Metric keys by which a task stands beside its baselines: what decides, of predictions a score and one of order.

        Args:
            task: its name.
            head: its spec.
            measured: keys that have a value.
        """
        keys = [key for key in self.deciding(task, head) if key in measured]
        if head.baseline_form == "prediction":
            known = {key: self.prediction_metrics[MetricKey.parse(key).metric] for key in keys}
            proper = [key for key, metric in known.items() if metric.proper]
            order = [key for key, metric in known.items() if metric.chance is not None]
            if found := (*proper[:1], *order[:1]):
                return found
        return tuple(keys[:1])


class Interval(Declared):
    """Where a figure has to lie, both ends included."""

    at_least: float | None = Field(None, description="the smallest value")
    at_most: float | None = Field(None, description="the largest value")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("expected [LOW, HIGH], or a table with at_least or at_most")
        if None not in (self.at_least, self.at_most) and self.at_least > self.at_most:  # type: ignore[operator]
            raise ValueError(f"expected the smaller one first, got {self.at_least:g} and {self.at_most:g}")
        return self

    def holds(self, value: float | None) -> bool:
        """Whether a figure lies in it; one that is undefined does not."""
        if value is None or value != value:  # noqa: PLR0124 - nan
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def in_words(self) -> str:
        """`.55 to .6`, or one end of it."""
        if self.at_most is None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}" if self.at_least is None else f"{self.at_least:g} to {self.at_most:g}"


def _ends(given: Any) -> Any:
    if isinstance(given, list) and len(given) == 2:
        return {"at_least": given[0], "at_most": given[1]}
    return given


Bounds = Annotated[Interval, BeforeValidator(_ends, json_schema_input_type=tuple[float, float] | Interval)]


class Expect(RootModel[Mapping[str, Bounds]]):
    """What figures of the test have to be, by metric key: `"next/ndcg@10" = [0.55, 0.6]`."""

    model_config = ConfigDict(frozen=True)

    def __hash__(self) -> int:
        return hash(frozenset(self.root))


class Recommend(Declared):
    """How the exported `recommend` makes its lists in two stages.

    The retrieval task gives the candidates, and all else is about these: what is asked of them, in which order they come, and how
    much items of a list may be alike.
    """

    task: Name | None = Field(
        None, description="the retrieval task; default: that of `evaluate.main`, or the first retrieval task"
    )
    candidates: PositiveInt = Field(200, description="how many items the retrieval task hands on")
    utility: Annotated[Mapping[Name, float], Field(min_length=1)] = Field(
        description="task -> weight: of the retrieval task, for its share among the candidates (softmax of the scores), and of "
        "tasks that predict a number or the probability of a binary label"
    )
    combine: Literal["sum", "product"] = Field(
        "sum",
        description="the utility is the sum of what the tasks say, times their weights, or the product, to the power of them",
    )
    floors: Mapping[Name, float] = Field({}, description="task -> the least that it may say of an item of the list")
    where: Where | None = Field(
        None,
        description='which items are recommended at all, by columns of theirs: `{department = ["GROCERY", "DELI"]}`',
    )
    filters: tuple[Name, ...] = Field(
        (),
        description="categorical columns of the items of which a request may say which values it wants (`filter_NAME`)",
    )
    suitability: Mapping[Name, Name] = Field(
        {},
        description='column of numbers of the items -> that of the users which it may not exceed (`{risk = "band"}`): what is '
        "above, or of which either is not known, is in no list, whatever a request says",
    )
    seen: bool = Field(True, description="whether items of the own past are recommended")
    diversity: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="0 = by utility alone; else each place goes to the item with the largest `(1 - diversity) u - diversity s`: "
        "its utility, scaled to 0 to 1 among the candidates, and its cosine with the most similar item above it (MMR)",
    )

    @property
    def asked(self) -> tuple[str, ...]:
        """The tasks of `utility` and `floors`, each once."""
        return tuple(dict.fromkeys((*self.utility, *self.floors)))
