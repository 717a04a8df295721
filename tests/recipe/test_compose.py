"""Recipes as calls: what may stand for a component, and what is said of what may not."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mtkit
from mtkit.errors import RecipeError
from mtkit.recipe import Evaluate
from mtkit.schema import Column
from mtkit.standard.baselines import OwnRecency
from mtkit.standard.encoders import Features
from mtkit.standard.heads import UserPreference
from mtkit.standard.order_metrics import Auc
from mtkit.standard.rows import Interactions
from mtkit.standard.sources import Frames
from mtkit.standard.splits import Time


def parts(**changes):
    """The arguments of a small composition, all of them specs."""
    data = Frames(
        interactions=pd.DataFrame({"user": [1], "item": [1], "time": [0], "like": [1]}),
        columns={
            "user": Column(kind="id", entity="user"),
            "item": Column(kind="id", entity="item"),
            "time": Column(kind="time"),
            "like": Column(kind="label"),
        },
    )
    given = {
        "data": data,
        "split": Time(valid=date(2024, 4, 1), test=date(2024, 4, 15)),
        "rows": {"lines": Interactions(batch_size=128)},
        "encoder": {"user": Features(reads=["user.id"]), "item": Features(reads=["item.id"])},
        "task": {"like": UserPreference(rows="lines", inputs=["user", "item"], label="like")},
        "evaluate": Evaluate(prediction_metrics={"auc": Auc()}),
    }
    given |= changes
    return {name: value for name, value in given.items() if value is not ...}


def compose(**changes):
    return mtkit.compose(**parts(**changes))


def test_names_and_dictionaries_are_what_specs_are():
    specs = compose(
        evaluate=Evaluate(prediction_metrics={"auc": Auc()}, baselines={"own_recency": OwnRecency(half_lives=[7])})
    )
    named = compose(
        split={"use": "time", "valid": "2024-04-01", "test": date(2024, 4, 15)},
        rows={"lines": {"use": "interactions", "batch_size": np.int64(128)}},
        encoder={"user": {"use": "features", "reads": ("user.id",)}, "item": Features(reads=["item.id"])},
        balance="fixed",
        export={"use": "saved_model"},
        evaluate={"prediction_metrics": ["auc"], "baselines": [{"use": "own_recency", "half_lives": [7]}]},
    )
    for section in ("rows", "encoder", "task", "balance", "export", "evaluate", "train"):
        assert getattr(named, section) == getattr(specs, section)
    assert named.data.split == specs.data.split
    assert named.uses["encoder.user"] == specs.uses["encoder.user"] == "features"


@pytest.mark.parametrize(
    "baselines",
    [
        [OwnRecency(half_lives=[7])],
        {"own_recency": OwnRecency(half_lives=[7])},
        {"own_recency": {"half_lives": [7]}},
        OwnRecency(half_lives=[7]),
    ],
)
def test_measures_are_given_in_several_ways(baselines):
    found = compose(evaluate={"prediction_metrics": "auc", "baselines": baselines})
    assert dict(found.evaluate.baselines) == {"own_recency": OwnRecency(half_lives=[7])}
    assert dict(found.evaluate.prediction_metrics) == {"auc": Auc()}


def test_settings_are_dictionaries_or_made():
    found = compose(
        rows={"lines": {"use": "interactions", "since": timedelta(days=3)}},
        train={"epochs": 2, "init_from": Path("earlier")},
        catalog={"item": {"min_count": 3}},
    )
    assert found.rows["lines"].since == timedelta(days=3)
    assert found.train.epochs == 2
    assert found.train.init_from == Path("earlier").absolute()
    assert found.data.catalog["item"].min_count == 3
    assert found.train.epoch_of == "lines"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": {}}, "encoders: unknown section; did you mean 'encoder'?"),
        ({"data": ...}, "data: is missing; a recipe has [data]"),
        ({"rows": ...}, "rows: is missing; a recipe has [rows.NAME]"),
        ({"split": ...}, "split.use: is missing; known: column"),
        ({"split": "tim"}, "split: no split is named 'tim'; did you mean 'time'?"),
        ({"split": {"use": "time", "valid": "2024-04-01"}}, "split.test: is missing; expected"),
        (
            {"rows": Interactions()},
            "rows: expected a dictionary, from names to components of kind rows, got a Interact",
        ),
        ({"encoder": {"user": Features}}, "encoder.user: expected a component, got the class Features; call it: Feat"),
        (
            {"encoder": {"user": Interactions()}},
            "encoder.user: expected a mtkit.spec.Encoder, got Interactions, which is",
        ),
        ({"encoder": {"user": 3}}, "encoder.user: expected a component, its name, or a dictionary with `use`, got 3"),
        ({"encoder": {"user": "features"}}, "encoder.user.reads: is missing; expected addresses of the features"),
        ({"encoder": {3: Features(reads=["user.id"])}}, "encoder: expected texts as keys, got 3"),
        (
            {"encoder": {"user": {"use": "features", "reads": ["user.id"], "dim": True}}},
            "user.dim: expected a whole number above 0",
        ),
        (
            {"encoder": {"user": {"use": "features", "reads": {1}}}},
            "encoder.user.reads: expected a text, a number, a date",
        ),
        ({"evaluate": ["auc"]}, "evaluate: expected a table, got ['auc']"),
        (
            {"evaluate": {"k": 10}},
            "evaluate.k: expected a list of at least 1 element, each a whole number above 0, got 10",
        ),
        (
            {"evaluate": {"prediction_metrics": ["acu"]}},
            "evaluate.prediction_metrics[0]: no prediction_metric is named",
        ),
        ({"evaluate": {"prediction_metrics": [Features(reads=["user.id"])]}}, "expected a mtkit.spec.PredictionMetric"),
        ({"train": {"epoch": 3}}, "train.epoch: unknown key; did you mean 'epochs'?"),
        (
            {"catalog": {"item": {"min_count": -1}}},
            "catalog.item.min_count: expected a whole number of at least 0, got -1",
        ),
        ({"seed": -1}, "seed: expected a whole number from 0 to 4294967295, got -1"),
    ],
)
def test_mistakes_name_the_argument(changes, message):
    with pytest.raises(RecipeError) as caught:
        compose(**changes)
    assert str(caught.value).startswith("mtkit.compose: ")
    assert message in str(caught.value)


def test_sections_have_names():
    with pytest.raises(RecipeError, match=r"by name, as in encoder=\{...\}; got a Frames without one"):
        mtkit.compose(parts()["data"])


def test_all_mistakes_come_at_once():
    with pytest.raises(RecipeError) as caught:
        compose(train={"epoch": 3}, split={"use": "time"}, encoder={"user": {"use": "features"}})
    keys = {problem.key for problem in caught.value.problems}
    assert keys >= {"train.epoch", "split.valid", "split.test", "encoder.user.reads"}
