"""What rows count, in losses, metrics and baselines: a row of weight 2 is two rows, and one of weight 0 is none."""

from dataclasses import replace
from functools import cache
from typing import ClassVar, Literal, get_args, get_origin

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_shop import COLORS

from mtkit.backend import tf
from mtkit.evaluation.metrics import RankingProtocol, own_metrics, predict_metrics, rank_metrics
from mtkit.model.forward import Forward
from mtkit.recipe.registry import Registry
from mtkit.runs.keras_api import build
from mtkit.spec import SelfSupervisedTask
from mtkit.types import ROW_WEIGHT, Events, LabeledRows, Ragged, RowTable

#: Options that have no default.
OPTIONS = {
    "content_knn": {"by": "text"}, "diversity": {"by": "item.category"}, "miscalibration": {"by": "item.category"},
    "profit": {"gain": 10.0, "cost": 1.5},
}  # fmt: skip
#: Tasks of the tiny recipe that have a head. Heads of other forms and plugins are trained by the same lines of the core.
TASKS = {"gated_retrieval": "next", "user_preference": "discounted", "recommendation": "gift", "content": "department"}
#: Heads that the tiny recipe does not have, and what makes one of its tasks have them.
ELSEWHERE = {
    "regression": ["task.discounted.use=regression"],
    "multi_label": ["task.discounted.use=multi_label", 'task.discounted.label=["discounted", "gift"]'],
    "count": ["task.discounted.use=count"],
    "ordinal": [
        "task.department.use=ordinal",
        f"task.department.order={[f'{color} {load}' for color in COLORS for load in ('light', 'heavy')]}",
    ],
    "pairwise": ["task.discounted.use=pairwise"],
    "listwise": ["task.discounted.use=listwise", "task.discounted.by=basket"],
    "graded_listwise": ["task.discounted.use=graded_listwise", "task.discounted.by=basket"],
    "conditional": ["task.discounted.use=conditional", "task.discounted.given=gift"],
    "fm": ["task.discounted.use=fm"],
    "retrieval": ["task.next.use=retrieval"],
    "final_mlp": ["task.discounted.use=final_mlp", "task.discounted.first_gate=['customer']"],
}
#: What a head makes of a label -> number of its classes, and the form (`LabeledRows.form`).
FORMS = {
    "binary": (2, ""), "classes": (3, ""), "numeric": (0, ""),
    "count": (0, "count"), "ordinal": (3, "ordinal"), "scores": (2, "scores"),
    "grades": (0, "grades"),
}  # fmt: skip
#: Metrics of these labels are measured for what heads make of them, too.
ALSO = {"count": "numeric", "ordinal": "classes"}
few = settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])


def offered(kind):
    """Name and component of what mtkit itself offers."""
    entries = [entry for entry in Registry.installed().entries() if (entry.kind, entry.distribution) == (kind, "mtkit")]
    return {entry.name: entry.load()(**OPTIONS.get(entry.name, {})) for entry in entries if kind != "task_head"} or {
        entry.name: entry.load() for entry in entries
    }


def test_every_head_is_tested():
    assert offered("task_head").keys() == TASKS.keys() | ELSEWHERE.keys()


def _settings(kind):
    """Id and component of what mtkit offers, as it is by default and with every other choice of an option of few."""
    for name, component in offered(kind).items():
        yield name, component
        for key, field in type(component).model_fields.items():
            for choice in get_args(field.annotation) if get_origin(field.annotation) is Literal else ():
                if choice != getattr(component, key):
                    yield f"{name}-{choice}", component.model_copy(update={key: choice})


METRICS = {kind: dict(_settings(kind)) for kind in ("prediction_metric", "ranking_metric")}


counts = st.lists(st.integers(0, 2), min_size=12, max_size=12).filter(any)


