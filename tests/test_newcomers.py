"""Users without a past, and ids that no catalog has: who is evaluated, and what is counted."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tiny_shop import DAY, START, TinyShop

from mtkit.backend import tf
from mtkit.data.catalogs import make_fold
from mtkit.evaluation.baseline_tuning import Comparison, without_past
from mtkit.evaluation.rank import user_shares
from mtkit.evaluation.unknown_rows import unknown_results
from mtkit.feed.batch import Batch
from mtkit.feed.interface import Past
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.runs.directory import RunDirectory
from mtkit.runs.run import run_recipe
from mtkit.runs.trainer import trained_pipeline
from mtkit.schema import Address
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
def pipeline_of(tiny_recipe, tmp_path):
    def assembled(data, *sets):
        path = tiny_recipe.with_name("newcomers.toml")
        path.write_text(RECIPE)
        return assemble(load_recipe(path, sets), data, CUT, cache_dir=tmp_path)

    return assembled


@pytest.fixture
def pipeline(dataset, pipeline_of):
    return pipeline_of(dataset)


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


@pytest.fixture(scope="module")
def unlisted(dataset):
    """The shop, whose tables lack two users who join late, and an item that is new."""
    users, items = dataset.entities["user"], dataset.entities["item"]
    users = users.filter(pc.invert(pc.is_in(users["id"], value_set=pa.array([101, 102]))))
    return replace(dataset, entities={"user": users, "item": items.filter(pc.not_equal(items["id"], "p37"))})


def test_unknown_ids_are_evaluated_apart_and_never_trained_on(unlisted):
    both = {"user", "item"}
    plain = make_fold(unlisted, CUT, {"item": 60}, both)
    fold = make_fold(unlisted, CUT, {"item": 60}, both, keep_unknown=both)
    lines, events = frame(unlisted), fold.events
    trains = lines[lines["part"] == "train"]
    counts = trains["item"].value_counts()
    known = set(counts[counts >= 60].index)
    expected = lines[(lines["part"] == "eval") | lines["item"].isin(known)].sort_values(["user", "time"], kind="stable")
    ids, late = fold.entities["user"].ids, events.time >= CUT.cut
    found = pd.DataFrame({"user": ids[events.ids["user"]], "time": events.time}).sort_values(
        ["user", "time"], kind="stable"
    )
    np.testing.assert_array_equal(found, expected[["user", "time"]])
    assert (events.ids["item"] == 0).sum() == (~expected["item"].isin(known)).sum() > 0
    assert (events.ids["item"][~late] > 0).all()
    assert not any(key.startswith("eval") for key in fold.dropped)
    assert {key: n for key, n in plain.dropped.items() if key.startswith("train")} == fold.dropped

    users = fold.entities["user"]
    new = sorted(set(expected["user"]) - set(trains["user"]))
    assert users.ids[users.known :].tolist() == new
    assert users.ids[: users.known].tolist() == plain.entities["user"].ids.tolist()
    towns = dict(zip(*(unlisted.entities["user"][name].to_pylist() for name in ("id", "town")), strict=True))
    assert users.columns["town"].to_pylist()[users.known :] == [towns.get(user) for user in new]
    assert {101, 102} & set(new)
    for name in ("time", "group"):
        first = getattr(plain.events, name)[plain.events.time < CUT.cut]
        assert len(first) == len(getattr(events, name)[~late])


def test_users_who_join_after_the_fit_have_their_past_by_the_cut(unlisted):
    early = replace(CUT, fit=HALF_YEAR - 120 * DAY)
    fold = make_fold(unlisted, early, {}, {"user", "item"}, keep_unknown={"user"})
    table = Windows(batch_size=8, without_past="evaluate").make(fold, "eval")
    lines = frame(unlisted)
    begun = lines.groupby("user")["time"].min()
    users = fold.entities["user"]
    guests = table.ids["user"] >= users.known
    joined = begun[users.ids[table.ids["user"]]].to_numpy()
    assert (joined[guests] >= early.fit).all()
    np.testing.assert_array_equal(without_past(table)[guests], joined[guests] >= CUT.cut)


UNKNOWN = ("data.catalog.user={min_count=1, unlisted='unknown'}", "data.catalog.item={unlisted='unknown'}")
KNOWN = ("data.catalog.user={min_count=1, unlisted='drop'}", "data.catalog.item={unlisted='drop'}")


def test_a_model_does_not_know_the_ids_of_guests(unlisted, pipeline_of):
    with_guests, without = pipeline_of(unlisted, *UNKNOWN), pipeline_of(unlisted, *KNOWN)
    shapes = [[tuple(w.shape) for w in p.model.weights] for p in (with_guests, without)]
    assert shapes[0] == shapes[1]
    users, feed = with_guests.fold.entities["user"], with_guests.model.feed
    assert users.guests > 5
    assert with_guests.features.states == without.features.states
    found = feed.feature(Address("user.id"), Batch({"user": tf.range(len(users))}), Past(0))["user.id"].numpy()
    np.testing.assert_array_equal(found, [*range(users.known), *[0] * users.guests])
    measured = evaluate(with_guests)
    assert measured.counts["next/cold_user"] == len(set(measured.sums["next/cold_user/"].users)) >= users.guests - 1


LINES = (
    "rows.lines={use='interactions', labels=['gift'], batch_size=16}",
    "task.gift={use='user_preference', rows='lines', inputs=['customer', 'product'], label='gift'}",
    "evaluate.prediction_metrics=['auc']", "evaluate.slices=['unknown_user', 'unknown_both']",
)  # fmt: skip


def test_rows_of_unknown_ids_are_measured_apart(unlisted, pipeline_of):
    pipeline = pipeline_of(unlisted, *UNKNOWN, *LINES, 'train.hide."user.id"=0.5')
    lines, answers = frame(unlisted), {}
    trains, acts = lines[lines["part"] == "train"], lines[lines["part"] == "eval"]
    new = {role: ~acts[role].isin(trains[role]) for role in ("user", "item")}
    expected = {
        "unknown_user": new["user"] & ~new["item"],
        "unknown_item": new["item"] & ~new["user"],
        "unknown_both": new["user"] & new["item"],
    }
    measured = evaluate(pipeline, answers=answers)
    found = unknown_results(pipeline.plan, pipeline.tables, pipeline.fold, answers)["gift"]
    for group, rows in expected.items():
        assert found[group]["rows"] == rows.sum() > 0
        assert found[group]["rate"] == pytest.approx(acts["gift"][rows].mean())
        if group != "unknown_item":
            assert measured.counts[f"gift/{group}"] == rows.sum()
            assert measured[f"gift/{group}/auc"] == pytest.approx(found[group]["auc"], nan_ok=True)
    assert measured.counts["next/unknown_user"] > 0
    feed, users = pipeline.model.feed, pipeline.fold.entities["user"]
    ids = feed.feature(Address("user.id"), Batch({"user": tf.range(len(users))}), Past(0))["user.id"].numpy()
    assert {users.ids[row] for row in np.flatnonzero(ids)} == set(trains["user"])


@pytest.mark.slow
def test_a_run_on_unknown_ids_is_evaluated_and_exported(tiny_recipe, tmp_path):
    """Rows of all kinds, the test by the model of the validation, and requests by the id of a guest."""
    sets = (
        "data.split={use='time', valid=2024-04-01, test=2024-08-01, refit=false}", "rows.windows.without_past='evaluate'",
        "data.catalog.user={min_count=20, unlisted='unknown'}", "data.catalog.item={min_count=14, unlisted='unknown'}",
        "train.epochs=1", "evaluate.slices=['new', 'cold_user']",
    )  # fmt: skip
    results = run_recipe(load_recipe(tiny_recipe, sets), tmp_path / "run")
    assert results.counts["next/cold_user"] > 0
    assert all(np.isfinite(value) for value in results.test.values())
    assert results.unknown["test"]["discounted"]["unknown_user"]["rows"] > 0
    kept = json.loads((tmp_path / "run" / "metrics.json").read_text())["unknown"]
    assert kept == results.unknown
    catalog = pq.read_table(tmp_path / "run" / "entities" / "test-user.parquet")["id"].to_pylist()
    guest = next(user for user in range(100, 180) if user not in catalog)
    pipeline = trained_pipeline(RunDirectory(tmp_path / "run"))
    assert evaluate(pipeline) == pytest.approx(results.test, nan_ok=True)
    served = tf.saved_model.load(str(next((tmp_path / "run" / "export").iterdir()))).signatures["recommend"]
    asked = {"user_id": tf.constant([str(guest), "nobody"]), "k": tf.constant(5), "exclude_ids": tf.constant([[""]])}
    scores = served(**asked)["scores"].numpy()
    assert np.isfinite(scores).all()
    assert (scores[0] != scores[1]).any(), "a guest has attributes and a past"
