"""Users without a past, and ids that no catalog has: who is evaluated, and what is counted."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tiny_shop import DAY, START, TinyShop

from mtkit.data.catalogs import make_fold
from mtkit.evaluation.baseline_tuning import Comparison, without_past
from mtkit.evaluation.rank import user_shares
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.spec import Cut
from mtkit.standard.rows import Windows

CUT = Cut("test", START + 180 * DAY, START + 230 * DAY, about="the end")
LATE, HALF_YEAR = 12, START + 150 * DAY


class GrowingShop(TinyShop):
    """The tiny shop, which some users join after the cut, some between, and where some items are new."""

    def load(self):
        dataset = super().load()
        lines = dataset.interactions.to_pandas()
        number = lines["user"] - 100
        lines = lines[(number >= LATE) | (lines["time"] >= CUT.cut)]
        new_items = lines["item"].isin(["p37", "p38"]) & (lines["time"] < CUT.cut)
        return replace(dataset, interactions=pa.Table.from_pandas(lines[~new_items], preserve_index=False))


@pytest.fixture(scope="module")
def dataset():
    return GrowingShop().load()


def frame(dataset):
    lines = dataset.interactions.to_pandas()
    lines = lines[lines["time"] < CUT.end].copy()
    lines["part"] = np.where(lines["time"] < CUT.cut, "train", "eval")
    return lines


def by_hand(dataset, listed=None):
    """Reason -> interactions, by pandas: ids are in the catalog if they train, or `listed` by role."""
    lines = frame(dataset)
    trains = lines[lines["part"] == "train"]
    known = {role: lines[role].isin((listed or {}).get(role, set(trains[role]))) for role in ("user", "item")}
    reasons = pd.Series("", lines.index)
    reasons[~known["user"] & known["item"]] = "user"
    reasons[known["user"] & ~known["item"]] = "item"
    reasons[~known["user"] & ~known["item"]] = "user and item"
    lost = lines[reasons != ""].groupby(["part", reasons[reasons != ""]]).size()
    return {f"{part}: {why} not in the catalog": count for (part, why), count in lost.items()}


def test_what_is_left_out_is_counted_by_part_and_by_whose_id_it_is(dataset):
    found = make_fold(dataset, CUT, {}).dropped
    assert found == by_hand(dataset)
    assert {key.partition(": ")[2] for key in found} == {
        f"{who} not in the catalog" for who in ("user", "item", "user and item")
    }
    rare = make_fold(dataset, CUT, {"item": 60}).dropped
    trains = frame(dataset).query("part == 'train'")["item"].value_counts()
    assert rare == by_hand(dataset, {"item": set(trains[trains >= 60].index)})
    assert any(key.startswith("train: item") for key in rare)


def test_interactions_between_training_and_the_cut_are_counted_apart(dataset):
    found = make_fold(dataset, replace(CUT, fit=HALF_YEAR), {"item": 60}).dropped
    lines = frame(dataset)
    counts = lines[lines["time"] < HALF_YEAR]["item"].value_counts()
    between = lines[(lines["time"] >= HALF_YEAR) & (lines["time"] < CUT.cut)]
    users = set(lines[lines["time"] < HALF_YEAR]["user"])
    lost = between[between["user"].isin(users) & ~between["item"].isin(counts[counts >= 60].index)]
    assert found["past: item not in the catalog"] == len(lost) > 0


@pytest.mark.parametrize("without", ["leave_out", "evaluate", "train"])
def test_windows_of_users_without_a_past_equal_the_slow_way(dataset, without):
    fold, rows = make_fold(dataset, CUT, {"user": 0, "item": 0}), Windows(batch_size=8, without_past=without, count=9)
    lines, ids = frame(dataset), fold.entities["user"].ids
    starts = [CUT.cut - k * 30 * DAY for k in range(1, 10)]
    parts = {"eval": [(CUT.cut, CUT.end)], "train": [(start, start + 30 * DAY) for start in starts]}
    for part, windows in parts.items():
        expected, newcomers = {}, 0
        for begin, end in windows:
            past = set(lines[lines["time"] < begin]["user"])
            acting = lines[(lines["time"] >= begin) & (lines["time"] < end)].groupby("user")["item"].nunique()
            everyone = without == "train" or (without == "evaluate" and part == "eval")
            newcomers += sum(user not in past for user in acting.index)
            expected |= {(user, begin): n for user, n in acting.items() if everyone or user in past}
        table = rows.make(fold, part)
        sizes = np.diff(table.lists["target"].offsets).tolist()
        found = dict(zip(zip(ids[table.ids["user"]].tolist(), table.time.tolist(), strict=True), sizes, strict=True))
        assert found == expected
        assert newcomers > 0
        left = {} if everyone else {"user without a past": newcomers}
        assert table.left_out == left
        assert without_past(table).sum() == (newcomers if everyone else 0)


RECIPE = """\
recipe = 1
name = "newcomers"
[data]
use = "tiny_shop"
[data.split]
use = "time"
valid = 2024-06-01
test = 2024-07-01
[data.catalog.user]
min_count = 0
[rows.windows]
use = "windows"
length = "30d"
count = 4
batch_size = 16
without_past = "evaluate"
[encoder.customer]
use = "features"
reads = ["user.id", "user.town", "user.age"]
dim = 8
[encoder.past]
use = "history"
reads = ["history.item"]
items = "product"
dim = 8
[encoder.product]
use = "features"
reads = ["item.id", "item.family"]
dim = 8
[task.next]
use = "gated_retrieval"
rows = "windows"
query = ["past", "customer"]
candidate = ["product"]
[evaluate]
k = [5]
metrics = ["recall"]
slices = ["cold_user"]
baselines = ["popularity", "own_frequency", "item_knn"]
[train]
learning_rate = 0.01
"""


@pytest.fixture
def pipeline(dataset, tiny_recipe, tmp_path):
    path = tiny_recipe.with_name("newcomers.toml")
    path.write_text(RECIPE)
    recipe = load_recipe(path)
    return assemble(recipe, dataset, CUT, cache_dir=tmp_path)


def test_cold_users_are_evaluated_by_the_model_and_by_what_needs_no_past(pipeline, dataset):
    table, fold = pipeline.tables["windows"]["eval"], pipeline.fold
    newcomers = without_past(table)
    found = evaluate(pipeline)
    lines = frame(dataset)
    trains, acts = lines[lines["part"] == "train"], lines[lines["part"] == "eval"]
    new = set(acts[acts["item"].isin(trains["item"])]["user"]) - set(trains["user"])
    assert found.counts["next/cold_user"] == newcomers.sum() == len(new) > 5
    users = fold.entities["user"].ids[found.sums["next/cold_user/"].users]
    assert set(users.tolist()) == new, "users stay apart"
    assert fold.entities["user"].columns["town"].to_pylist()[1] == "a", "with their attributes"

    settings = pipeline.recipe.evaluate
    comparison = Comparison(pipeline.plan, fold, pipeline.tables, settings, pipeline.protocol())
    judged = comparison.judge(comparison.tune(settings.baselines))
    key, popular = "next/cold_user/recall@5", user_shares(fold.events, fold.cut, len(fold.entities["item"]))
    top = np.argsort(-popular[1:], kind="stable")[:5] + 1
    targets = table.lists["target"].take(np.flatnonzero(newcomers))
    items = np.split(targets.values["item"], targets.offsets[1:-1])  # noqa: PD011 - no frame
    expected = np.mean([len(set(top) & set(had.tolist())) / min(5, len(had)) for had in items])
    for baseline in ("own_frequency", "item_knn"):
        assert judged[baseline][key] == pytest.approx(expected)
    assert judged["popularity"][key] == pytest.approx(expected)
    assert judged["own_frequency"]["next/recall@5"] != judged["popularity"]["next/recall@5"]
    [message] = comparison.falling_back(settings.baselines)
    assert message.startswith(f"{len(new)} of {len(table)} rows of windows have no past")
    assert message.endswith("rank these by popularity: own_frequency, item_knn")


def test_a_run_keeps_who_is_left_out(tiny_run):
    found = json.loads((tiny_run / "metrics.json").read_text())["left_out"]
    assert found.keys() == {"valid", "test"}
    for phase, of_phase in found.items():
        assert of_phase["rows"]["windows"].keys() == {f"{part}: user without a past" for part in ("train", "eval")}
        rows = json.loads((tiny_run / "rows" / f"{phase}.json").read_text())
        assert rows["left_out"] == of_phase
