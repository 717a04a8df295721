"""Small components of every kind, and a registry of them alone."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mtkit.hooks import hookimpl
from mtkit.recipe.registry import Entry, Registry
from mtkit.schema import Column, Schema
from mtkit.spec import (
    Balancer,
    Baseline,
    Correlation,
    DataSource,
    Encoder,
    Exporter,
    PredictionMetric,
    PredictionTask,
    Preprocessor,
    RankingMetric,
    RetrievalTask,
    Rows,
    Spec,
    Split,
)


class Shop(DataSource):
    path: Path = Path("shop.csv")
    token: str = ""

    def schema(self):
        return Schema(
            interactions={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "at": Column(kind="time"),
                "price": Column(kind="numeric"),
                "hour": Column(kind="categorical"),
                "cheap": Column(kind="label", sources=("price",)),
            },
            entities={
                "user": {"age": Column(kind="numeric")},
                "item": {
                    "text": Column(kind="text"),
                    "department": Column(kind="label", sources=("aisle",), classes=True),
                    "aisle": Column(kind="categorical"),
                },
            },
        )


class ByTime(Split):
    valid: date
    test: date


class Lines(Rows):
    window: timedelta = timedelta(days=30)


class Buckets(Preprocessor):
    count: int = 10


class Sum(Encoder):
    extra: tuple[str, ...] = ()

    @property
    def content(self):
        return self.extra


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: float = 0.5
    files: tuple[Path, ...] = ()


class Deep(Encoder):
    """Has an option of every type that TOML can say."""

    mode: Literal["frozen", "lora", "full"] = Field("frozen", description="what is trained")
    words: str = "a"
    count: int = 3
    rate: float = 0.1
    flag: bool = False
    day: date = date(2017, 1, 1)
    span: timedelta | None = None
    names: tuple[str, ...] = ()
    weights: dict[str, float] = Field({})
    options: Options = Options()

    @field_validator("count")
    @classmethod
    def _even_is_refused(cls, count):
        if count % 2 == 0:
            raise ValueError(f"expected an odd count, not {count}")
        return count


class Experts(Correlation):
    experts: int = 4


class Ranker(PredictionTask):
    pass


class Retriever(RetrievalTask):
    candidates: ClassVar = "batch"


class Fixed(Balancer):
    pass


class Recall(RankingMetric):
    pass


class Auc(PredictionMetric):
    labels: ClassVar = frozenset({"binary"})


class Popularity(Baseline):
    form: ClassVar = "retrieval"


class Recency(Baseline):
    form: ClassVar = "retrieval"

    half_life: timedelta = timedelta(days=120)


class Writer(Exporter):
    pass


class Tracker(Spec):
    folder: Path = Path("logs")

    @hookimpl
    def run_start(self, recipe):
        return f"{recipe.name} to {self.folder.name}"


class Guard:
    @hookimpl
    def epoch_end(self, epoch, metrics):
        return epoch


class Idle:
    pass


class Mistaken:
    @hookimpl
    def epoch_ends(self):
        pass


def one_device():
    return None


COMPONENTS = {
    ("data_source", "shop"): Shop,
    ("split", "by_time"): ByTime,
    ("rows", "lines"): Lines,
    ("preprocessor", "buckets"): Buckets,
    ("encoder", "sum"): Sum,
    ("encoder", "deep"): Deep,
    ("correlation", "experts"): Experts,
    ("task_head", "ranker"): Ranker,
    ("task_head", "retriever"): Retriever,
    ("balancer", "fixed"): Fixed,
    ("ranking_metric", "recall"): Recall,
    ("prediction_metric", "auc"): Auc,
    ("baseline", "popularity"): Popularity,
    ("baseline", "recency"): Recency,
    ("exporter", "saved_model"): Writer,
    ("strategy", "auto"): one_device,
    ("hooks", "tracker"): Tracker,
    ("hooks", "guard"): Guard,
    ("hooks", "idle"): Idle,
    ("hooks", "mistaken"): Mistaken,
}


def entry(kind, name, value, distribution="toys", version="1.2"):
    return Entry(kind, name, value, distribution, version)


def toy_entries():
    return [entry(kind, name, f"{__name__}:{loaded.__name__}") for (kind, name), loaded in COMPONENTS.items()]


def toy_registry():
    return Registry(toy_entries())


RECIPE = """\
recipe = 1
name = "toy"

[data]
use = "shop"
[data.split]
use = "by_time"
valid = 2017-11-01
test = "2017-12-01"
[data.catalog.item]
min_count = 20

[rows.lines]
use = "lines"
batch_size = 8
window = "28d"
[rows.items]
use = "lines"
batch_size = 4

[preprocess.age]
use = "buckets"
columns = ["user.age"]

[encoder.user]
use = "sum"
reads = ["user.id", "user.age"]
[encoder.past]
use = "sum"
reads = ["history.item"]
extra = ["item"]
[encoder.item]
use = "deep"
reads = ["item.id", "item.text"]

[correlation.experts]
use = "experts"
[correlation.both]
use = "experts"
apply = "pair"
on = ["user", "item"]

[task.next]
use = "retriever"
rows = "lines"
query = ["user", "past"]
candidate = ["item"]
[task.cheap]
use = "ranker"
rows = "lines"
inputs = ["both", "task.department"]
label = "cheap"
[task.department]
use = "ranker"
rows = "items"
inputs = ["item"]
label = "item.department"

[evaluate]
k = [10, 50]
metrics = ["recall"]
slices = ["new"]
prediction_metrics = ["auc"]
baselines = ["popularity", {use = "recency", half_life = "60d"}]
"""
