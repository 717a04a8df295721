import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import Field

from mtkit.data.catalogs import make_fold
from mtkit.data.item_vectors import item_vectors
from mtkit.data.known_as_of import known_columns
from mtkit.errors import DataError
from mtkit.evaluation.metrics import RankingProtocol, labeled, predict_metrics, rank_metrics
from mtkit.evaluation.user_sums import named
from mtkit.recipe.settings import By, Evaluate
from mtkit.spec import BuildContext, Cut, Encoder
from mtkit.standard.order_metrics import Auc, Gauc
from mtkit.standard.prediction_metrics import LogLoss, Rmse
from mtkit.standard.ranking_metrics import Auc as RankingAuc
from mtkit.standard.ranking_metrics import Coverage, Diversity, Ndcg, Recall
from mtkit.standard.rows import EntityRows, Interactions, Windows
from mtkit.types import LabeledRows, MetricKey

CUT = Cut("test", 60 * 86400, 100 * 86400)
SLICES = (
    "new",
    "cold_user",
    "cold_item",
    "tail",
    By(by="user.town"),
    By(by="item.family", values=2),
    By(by="context.store"),
)


@pytest.fixture
def fold(shop):
    return make_fold(shop, CUT, {})


@pytest.fixture
def windows(fold):
    return known_columns(fold, Windows(batch_size=8).make(fold, "eval"), ["own"])


@pytest.fixture
def scores(windows):
    """Some of them tied."""
    return np.random.default_rng(0).integers(0, 9, (len(windows), 21)).astype(np.float32)


def protocol(fold, **metrics):
    settings = Evaluate(k=(2, 5), slices=SLICES, cold=25, tail=0.4, metrics=metrics)
    return RankingProtocol.of(settings, fold, context(fold))


class Drawn(Encoder):
    """Vectors of items, drawn at random; the first item has none."""

    dtype: str = Field("float32", description="type of the numbers")

    def derive(self, context):
        vectors = 9 * np.random.default_rng(0).normal(size=(context.sizes["item"], 3))
        vectors[:2] = 0
        return {f"item.id/{context.name}": vectors.astype(self.dtype)}


def context(fold):
    encoders = {name: Drawn(reads=("item.id",), dtype=name) for name in ("float32", "int32")}
    sizes = {name: len(entity) for name, entity in fold.entities.items()}
    return BuildContext("", ("next",), {}, sizes, {}, {}, Path(), None, encoders)


def rows_of(ragged, name, row):
    return set(ragged.values[name][ragged.offsets[row] : ragged.offsets[row + 1]].tolist())


def recall_by_hand(scores, windows, rows, members=None, k=5):
    """Of the lists over the whole catalog, what they hold of the relevant items among `members`."""
    values = []
    for row in rows:
        relevant = rows_of(windows.lists["target"], "item", row)
        relevant = relevant if members is None else relevant & members
        if relevant:
            top = sorted(range(1, 21), key=lambda item: (-scores[row][item], item))[:k]
            values.append(len(relevant & set(top)) / min(k, len(relevant)))
    return np.mean(values), len(values)


def test_a_row_is_scored_once_for_all_that_is_measured_of_it(fold, windows, scores):
    judged, asked = dataclasses.replace(protocol(fold, recall=Recall()), lists=["new"]), []

    def scorer(rows):
        asked.extend(rows.tolist())
        return scores[rows].copy()

    found = rank_metrics("next", scorer, windows, judged)
    assert {"next/recall@5", "next/new/recall@5"} <= found.keys()
    assert len(asked) == len(set(asked))