def _mean(model, task, batch):
    """The mean of a task's losses by their weights on a batch, and its gradients."""
    with tf.GradientTape() as tape:
        losses, weights = Forward(model).losses(task, batch)
        mean = tf.math.divide_no_nan(tf.reduce_sum(weights * losses), tf.reduce_sum(weights))
    gradients = tape.gradient(mean, model.trainable_variables, unconnected_gradients="zero")
    return float(mean), [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


@few
@given(counts, st.integers(0, 1000))
@pytest.mark.parametrize("task", TASKS.values())
def test_losses(tiny_pipeline, task, times, seed):
    """Dropout is off, and losses that couple rows see rows of the same user beside one another."""
    _check_losses(tiny_pipeline, task, times, seed)


@few
@given(counts, st.integers(0, 1000))
@pytest.mark.parametrize("head", ELSEWHERE)
def test_losses_of_other_heads(other_heads, head, times, seed):
    of_head = {"ordinal": "department", "retrieval": "next"}
    _check_losses(other_heads(head), of_head.get(head, "discounted"), times, seed)


@pytest.fixture
def other_heads(tiny_recipe):
    """`other_heads(head)`: the tiny recipe with a head that it does not have, made once."""
    return cache(lambda head: build(tiny_recipe, ELSEWHERE[head]))


def _check_losses(pipeline, task, times, seed):
    model, rows = pipeline.model, pipeline.plan.tasks[task].rows
    rng, size = np.random.default_rng(seed), model.feed.size(rows)
    numbers = (rng.integers(0, size) + rng.integers(0, 30, len(times))) % size
    batch = model.feed.batch(rows, tf.constant(numbers))
    weighed = replace(batch, dense={**batch.dense, ROW_WEIGHT: tf.constant(times, tf.float32)})
    one, other = (
        _mean(model, task, weighed),
        _mean(model, task, model.feed.batch(rows, tf.constant(np.repeat(numbers, times)))),
    )
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    for gradient, expected in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=2e-6)


def _labeled(rng, classes, size=12):
    """Rows with features of every kind; both classes, or several numbers, are there."""
    labels = rng.permutation(np.arange(size) % (classes or size))
    columns = {
        "user.id": rng.integers(1, 4, size).astype(np.int32),
        "user.town": rng.choice(np.array(["a", "b", None], object), size),
        "context.hour": np.where(rng.random(size) < 0.1, np.nan, labels + rng.normal(size=size)).astype(np.float32),
        "item.title": np.array([f"thing {number}" for number in rng.integers(0, 4, size)], object),
    }
    kinds = {"user.id": "id", "user.town": "categorical", "context.hour": "numeric", "item.title": "text"}
    labels = labels.astype(np.int32 if classes > 2 else np.float32)
    return LabeledRows(columns, labels, np.ones(size, np.float32), classes, kinds, columns["user.id"], "user")


def _taken(rows, numbers):
    columns = {name: values[numbers] for name, values in rows.columns.items()}
    return replace(
        rows, columns=columns, labels=rows.labels[numbers], weights=rows.weights[numbers], groups=rows.groups[numbers]
    )


