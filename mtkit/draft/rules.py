"""Settings of a first recipe by the size of the data: one place for all such rules.

Where they come from: the recipes of the repository, which were tuned on validation, and what untouched recipes of other data
reached on validation. What the size of a step should be, `mtkit.data.step_rules` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from mtkit.draft.counts import Counts

SPLIT_BY_TIME = 0.5
"""Share of the last rows whose users were there before, from which on a split by time has enough to ask about."""

SHARE = 0.1
"""Of the interactions, validates, and tests."""

REPEATS = 0.1
"""Share of repeated pairs from which on what comes back is asked for, too, and not what is new alone."""

FEW_ROWS, MANY_ROWS = 20_000, 1_000_000
"""Below, embeddings are narrow; above, windows follow one another less closely."""

FEW_ITEMS, MANY_ITEMS = 2_000, 20_000
"""Below, all items have an embedding; catalogs are cut to the most."""

DRAWN = 4_000
"""Items from which on a step ranks against some that are drawn, instead of the whole catalog."""

MOST_EASE = 5_000
"""Items up to which a linear model of all of them is the model of profiles."""

LABELS, POSITIVES = 3, 300
"""Labels that have a head, those with the most positives, and positives that it needs."""

Shape = Literal["rows", "outcomes", "profiles", "windows"]


@dataclass(frozen=True)
class Windows:
    """Training windows of what comes next."""

    length: timedelta
    stride: timedelta
    count: int


def shape_of(counts: Counts, labels: int) -> Shape:
    """What kind of recipe fits: rows alone, outcomes of what was shown, profiles without times, or windows of time."""
    if not counts.users:
        return "rows"
    if labels:
        return "outcomes"
    return "windows" if splits_by_time(counts) else "profiles"


def splits_by_time(counts: Counts) -> bool:
    """Whether enough is asked about users who were there before if the last rows by time are the test."""
    return counts.returning >= SPLIT_BY_TIME


def min_count(counts: Counts) -> int:
    """Interactions that an item needs: fewer teach its embedding nothing, and large catalogs are slow."""
    assert counts.items_of is not None
    if counts.items < FEW_ITEMS:
        return 1
    return next((least for least in (3, 5, 10, 20, 50) if counts.items_of[least] <= MANY_ITEMS), 100)


def dim(counts: Counts) -> int:
    """Width of embeddings."""
    return 32 if counts.rows < FEW_ROWS else 64


def history_length(counts: Counts) -> int:
    """Past events that are read: about all of most users."""
    mean = counts.rows / max(counts.users, 1)
    return int(min(max(2 ** math.ceil(math.log2(4 * mean)), 64), 512))


def windows(counts: Counts) -> Windows:
    """Windows as long as the test, that go back over the data; they overlap more where data are few."""
    days = min(max(round(counts.tail_days), 1), 60)
    share = 0.25 if counts.rows < FEW_ROWS else 0.5 if counts.rows < MANY_ROWS else 2 / 3
    stride = max(round(days * share), 1)
    back = counts.days - 2 * counts.tail_days - days
    return Windows(timedelta(days=days), timedelta(days=stride), int(min(max(back // stride, 1), 36)))


def id_dropout(counts: Counts) -> float:
    """Of encoders of outcomes: how often an id is hidden in training, more where there are few rows of each."""
    return 0.5 if counts.rows < 50 * counts.users else 0.1


LONGEST_TEXT = 30
"""Words, on average, of texts of items that are encoded: titles and tags; what is longer is cut, and takes long."""

KEYS, PAIRS = 3, 2
"""Columns of items, and of rows, by which earlier outcomes are counted, and of each how many are paired with the user."""

ITEM_DROPOUT, PAST_DROPOUT = 0.1, 0.6
"""Of items' embeddings, and of the past."""

FEW_VALUES, BUCKETS = 200, 50
"""Numbers of so few values have a bucket for each in rows that stand for themselves; others these, of about as many rows."""


def layers(counts: Counts) -> dict[str, Any]:
    """Of rows that stand for themselves."""
    hidden = [128, 64] if counts.rows >= FEW_ROWS else [64]
    return {"dim": 64, "hidden": hidden, "dropout": 0.3, "feature_dropout": 0.1}


def view(counts: Counts) -> dict[str, Any]:
    """Of what is known before an outcome."""
    return {"dim": 64, "hidden": [128], "id_dropout": id_dropout(counts), "dropout": 0.2}


RATERS = {"dropout": 0.1}
"""Of who rates, and what is rated."""


@dataclass(frozen=True)
class Profiles:
    """An auto-encoder of profiles.

    Attributes:
        batch: users of a step.
        length: past items that are read.
        dim: width of the code.
        passes: of ratings beside it, over their table in an epoch.
    """

    batch: int
    length: int
    dim: int
    passes: float


def profiles(counts: Counts) -> Profiles:
    """About four steps an epoch, all of them full: one of a few users alone moves the weights as far as others do."""
    steps = max(math.ceil(counts.users / 512), min(4, counts.users // 64), 1)
    return Profiles(batch=math.ceil(counts.users / steps), length=1000, dim=256, passes=0.5)


TRAIN_PROFILES = {"epochs": 25, "schedule": "cosine", "learning_rate": 0.01, "stop": "main", "patience": 10}
"""Many short epochs, until validation gets no better; for other shapes the engine's rules say it."""
