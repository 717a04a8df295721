"""Models that begin with the weights of an earlier run."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.catalogs import make_cuts
from mtkit.errors import RunError
from mtkit.heads import PredictionHead
from mtkit.layers.features import Features
from mtkit.layers.history import History
from mtkit.model.assembly import assemble
from mtkit.model.model_evaluation import evaluate
from mtkit.model.named_weights import named_weights
from mtkit.recipe.loader import load_recipe
from mtkit.runs.directory import RunDirectory
from mtkit.runs.origins import origin_of
from mtkit.runs.trainer import trained_pipeline
from mtkit.training.fit import Training
from mtkit.training.warm_start import begin_with

USERS, ITEMS, TOWNS = "customer/_tables/user..id", "product/_tables/item..id", "customer/_tables/user..town"


@pytest.fixture(scope="session")
def trained(_tiny_run):
    """The model of the tiny run's test; its plugin has to be installed."""
    made = []

    def get():
        made[:] = made or [trained_pipeline(RunDirectory(_tiny_run))]
        return made[0]

    return get


@pytest.fixture
def built(tiny_recipe, tiny_run, tmp_path):
    """`built(*sets, ...)` makes the model of the test by a tiny recipe that names the tiny run, and its origin."""

    def make(*sets, unsets=(), change=None, numbered=None, phase=1, strategy=None):
        recipe = load_recipe(tiny_recipe, (f"train.init_from={tiny_run}", *sets), unsets)
        dataset = recipe.data.source.load()
        dataset = dataset if change is None else change(dataset)
        cut = make_cuts(dataset, recipe.data.split)[phase]
        pipeline = assemble(recipe, dataset, cut, cache_dir=tmp_path, numbered=numbered, strategy=strategy)
        return pipeline, origin_of(recipe, dataset, cut)

    return make


def values(pipeline):
    return {name: variable.numpy() for name, variable in named_weights(pipeline.model).items()}


def by_label(labels, rows):
    return dict(zip(labels, rows, strict=True))


def by_id(pipeline, entity, name):
    return by_label(pipeline.fold.entities[entity].ids.tolist(), values(pipeline)[name])


def assert_follow(pipeline, trained, known):
    """All that items and users have of their own is where it was learned, and the unknown's is the unknown's."""
    names = {
        "item": (f"encoders/{ITEMS}/embeddings", "encoders/past/items", "heads/next/bias", "heads/next/pair_of_item"),
        "user": (f"encoders/{USERS}/embeddings",),
    }
    for entity, weights in names.items():
        for name in weights:
            now, before = by_id(pipeline, entity, name), by_id(trained, entity, name)
            both = now.keys() & before.keys()
            assert len(both) >= known[entity]
            for label in both:
                np.testing.assert_array_equal(now[label], before[label], f"{name} of {label}")


def figures(pipeline):
    """What the weights reach, without what validation taught of probabilities, which is no weight."""
    for head in pipeline.model.heads.values():
        if isinstance(head, PredictionHead):
            head.calibration = None
    return dict(evaluate(pipeline, pipeline.protocol()))


def test_on_the_same_data_the_model_is_that_of_the_earlier_run(built, trained):
    pipeline, origin = built()
    beginning = begin_with(pipeline, origin)
    now, before = values(pipeline), values(trained())
    assert now.keys() == before.keys()
    assert beginning.taken == len(now)
    assert not beginning.warnings()
    assert len(beginning.lines()) == 1
    for name, value in now.items():
        np.testing.assert_array_equal(value, before[name], name)
    assert figures(pipeline) == figures(trained())


@pytest.mark.parametrize("sets", [("train.precision='mixed_bfloat16'",), ()])
def test_precision_and_replicas_change_nothing(built, trained, two_replicas, sets):
    pipeline, origin = built(*sets, strategy=None if sets else two_replicas)
    begin_with(pipeline, origin)
    before = values(trained())
    for name, value in values(pipeline).items():
        np.testing.assert_array_equal(value, before[name], name)


def test_ids_that_have_other_numbers_are_found(built, trained):
    rng = np.random.default_rng(0)
    numbered = {name: rng.permutation(entity.ids[1:]) for name, entity in trained().fold.entities.items()}
    pipeline, origin = built(numbered=numbered)
    beginning = begin_with(pipeline, origin)
    assert pipeline.fold.entities["item"].ids.tolist() != trained().fold.entities["item"].ids.tolist()
    assert_follow(pipeline, trained(), {"item": 41, "user": 81})
    assert beginning.labels["item.id"] == {"known": 40, "new": 0, "gone": 0}
    assert figures(pipeline) == pytest.approx(figures(trained()), abs=1e-4)


