"""Rows of users and items that training has never seen: which these are, and what is said of them."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from mtkit.evaluation.slices import unknown_groups
from mtkit.evaluation.unknown_rows import unknown_results, warnings_of
from mtkit.runs.result_tables import unknown_table
from mtkit.types import RowTable

USERS, ITEMS = [1, 1, 2, 0, 3, 4, 0], [1, 2, 3, 1, 2, 2, 3]
#: User 3 acts after training only, user 4 is a guest; item 3 is there, and nobody had it.
UNKNOWN = {"unknown_user": [3, 4, 5], "unknown_item": [2], "unknown_both": [6]}


class Catalog:
    def __init__(self, size, guests=0):
        self.size, self.known = size, size - guests

    def __len__(self):
        return self.size


@pytest.fixture
def fold():
    events = SimpleNamespace(
        ids={"user": np.array([1, 1, 2, 3]), "item": np.array([1, 2, 2, 1])}, time=np.array([0, 1, 2, 9])
    )
    catalogs = {"user": Catalog(5, guests=1), "item": Catalog(4)}
    return SimpleNamespace(events=events, fit=5, catalog=catalogs.__getitem__)


def table(ids, repeated=1, label="like"):
    rows = len(next(iter(ids.values()))) * repeated
    return RowTable(
        name="lines",
        ids={role: np.tile(np.array(of, np.int32), repeated) for role, of in ids.items()},
        time=np.zeros(rows, np.int64),
        history=np.zeros((0, 2), np.int64),
        known=np.zeros(rows, np.int64),
        labels={label: (np.arange(rows) % 3 == 0).astype(np.float32)},
        weights={label: np.where(np.arange(rows) % 7 == 1, 0, 1 + np.arange(rows) % 2).astype(np.float32)},
    )


def test_groups_are_of_ids_that_training_has_not_seen(fold):
    found = unknown_groups(table({"user": USERS, "item": ITEMS}), fold)
    assert {name: np.flatnonzero(rows).tolist() for name, rows in found.items()} == UNKNOWN
    of_users = unknown_groups(table({"user": USERS}), fold)
    assert {name: np.flatnonzero(rows).tolist() for name, rows in of_users.items()} == {"unknown_user": [3, 4, 5, 6]}
    of_items = unknown_groups(table({"item": ITEMS}), fold)
    assert {name: np.flatnonzero(rows).tolist() for name, rows in of_items.items()} == {"unknown_item": [2, 6]}


def plan(**changes):
    spec = SimpleNamespace(**{"evaluated_on": "lines", "predicts": "like", "numeric": False, "form": ""} | changes)
    return SimpleNamespace(predictions=lambda: {"liked": spec})


def measured(fold, predictions, of, **changes):
    return unknown_results(plan(**changes), {"lines": {"eval": of}}, fold, {"liked": predictions})


def test_figures_are_those_of_their_definitions(fold):
    of = table({"user": USERS, "item": ITEMS}, repeated=40)
    predictions = np.random.default_rng(0).uniform(0.05, 0.95, len(of)).astype(np.float32)
    found = measured(fold, predictions, of)["liked"]
    assert list(found) == [*UNKNOWN, "known"]
    for name, places in {**UNKNOWN, "known": [0, 1]}.items():
        weights, labels = of.weights["like"], of.labels["like"]
        rows = [row for row in range(len(of)) if row % 7 in places and weights[row] > 0]
        w, y, p = weights[rows].astype(float), labels[rows], predictions[rows].astype(float)
        above = (
            w[y == 1][:, None]
            * w[y == 0]
            * ((p[y == 1][:, None] > p[y == 0]) + 0.5 * (p[y == 1][:, None] == p[y == 0]))
        )
        expected = {
            "rows": len(rows),
            "positives": int(y.sum()),
            "auc": above.sum() / (w[y == 1].sum() * w[y == 0].sum()),
            "log_loss": -np.sum(w * np.where(y == 1, np.log(p), np.log(1 - p))) / w.sum(),
            "mean_prediction": np.sum(w * p) / w.sum(),
            "rate": np.sum(w * y) / w.sum(),
            "ratio": np.sum(w * p) / np.sum(w * y),
        }
        assert found[name] == pytest.approx(expected)


def test_nothing_is_said_where_there_is_nothing_to_say(fold):
    of, half = table({"user": [1, 2], "item": [1, 2]}, repeated=9), np.full(18, 0.5, np.float32)
    assert measured(fold, half, of) == {}
    of = table({"user": USERS, "item": ITEMS})
    answers = np.full(7, 0.5, np.float32)
    assert measured(fold, answers, of, numeric=True) == {}
    assert measured(fold, np.full((7, 3), 0.3), of) == {}
    few = measured(fold, np.where(np.arange(7) == 2, np.nan, answers), of)["liked"]
    assert few["unknown_item"]["auc"] is None
    assert few["unknown_item"]["log_loss"] is None
    assert few["unknown_item"]["ratio"] is None  # no positive


@pytest.mark.parametrize(
    ("positives", "ratio", "warns"), [(500, 1.21, True), (500, 0.79, True), (500, 1.19, False), (499, 3, False)]
)
def test_what_is_far_off_is_told(positives, ratio, warns):
    figures = {"rows": 5000, "positives": positives, "auc": 0.6, "log_loss": 0.3, "mean_prediction": 0.1 * ratio}
    figures |= {"rate": 0.1, "ratio": ratio}
    found = {"liked": {"unknown_user": figures, "known": {**figures, "ratio": 9.0, "positives": 900}}}
    messages = list(warnings_of(found))
    assert len(messages) == warns
    if warns:
        assert messages[0].startswith(
            f"task liked: of 5,000 rows of unknown users it says {0.1 * ratio:.3g} on average"
        )
        assert 'hide = {"user.id" = 0.5, "item.id" = 0.5}' in messages[0]
    console = Console(file=io.StringIO(), width=80)
    console.print(unknown_table(found))
    lines = console.file.getvalue().splitlines()
    assert lines[0].split() == ["task", "rows", "of", "rows", "auc", "log", "loss", "mean", "rate", "ratio"]
    assert lines[2].split()[:6] == ["liked", "unknown", "user", "5,000", "0.6000", "0.3000"]
    assert max(map(len, lines)) <= 80