def _same(one, other):
    """Values and what users add to them are the same."""
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert value == pytest.approx(other[key], rel=1e-5, abs=1e-6, nan_ok=True), key
    for path, sums in one.sums.items():
        for key, total in sums.totals.items():
            np.testing.assert_array_equal(sums.users, other.sums[path].users)
            np.testing.assert_allclose(total, other.sums[path].totals[key], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(sums.weights[key], other.sums[path].weights[key], rtol=1e-5)


@few
@given(counts, st.integers(0, 1000))
@pytest.mark.parametrize("name", METRICS["prediction_metric"])
def test_metrics_of_predictions(name, times, seed):
    metric = METRICS["prediction_metric"][name]
    for form, (classes, made_of_it) in FORMS.items():
        rng = np.random.default_rng(seed)
        rows = replace(_labeled(rng, classes), form=made_of_it)
        predictions = rng.integers(1, 9, (12, 3)) / 10 if classes > 2 else rng.integers(1, 9, 12) / 10
        predictions = (predictions / predictions.sum(1, keepdims=True) if classes > 2 else predictions).astype(
            np.float32
        )
        repeated = np.repeat(np.arange(12), times)
        slices = {"some": rng.random(12) < 0.7}
        weighed = predict_metrics("task", predictions, replace(rows, weights=np.float32(times)), {name: metric}, slices)
        twice = predict_metrics(
            "task", predictions[repeated], _taken(rows, repeated), {name: metric}, {"some": slices["some"][repeated]}
        )
        assert bool(weighed) == bool({form, ALSO.get(form)} & metric.labels)
        _same(weighed, twice)


SEVERAL = [name for name, metric in METRICS["prediction_metric"].items() if "multi_label" in metric.labels]


@few
@given(counts, st.integers(0, 1000))
@pytest.mark.parametrize("name", SEVERAL)
def test_metrics_of_several_classes_a_row(name, times, seed):
    metric, rng = METRICS["prediction_metric"][name], np.random.default_rng(seed)
    labels, predictions = (rng.random((12, 3)) < 0.4).astype(np.float32), rng.random((12, 3)).astype(np.float32)
    rows = replace(_labeled(rng, 3), labels=labels, unseen=rng.integers(0, 2, 12).astype(np.int32))
    repeated = np.repeat(np.arange(12), times)
    weighed = predict_metrics("task", predictions, replace(rows, weights=np.float32(times)), {name: metric})
    taken = replace(_taken(rows, repeated), unseen=rows.unseen[repeated])
    assert weighed
    _same(weighed, predict_metrics("task", predictions[repeated], taken, {name: metric}))


@few
@given(counts, st.integers(0, 1000))
@pytest.mark.parametrize("name", METRICS["ranking_metric"])
def test_metrics_of_rankings(name, times, seed):
    metric, rng = METRICS["ranking_metric"][name], np.random.default_rng(seed)
    scores = rng.integers(0, 9, (12, 8)).astype(np.float32)
    vectors = rng.random((8, 3))
    vectors[0] = 0
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-9)
    protocol = RankingProtocol(
        {name: metric},
        (2, 3),
        ["new"],
        100,
        shares=np.append(1, rng.uniform(0.1, 1, 7)),
        vectors=dict.fromkeys(metric.reads, vectors),
    )
    targets, own = (Ragged(np.arange(13), {key: rng.integers(1, 8, 12).astype(np.int32)}) for key in ("item", "id"))
    none = np.zeros(0, np.int64)
    table = RowTable(
        "rows",
        {"user": rng.integers(1, 5, 12).astype(np.int32)},
        none,
        none.reshape(0, 2),
        none,
        lists={"target": targets, "own": own},
    )
    repeated = np.repeat(np.arange(12), times)
    weighed = replace(table, dense={ROW_WEIGHT: np.float32(times)})
    one = rank_metrics("task", lambda rows: scores[rows], weighed, protocol)
    _same(one, rank_metrics("task", lambda rows: scores[repeated[rows]], table.take(repeated), protocol))
    assert one.counts["task"] == np.count_nonzero(times)


class Own(SelfSupervisedTask):
    """Measures a mean and nothing else."""

    metrics: ClassVar = {"error": True}


@few
@given(counts, st.integers(0, 1000))
def test_metrics_that_tasks_measure_themselves(times, seed):
    rng, none, repeated = np.random.default_rng(seed), np.zeros(0, np.int64), np.repeat(np.arange(12), times)
    ids, (values, weights) = {"item": rng.integers(1, 5, 12).astype(np.int32)}, rng.random((2, 12))
    table = RowTable("rows", ids, none, none.reshape(0, 2), none, dense={ROW_WEIGHT: np.float32(times)})
    spec = Own(rows="rows", encoder="text")
    twice = replace(table, dense={}).take(repeated)
    one = own_metrics("task", spec, {"error": (values, weights)}, table)
    _same(one, own_metrics("task", spec, {"error": (values[repeated], weights[repeated])}, twice))


PREDICTING = {n: b for n, b in offered("baseline").items() if b.form == "prediction" and b.weighs}
#: Baselines to which a row of weight 2 is not two rows, though they learn by weights, and why.
BY_ROWS = {"gradient_boosting": "leaves hold 20 rows at least, whatever they weigh"}