def test_new_ids_in_between_begin_as_ids_do_and_ids_that_are_gone_are_counted(built, trained):
    def change(dataset):
        def renamed(values):  # every third is a new one, which lies between others
            return pa.array([f"{value}-new" if int(value[1:]) % 3 == 0 else value for value in values.to_pylist()])

        lines, items = dataset.interactions, dataset.entities["item"]
        lines = lines.set_column(lines.column_names.index("item"), "item", renamed(lines["item"]))
        items = items.set_column(0, "id", renamed(items["id"]))
        return replace(dataset, interactions=lines, entities={**dataset.entities, "item": items})

    pipeline, origin = built("data.users=160", change=change)
    name = f"encoders/{ITEMS}/embeddings"
    cold = by_id(pipeline, "item", name)
    beginning = begin_with(pipeline, origin)
    assert beginning.labels["item.id"] == {"known": 26, "new": 14, "gone": 14}
    assert beginning.labels["user.id"]["new"] > 70
    assert any("item.id: 26 known, 14 new, 14 gone" in line for line in beginning.lines())
    assert_follow(pipeline, trained(), {"item": 27, "user": 70})
    warm = by_id(pipeline, "item", name)
    assert (warm["p00-new"] == cold["p00-new"]).all()
    assert (warm["p01"] != cold["p01"]).any()


def test_values_of_a_vocabulary_are_found(built, trained):
    def change(dataset):
        users = dataset.entities["user"]
        towns = pa.array([("a" if u % 5 else "aa") if t == "a" else t for u, t in enumerate(users["town"].to_pylist())])
        users = users.set_column(users.column_names.index("town"), "town", towns)
        return replace(dataset, entities={**dataset.entities, "user": users})

    pipeline, origin = built(change=change)
    name = f"encoders/{TOWNS}/embeddings"
    cold = values(pipeline)[name]
    beginning = begin_with(pipeline, origin)
    warm, before = values(pipeline)[name], values(trained())[name]
    assert pipeline.features.states["user.town"]["values"] == ["a", "aa", "b"]
    np.testing.assert_array_equal(warm, [before[0], before[1], cold[2], before[2]])
    assert beginning.labels["user.town"] == {"known": 2, "new": 1, "gone": 0}


def test_classes_are_found_by_name(built, trained):
    def change(dataset):
        items = dataset.entities["item"]
        names = [name.replace("blue", "amber") for name in items["department"].to_pylist()]
        items = items.set_column(items.column_names.index("department"), "department", pa.array(names))
        return replace(dataset, entities={**dataset.entities, "item": items})

    pipeline, origin = built(change=change)
    name = "heads/department/dense/bias"
    cold = by_label(pipeline.classes["department"], values(pipeline)[name])
    beginning = begin_with(pipeline, origin)
    warm, before = (by_label(p.classes["department"], values(p)[name]) for p in (pipeline, trained()))
    assert list(warm) != list(before)
    assert all(value == before.get(label, cold[label]) for label, value in warm.items())
    assert beginning.labels["classes of department"] == {"known": 4, "new": 2, "gone": 2}
    assert beginning.left == {"task.gift": "reads predictions of other classes than there"}


def test_tasks_that_come_and_go_take_their_gates_along(built, trained):
    pipeline, origin = built(unsets=("task.discounted",))
    beginning = begin_with(pipeline, origin)
    assert beginning.unused == ["task.discounted"]
    assert "task.discounted is not here; its weights are left" in beginning.lines()
    name = "correlations/experts/customer/gate_kernel"
    before = np.split(values(trained())[name], 4, axis=1)
    np.testing.assert_array_equal(values(pipeline)[name], np.concatenate([before[0], before[2], before[3]], 1))
    np.testing.assert_array_equal(
        values(pipeline)["balancer/log_variance"], values(trained())["balancer/log_variance"][[0, 2, 3]]
    )


def test_what_does_not_fit_begins_anew_and_is_said(built):
    pipeline, origin = built(
        "encoder.stranger={use='features', reads=['user.id'], dim=8}",
        "encoder.visit.hidden=[4]",
        "encoder.customer.dropout=0.3",
        "task.next.query=['past', 'customer', 'stranger']",
        "task.discounted.inputs=['past', 'customer', 'product', 'look']",
        "correlation.experts.on=['customer', 'past', 'product', 'look', 'visit']",
        "correlation.experts.experts=4",
        "correlation.experts.units=8",
    )
    cold = values(pipeline)
    beginning = begin_with(pipeline, origin)
    left = beginning.left
    assert left["encoder.stranger"] == "is not there"
    assert left["encoder.visit _hidden/0/kernel"] == "is not there"
    assert left["task.discounted dense/kernel"] == "has positions that stand for something else than there"
    assert (
        left["correlation.experts customer/expert/kernel"] == "has positions that stand for something else than there"
    )
    assert left["correlation.experts customer/gate_bias"] == "is [16] here and [8] there"
    assert not any(name.startswith("task.next") for name in left)
    assert beginning.changed["encoder.customer"] == ["dropout"]
    assert "train.init_from: encoder.stranger begins anew: is not there" in beginning.warnings()
    warm = values(pipeline)
    for name in ("encoders/stranger/_tables/user..id/embeddings", "heads/discounted/dense/kernel"):
        np.testing.assert_array_equal(warm[name], cold[name])