def test_every_slice_of_a_ranking_equals_what_is_counted_by_hand(fold, windows, scores):
    judged = protocol(fold, recall=Recall(), coverage=Coverage(), auc=RankingAuc())
    found = rank_metrics("next", lambda rows: scores[rows].copy(), windows, judged)
    past = fold.events.time < CUT.cut
    count = {e: np.bincount(fold.events.ids[e][past], minlength=len(fold.entities[e])) for e in ("user", "item")}
    users, families = windows.ids["user"], fold.entities["item"].columns["family"].to_pylist()
    towns = [fold.entities["user"].columns["town"].to_pylist()[user] for user in users]
    everyone = range(len(windows))
    expected = {
        "": recall_by_hand(scores, windows, everyone),
        "cold_user/": recall_by_hand(scores, windows, [r for r in everyone if count["user"][users[r]] < 25]),
        "cold_item/": recall_by_hand(scores, windows, everyone, {i for i in range(1, 21) if count["item"][i] < 25}),
        "user.town=a/": recall_by_hand(scores, windows, [r for r in everyone if towns[r] == "a"]),
        "user.town=null/": recall_by_hand(scores, windows, [r for r in everyone if towns[r] is None]),
        "item.family=f0/": recall_by_hand(scores, windows, everyone, {i for i in range(1, 21) if families[i] == "f0"}),
    }
    for part, (value, rows) in expected.items():
        assert found[f"next/{part}recall@5"] == pytest.approx(value), part
        assert found.counts[f"next/{part}"[:-1]] == rows
    assert expected[""][0] != expected["cold_item/"][0]
    keys = {key.rpartition("/")[2] for key in found}
    assert keys == {"recall@2", "recall@5", "coverage@2", "coverage@5", "auc"}
    assert "next/new/auc" in found
    assert not any("context" in key for key in found)


def test_sums_by_user_are_the_values(fold, windows, scores):
    found = rank_metrics(
        "next", lambda rows: scores[rows].copy(), windows, protocol(fold, recall=Recall(), cover=Coverage())
    )
    for path, sums in found.sums.items():
        assert sums.totals.keys() == {"recall@2", "recall@5"}
        for key, total in sums.totals.items():
            assert total.sum() / sums.weights[key].sum() == pytest.approx(found[path + key])


def test_only_one_metric_and_its_slice(fold, windows, scores):
    judged = protocol(fold, recall=Recall(), ndcg=Ndcg(), auc=RankingAuc())
    whole = rank_metrics("next", lambda rows: scores[rows].copy(), windows, judged)
    for key in ("next/ndcg@5", "next/tail/ndcg@2", "next/new/recall@5", "next/user.town=a/recall@2", "next/tail/auc"):
        part = rank_metrics("next", lambda rows: scores[rows].copy(), windows, judged.only(MetricKey.parse(key)))
        assert part[key] == pytest.approx(whole[key])
        assert len(part) == (1 if key.count("/") == 1 else 2)


def test_a_sample_takes_the_place_of_the_catalog(fold, windows, scores):
    judged = protocol(fold, recall=Recall())
    full = rank_metrics("next", lambda rows: scores[rows].copy(), windows, judged)
    many, few = (
        rank_metrics("next", lambda rows: scores[rows].copy(), windows, dataclasses.replace(judged, sampled=number))
        for number in (100, 3)
    )
    assert many == full
    assert few["next/recall@5"] > full["next/recall@5"]
    assert few["next/new/recall@5"] > full["next/new/recall@5"]


def test_every_slice_of_predictions_is_that_of_its_rows(fold):
    table = Interactions(batch_size=8).make(fold, "eval")
    rows = labeled(table, "cheap")
    predictions = np.random.default_rng(1).random(len(table)).astype(np.float32)
    metrics = {"auc": Auc(), "log_loss": LogLoss(), "gauc": Gauc(), "rmse": Rmse()}
    slices = protocol(fold).of_rows(table)
    assert {"new", "cold_user", "cold_item", "tail", "user.town=a", "context.store=null"} < slices.keys()
    found = predict_metrics("cheap", predictions, rows, metrics, slices)
    there = rows.weights > 0
    assert 0 < there.sum() < len(table)
    for name, inside in {"": there, **{f"{n}/": m & there for n, m in slices.items()}}.items():
        given = rows.labels[inside], predictions[inside], rows.weights[inside]
        assert found[f"cheap/{name}log_loss"] == pytest.approx(LogLoss().value(*given), nan_ok=True)
        assert found[f"cheap/{name}gauc"] == pytest.approx(Gauc().value(*given, table.ids["user"][inside]), nan_ok=True)
        assert found.counts[f"cheap/{name}"[:-1]] == inside.sum()
    assert not any("rmse" in key for key in found)
    assert set(found.sums["cheap/"].users) == set(table.ids["user"][there])