@few
@given(st.lists(st.integers(0, 2), min_size=60, max_size=60), st.integers(0, 100))
@pytest.mark.parametrize("name", PREDICTING)
def test_baselines_of_predictions(name, times, seed):
    if name in BY_ROWS:
        times = np.minimum(times, 1)
    for classes in (2, 3, 0):
        rng = np.random.default_rng(seed)
        train, rows = _labeled(rng, classes, 60), _labeled(rng, classes)
        repeated = np.repeat(np.arange(60), times)
        if len(np.unique(train.labels[repeated])) < 2 or (not classes and not PREDICTING[name].numeric):
            continue
        weighed = PREDICTING[name].predict(replace(train, weights=np.float32(times)), rows)
        twice = PREDICTING[name].predict(_taken(train, repeated), rows)
        if weighed is None:
            assert twice is None
        else:
            np.testing.assert_allclose(weighed, twice, rtol=5e-3, atol=2e-3)


def test_trees_learn_by_weights():
    rows = _labeled(np.random.default_rng(0), 2, 200)
    weights = np.where(rows.labels > 0, 9, 1).astype(np.float32)
    alike, weighed = (PREDICTING["gradient_boosting"].predict(r, rows) for r in (rows, replace(rows, weights=weights)))
    assert (weighed > alike).mean() > 0.9


RANKING = {n: b for n, b in offered("baseline").items() if b.form == "retrieval"}
#: As what an event of weight 2 counts twice: baselines count distinct users, or distinct baskets of a user.
TWICE = {
    "popularity": "user", "recency_popularity": "user", "fading_popularity": "user",
    "own_frequency": "basket", "own_recency": "basket", "ials": "alpha",
}  # fmt: skip


def test_every_baseline_that_counts_events_by_weight_is_tested():
    assert {name for name, baseline in RANKING.items() if baseline.weighs} == TWICE.keys()


def _events(user, item, group, time, weight=None):
    order = np.lexsort((time, user))
    ids = {"user": user[order].astype(np.int32), "item": item[order].astype(np.int32)}
    weight = None if weight is None else np.float32(weight)[order]
    return Events(ids, time[order], group[order], pa.table({}), np.searchsorted(user[order], np.arange(11)), weight)


@few
@given(st.lists(st.integers(0, 2), min_size=30, max_size=30), st.integers(0, 1000))
@pytest.mark.parametrize("name", TWICE)
def test_baselines_of_rankings(name, times, seed):
    rng, times = np.random.default_rng(seed), np.array(times)
    group = rng.integers(0, 12, 30)
    user, item, time = 1 + group % 4, rng.integers(1, 6, 30), group * 86400
    users, cut = np.arange(1, 5), 20 * 86400
    baseline, twin = RANKING[name], TWICE[name]
    if twin == "alpha":
        there = times > 0
        one = baseline.rank(_events(user, item, group, time, 2 * there), cut, 6)
        other = baseline.model_copy(update={"alpha": 2 * baseline.alpha})
        two = other.rank(_events(*(values[there] for values in (user, item, group, time))), cut, 6)
    else:
        rows, copy = np.repeat(np.arange(30), times), np.concatenate([np.arange(n) for n in times]).astype(int)
        one = baseline.rank(_events(user, item, group, time, times), cut, 6)
        users_of = user[rows] + (5 * copy if twin == "user" else 0)
        two = baseline.rank(_events(users_of, item[rows], group[rows] + 100 * copy, time[rows]), cut, 6)
    np.testing.assert_allclose(one(users), two(users), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", RANKING)
def test_weights_of_1_change_no_ranking(name):
    rng = np.random.default_rng(0)
    group = rng.integers(0, 12, 40)
    given = 1 + group % 4, rng.integers(1, 6, 40), group, group * 86400
    vectors = {"vectors": {"text": rng.random((6, 3))}} if name == "content_knn" else {}
    one, two = (RANKING[name].rank(_events(*given, w), 20 * 86400, 6, **vectors) for w in (None, np.ones(40)))
    np.testing.assert_array_equal(one(np.arange(1, 5)), two(np.arange(1, 5)))