def test_a_component_of_another_kind_begins_anew(built):
    pipeline, origin = built("correlation.experts={use='mmoe', apply='each'}", "balance.use=fixed")
    assert "balance" in begin_with(pipeline, origin).unused
    assert (
        begin_with(pipeline, origin._replace(tables={**origin.tables, "task": _other(origin.tables["task"])})).left[
            "task.discounted"
        ]
        == "is user_preference here and other there"
    )


def _other(tasks):
    return {**tasks, "discounted": {**tasks["discounted"], "use": "other"}}


def untold(origin, place, *names):
    """An origin whose layer at a place did not say what the axes of its weights stand for."""
    kept = origin.kept
    parts = {**kept.parts, place: replace(kept.parts[place], told=False)}
    return origin._replace(kept=replace(kept, parts=parts, weights={**kept.weights, **{name: {} for name in names}}))


def test_a_layer_that_does_not_say_what_its_axes_are_is_taken_only_where_nothing_moved(built, monkeypatch, trained):
    monkeypatch.delattr(History, "axes")
    pipeline, origin = built()
    assert not begin_with(pipeline, untold(origin, "encoder.past", "encoders/past/items")).left
    pipeline, origin = built(numbered={"item": trained().fold.entities["item"].ids[:0:-1]})
    left = begin_with(pipeline, untold(origin, "encoder.past", "encoders/past/items")).left
    assert left["encoder.past items"].startswith("has an axis that may be that of item.id, which has changed")


def test_neither_is_it_where_values_have_changed(built, monkeypatch):
    def change(dataset):
        items = dataset.entities["item"]
        families = pa.array([family.replace("f3", "f33") for family in items["family"].to_pylist()])
        items = items.set_column(items.column_names.index("family"), "family", families)
        return replace(dataset, entities={**dataset.entities, "item": items})

    monkeypatch.delattr(Features, "axes")
    names = [f"encoders/product/_tables/item..{column}/embeddings" for column in ("id", "family")]
    pipeline, origin = built(change=change)
    left = begin_with(pipeline, untold(origin, "encoder.product", *names)).left
    assert "may be that of item.family" in left["encoder.product _tables/item..family/embeddings"]
    assert "encoder.product _tables/item..id/embeddings" not in left


def test_where_nothing_fits_it_is_refused(built):
    pipeline, origin = built()
    nobody = origin._replace(kept=replace(origin.kept, parts={}))
    with pytest.raises(
        RunError, match=r"nothing of it fits: .*encoder.customer is not there.*leave train.init_from out"
    ):
        begin_with(pipeline, nobody)


def test_rows_without_times_that_were_held_out_otherwise_are_refused(built):
    pipeline, origin = built("rows.items.holdout=0.3")
    with pytest.raises(
        RunError, match=r"held out otherwise than here .*holdout = 0.2.*set their table as it was there"
    ):
        begin_with(pipeline, origin)
    pipeline, origin = built(
        "task.gift.inputs=['customer', 'visit']",
        "task.gift.use=user_preference",
        unsets=("task.department", "rows.items"),
    )
    assert begin_with(pipeline, origin).timeless == origin.kept.timeless


@pytest.mark.parametrize("damage", ["gone", "truncated", "garbage"])
def test_a_damaged_checkpoint_is_one_message(built, tmp_path, damage):
    pipeline, origin = built()
    copy = tmp_path / "copy"
    shutil.copytree(origin.checkpoint, copy)
    (data,) = copy.glob("*.data-*")
    {
        "gone": data.unlink,
        "truncated": lambda: data.write_bytes(data.read_bytes()[:1000]),
        "garbage": lambda: data.write_bytes(bytes(len(data.read_bytes()))),
    }[damage]()
    with pytest.raises(RunError, match=r"copy: is damaged: .*; restore it, or leave train.init_from out"):
        begin_with(pipeline, origin._replace(checkpoint=copy))


@pytest.mark.slow
def test_an_epoch_after_it_is_better_than_one_from_the_start(built):
    figures = []
    for warm in (False, True):
        pipeline, origin = built("train.epochs=1", 'evaluate.prediction_metrics=["auc", "log_loss"]', phase=0)
        if warm:
            begin_with(pipeline, origin)
        Training(pipeline).fit()
        figures.append(evaluate(pipeline, pipeline.protocol()))
    cold, warm = figures
    for key in ("discounted/auc", "discounted/new/auc"):
        assert warm[key] > cold[key] + 0.02
    # Three rows: their log loss tells more than which of them are right.
    assert warm["department/log_loss"] < cold["department/log_loss"] - 0.3
