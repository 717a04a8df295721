"""Two roles of one entity: users who follow users."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

import mtkit
from mtkit.backend import tf
from mtkit.data import leakage
from mtkit.data.catalogs import make_cuts, make_fold
from mtkit.data.columns import load
from mtkit.errors import DataError, DeclarationError, RecipeError
from mtkit.model.component_probe import check_components
from mtkit.recipe import Evaluate, Train
from mtkit.recipe.settings import By
from mtkit.runs.probes import check_factorized
from mtkit.schema import Address, Column, Schema
from mtkit.serving.export import save
from mtkit.spec import Cut
from mtkit.standard.encoders import Features
from mtkit.standard.heads import UserPreference
from mtkit.standard.order_metrics import Auc
from mtkit.standard.past_encoders import History
from mtkit.standard.ranking_metrics import Ndcg
from mtkit.standard.retrieval import GatedRetrieval
from mtkit.standard.rows import Interactions, Windows
from mtkit.standard.sources import Frames
from mtkit.standard.splits import Time
from mtkit.training.fit import Training

USERS, FOLLOWS, CIRCLES = 40, 2500, 4
FOLLOWER = Column(kind="id", entity="user", role="follower")
FOLLOWEE = Column(kind="id", entity="user", role="followee")


@pytest.fixture(scope="module")
def recipe():
    """People follow those of their circle, and those of one town answer."""
    rng = np.random.default_rng(0)
    town = rng.integers(0, 3, USERS)
    follower = rng.integers(0, USERS, FOLLOWS)
    near = rng.integers(0, USERS // CIRCLES, FOLLOWS) * CIRCLES + follower % CIRCLES
    followee = np.where(rng.random(FOLLOWS) < 0.8, near, rng.integers(0, USERS, FOLLOWS))
    day = pd.to_timedelta(rng.integers(0, 120, FOLLOWS), unit="D")
    follows = pd.DataFrame(
        {
            "who": [f"u{user}" for user in follower],
            "whom": [f"u{user}" for user in followee],
            "time": pd.Timestamp("2024-01-01") + day,
            "answered": (town[followee] == 0) ^ (rng.random(FOLLOWS) < 0.1),
        }
    )
    return mtkit.compose(
        data=Frames(
            interactions=follows,
            entities={"user": pd.DataFrame({"id": [f"u{user}" for user in range(USERS)], "town": town.astype(str)})},
            columns={"who": FOLLOWER, "whom": FOLLOWEE, "time": Column(kind="time"), "answered": Column(kind="label")},
            entity_columns={"user": {"town": Column(kind="categorical")}},
        ),
        split=Time(valid=date(2024, 4, 1), test=date(2024, 4, 15)),
        rows={
            "weeks": Windows(length=timedelta(days=14), count=5, batch_size=32),
            "lines": Interactions(batch_size=64),
        },
        encoder={
            "fan": Features(reads=["follower.id", "follower.town"], dim=8),
            "star": Features(reads=["followee.id", "followee.town"], dim=8),
            "past": History(reads=["history.followee"], dim=8),
        },
        task={
            "next": GatedRetrieval(rows="weeks", query=["past", "fan"], candidate=["star"]),
            "answer": UserPreference(rows="lines", inputs=["fan", "star"], label="answered"),
        },
        train=Train(epochs=3, learning_rate=0.03, steps_per_execution=1),
        evaluate=Evaluate(metrics={"ndcg": Ndcg()}, prediction_metrics={"auc": Auc()}, slices=("new", "followee.town")),
    )


@pytest.fixture(scope="module")
def pipeline(recipe):
    made = mtkit.build(recipe, fold="test")
    check_components(made)
    check_factorized(made)
    Training(made).fit()
    return made


def test_both_roles_are_of_one_catalog(pipeline):
    fold = pipeline.fold
    assert list(fold.entities) == ["user"]
    assert list(fold.events.ids) == ["follower", "followee"]
    assert fold.catalog("follower") is fold.catalog("followee") is fold.entities["user"]
    assert set(pipeline.model.feed.entities) == {"user", "follower", "followee"}
    assert {"follower.town", "followee.id", "history.followee", "user.town"} <= pipeline.fold.schema.features().keys()


def test_it_trains_and_is_measured(pipeline):
    measured = mtkit.evaluate(pipeline)
    assert measured["answer/auc"] > 0.6
    assert {"next/ndcg@10", "next/new/ndcg@10"} <= measured.keys()
    assert any(key.startswith("next/followee.town=") for key in measured)


@pytest.mark.slow
def test_it_is_served_under_the_names_of_the_roles(pipeline, tmp_path):
    served = tf.saved_model.load(str(save(pipeline, tmp_path))).signatures
    best = served["recommend"](
        follower_id=tf.constant(["u1"]), k=tf.constant(3), exclude_ids=tf.zeros([1, 0], tf.string)
    )
    assert set(best) == {"followee_ids", "scores", "seen"}
    assert set(best["followee_ids"][0].numpy()) <= {f"u{user}".encode() for user in range(USERS)}
    answer = served["rank"](follower_id=tf.constant(["u1"]), followee_id=tf.constant(["u5"]))
    assert 0 < float(answer["answer"][0]) < 1


def test_an_id_counts_in_whatever_role(recipe):
    """One who is only followed is in the catalog of those who follow, too."""
    dataset = recipe.data.source.load()
    fold = make_fold(dataset, Cut("test", 10**10, 10**10 + 1, clock=np.append(np.zeros(FOLLOWS - 1, int), 10**10)), {})
    assert len(fold.entities["user"]) == USERS + 1
    seen = {int(ids[row]) for ids in fold.events.ids.values() for row in range(len(ids))}
    assert seen == set(range(1, USERS + 1))


def test_roles_are_told_apart():
    with pytest.raises(
        DeclarationError, match="'a' and 'b' are both the user of an interaction; give one of them a `role`"
    ):
        Schema(interactions=dict.fromkeys("ab", Column(kind="id", entity="user")), entities={"user": {}})
    for name in ("context", "history", "task"):
        with pytest.raises(DeclarationError, match="means something else in addresses"):
            Schema(interactions={}, entities={name: {}})
        with pytest.raises(DeclarationError, match="means something else in addresses; give it another role"):
            Schema(interactions={"a": Column(kind="id", entity="user", role=name)}, entities={"user": {}})
    assert Address("followee.town").scope == "followee"


def test_roles_are_names_of_entities():
    with pytest.raises(DeclarationError, match="role = 'x' is for columns of ids of an entity"):
        Column(kind="categorical", role="x")
    with pytest.raises(DeclarationError, match="role"):
        Column(kind="id", entity="user", role="Fan")


def test_only_what_was_acted_on_is_a_past(pipeline):
    found = {address for address in pipeline.fold.schema.features() if address.scope == "history"}
    assert found == {"history.followee", "history.answered"}


def _changed(recipe, **options):
    return mtkit.build(recipe.model_copy(update=options))


def test_what_rows_do_not_have_is_refused(recipe):
    user = Features(reads=["user.id"], dim=8)
    with pytest.raises(
        RecipeError, match="interactions are of follower and followee; read the candidate's features as"
    ):
        mtkit.compose(
            data=recipe.data.source, split=recipe.data.split, rows=recipe.rows, encoder={**recipe.encoder, "user": user},
            task={"next": GatedRetrieval(rows="weeks", query=["past", "fan"], candidate=["user"])},
            train=recipe.train, evaluate=recipe.evaluate,
        )  # fmt: skip
    by_user = recipe.evaluate.model_copy(update={"slices": (By(by="user.town"),)})
    with pytest.raises(RecipeError, match=r"evaluate\.slices\[0\]: no row that a task is measured on has a user\.town"):
        _changed(recipe, evaluate=by_user)


def test_ids_of_two_types_are_refused(recipe):
    source = recipe.data.source
    padded = source.interactions.assign(who=[f"{row:04d}" for row in range(FOLLOWS)], whom=range(FOLLOWS))
    with pytest.raises(
        DataError,
        match=r"user: .* are integers in interactions\.whom, and text such as '0000' in interactions\.who, so",
    ):
        load(source.model_copy(update={"interactions": padded, "entities": {}, "entity_columns": {}}))
    encoded = source.interactions.astype({"whom": "category"})
    assert load(source.model_copy(update={"interactions": encoded})).interactions.equals(load(source).interactions)


@pytest.mark.parametrize("read", ["followee.followers", "follower.followers"])
def test_statistics_over_the_test_are_found_in_whatever_role(recipe, read, monkeypatch):
    monkeypatch.setattr(leakage, "ENOUGH", 10)
    source = recipe.data.source
    follows, users = source.interactions, source.entities["user"]
    users = users.assign(followers=users["id"].map(follows["whom"].value_counts()).fillna(0).astype(float))
    columns = {"user": {**source.entity_columns["user"], "followers": Column(kind="numeric")}}
    source = source.model_copy(update={"entities": {"user": users}, "entity_columns": columns})
    leaky = recipe.model_copy(update={"encoder": {**recipe.encoder, "count": Features(reads=[read], dim=8)}})
    dataset = source.load()
    found = leakage.find_leaks(leaky, dataset, *make_cuts(dataset, recipe.data.split))
    assert [finding.level for finding in found if finding.where == read] == ["error"]