def test_rows_of_an_entity_are_their_own(fold):
    table = EntityRows(batch_size=8, holdout_by="family", holdout=0.4).make(fold, "eval")
    rows = labeled(table, "item.shelf")
    found = predict_metrics(
        "shelf", np.full((len(table), 2), 0.5), rows, {"log_loss": LogLoss()}, protocol(fold).of_rows(table)
    )
    assert found.sums["shelf/"].entity == "item"
    assert len(found.sums["shelf/"].users) == len(table)
    assert "shelf/tail/log_loss" in found
    assert "shelf/cold_user/log_loss" not in found


def test_rows_of_no_entity_are_users_of_their_own(fold):
    labels, weights = np.array([0.0, 1.0, 1.0, 0.0]), np.array([1.0, 1.0, 0.0, 2.0], np.float32)
    rows = LabeledRows({}, labels, weights, 2)
    predictions = np.array([0.2, 0.7, 0.5, 0.4], np.float32)
    found = predict_metrics("income", predictions, rows, {"log_loss": LogLoss()})
    (sums,) = named({"model": found}, fold)["model"].values()
    assert (sums.entity, sorted(sums.users), sorted(sums.rows)) == ("row", ["0", "1", "3"], [1, 1, 2])
    value = sums.totals["log_loss"].sum() / sums.weights["log_loss"].sum()
    assert value == pytest.approx(found["income/log_loss"])


def test_diversity_is_by_categories_or_words(fold, windows, scores):
    families = fold.entities["item"].columns["family"].to_pylist()
    judged = protocol(fold, diversity=Diversity(by="item.family"))
    found = rank_metrics("next", lambda rows: scores[rows].copy(), windows, judged)
    values = []
    for row in range(len(windows)):
        if rows_of(windows.lists["target"], "item", row):
            top = sorted(range(1, 21), key=lambda item: (-scores[row][item], item))[:5]
            values.append(np.mean([families[a] != families[b] for a in top for b in top if a < b]))
    assert found["next/diversity@5"] == pytest.approx(np.mean(values))


def test_diversity_is_by_vectors_of_an_encoder(fold, windows, scores):
    judged = protocol(fold, diversity=Diversity(by="float32"))
    found = rank_metrics("next", lambda rows: scores[rows].copy(), windows, judged)
    vectors = Drawn(reads=("item.id",)).derive(dataclasses.replace(context(fold), name="float32"))["item.id/float32"]
    lengths = np.linalg.norm(vectors, axis=1)
    values = []
    for row in range(len(windows)):
        if rows_of(windows.lists["target"], "item", row):
            top = sorted(range(1, 21), key=lambda item: (-scores[row][item], item))[:5]
            pairs = [(a, b) for a in top for b in top if a < b]
            common = [vectors[a] @ vectors[b] / (lengths[a] * lengths[b]) if 1 not in (a, b) else 0 for a, b in pairs]
            values.append(1 - np.mean(common))
    assert found["next/diversity@5"] == pytest.approx(np.mean(values), rel=1e-5)
    assert max(values) > 1
    with pytest.raises(
        DataError, match=r"encoder 'int32' derives item\.id/int32 \(int32\), and no vectors of item that are"
    ):
        protocol(fold, diversity=Diversity(by="int32"))


def test_vectors_are_of_length_1_and_nulls_of_length_0(fold):
    words = item_vectors(fold, "item.text").toarray()
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), [0, *[1] * 20])
    common = words @ words.T
    assert 0 < common[1, 2] < 1  # "thing" is in all texts
    families = item_vectors(fold, "item.family").toarray()
    np.testing.assert_array_equal(families.sum(axis=1), [0, *[1] * 20])
    names = fold.entities["item"].columns["family"].to_pylist()
    assert (families @ families.T)[1:, 1:].astype(bool).tolist() == [[a == b for b in names[1:]] for a in names[1:]]
    with pytest.raises(DataError, match=r"item.weight is numeric; what items have in common"):
        item_vectors(fold, "item.weight")


@pytest.mark.parametrize("column", ["text", "family"])
def test_vectors_of_a_column_without_any_value_are_zeros(fold, column):
    item = fold.entities["item"]
    place, nulls = item.columns.column_names.index(column), pa.nulls(len(item), pa.string())
    without = dataclasses.replace(item, columns=item.columns.set_column(place, column, nulls))
    empty = dataclasses.replace(fold, entities={**fold.entities, "item": without})
    vectors = item_vectors(empty, f"item.{column}")
    assert vectors.shape[0] == len(item)
    assert vectors.nnz == 0
