"""A row whose label is masked is as if absent: for losses, gradients, balancers, metrics, baselines, and other tasks.

Masked is a row of weight 0, by its label (null, a horizon that is not over), by what rows count, or by `where` of a task.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_weights import ELSEWHERE, METRICS, TASKS

from mtkit.backend import tf
from mtkit.data.conditions import holding
from mtkit.data.label_statistics import label_statistics
from mtkit.errors import RecipeError
from mtkit.evaluation.baseline_tuning import Comparison
from mtkit.evaluation.constants import constant_metrics
from mtkit.evaluation.metrics import predict_metrics
from mtkit.layers.balancing import Sum, Uncertainty
from mtkit.layers.training_step import PlainStep, TaskLoss
from mtkit.model.forward import Forward
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.runs.keras_api import build
from mtkit.spec import Baseline
from mtkit.types import LabeledRows

few = settings(deadline=None, max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = 12
kept_rows = st.lists(st.booleans(), min_size=ROWS, max_size=ROWS).filter(any)
seeds = st.integers(0, 1000)
PREDICTING = [task for task in TASKS.values() if task != "next"]
TARGETS = ["standard", "log", "rank", "none"]
HEADS = {
    **{head: sets for head, sets in ELSEWHERE.items() if head != "retrieval"},
    **{
        f"listwise-{of}": [*ELSEWHERE["listwise"], f"task.discounted.loss={of}"] for of in ("lambdarank", "approx_ndcg")
    },
    **{f"regression-{of}": [*ELSEWHERE["regression"], f"task.discounted.target={of}"] for of in TARGETS},
}


@pytest.fixture
def other_heads(tiny_recipe):
    """`other_heads(head)`: the tiny recipe with a head that it does not have, made once."""
    return cache(lambda head: build(tiny_recipe, HEADS[head]))


def _batch(pipeline, task, seed):
    model, rows = pipeline.model, pipeline.plan.tasks[task].rows
    numbers = np.random.default_rng(seed).choice(model.feed.size(rows), ROWS, replace=False)
    return model.feed.batch(rows, tf.constant(np.sort(numbers)))


def _masked(batch, label, kept):
    """The batch with rows whose label is garbage of weight 0."""
    labels, there = batch.labels[label].numpy(), np.array(kept)
    labels[~there] = np.nan if np.issubdtype(labels.dtype, np.floating) else 99
    weights = np.where(there, batch.weights[label].numpy(), 0).astype(np.float32)
    return replace(
        batch,
        labels={**batch.labels, label: tf.constant(labels)},
        weights={**batch.weights, label: tf.constant(weights)},
    )


def _without(batch, kept):
    return batch.take(tf.constant(np.flatnonzero(kept)))


def _step(model, balancer, batches, variables):
    """The objective of a balancer for task -> batch, its gradients, and the losses of the tasks."""
    with tf.GradientTape() as tape:
        forward = Forward(model)
        losses = {task: TaskLoss(*forward.losses(task, batch)) for task, batch in batches.items()}
        shares, present = model.shares(losses)
        objective = balancer(shares, present=present)
    gradients = tape.gradient(objective, variables, unconnected_gradients="zero")
    return (
        float(objective),
        [tf.convert_to_tensor(g).numpy() for g in gradients],
        {t: float(s) for t, s in shares.items()},
    )


def _same_steps(one, other):
    assert np.isfinite(one[0])
    assert one[0] == pytest.approx(other[0], abs=1e-6, rel=1e-6)
    assert one[2] == pytest.approx(other[2], abs=1e-6, rel=1e-6)
    for gradient, expected in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-6, rtol=1e-4)


def _check_head(pipeline, task, kept, seed):
    model, label = pipeline.model, pipeline.plan.tasks[task].predicts
    batch, balancer = _batch(pipeline, task, seed), Sum()
    variables = model.trainable_variables
    masked = _step(model, balancer, {task: _masked(batch, label, kept)}, variables)
    _same_steps(masked, _step(model, balancer, {task: _without(batch, kept)}, variables))


@few
@given(kept_rows, seeds)
@pytest.mark.parametrize("task", PREDICTING)
def test_losses_and_gradients(tiny_pipeline, task, kept, seed):
    _check_head(tiny_pipeline, task, kept, seed)


@few
@given(kept_rows, seeds)
@pytest.mark.parametrize("head", HEADS)
def test_losses_and_gradients_of_other_heads(other_heads, head, kept, seed):
    _check_head(other_heads(head), "department" if head == "ordinal" else "discounted", kept, seed)


@few
@given(kept_rows, seeds)
@pytest.mark.parametrize("name", ["fixed", "uncertainty"])
def test_balancers_and_other_tasks_on_the_same_rows(tiny_pipeline, name, kept, seed):
    """What is masked for one task is there for the other, whose loss and gradients are what they were."""
    model = tiny_pipeline.model
    balancer = Sum() if name == "fixed" else Uncertainty(["discounted", "gift"])
    variables = [*model.trainable_variables, *balancer.trainable_variables]
    batch = _batch(tiny_pipeline, "gift", seed)
    masked = _masked(batch, "discounted", kept)
    one = _step(model, balancer, {"discounted": masked, "gift": masked}, variables)
    _same_steps(one, _step(model, balancer, {"discounted": _without(batch, kept), "gift": batch}, variables))


@pytest.mark.parametrize("name", ["fixed", "uncertainty"])
def test_a_task_without_any_label_in_the_batch_is_not_in_the_objective(tiny_pipeline, name):
    model = tiny_pipeline.model
    balancer = Sum() if name == "fixed" else Uncertainty(["discounted", "gift"])
    variables = [*model.trainable_variables, *balancer.trainable_variables]
    batch = _batch(tiny_pipeline, "gift", 0)
    masked = _masked(batch, "discounted", [False] * ROWS)
    one = _step(model, balancer, {"discounted": masked, "gift": masked}, variables)
    other = _step(model, balancer, {"gift": batch}, variables)
    assert one[2].pop("discounted") == 0
    _same_steps(one, other)


def test_the_plain_step_is_the_one_that_is_tested(tiny_pipeline):
    assert isinstance(tiny_pipeline.model.step, PlainStep)


@few
@given(kept_rows, seeds)
@pytest.mark.parametrize("name", METRICS["prediction_metric"])
def test_metrics(name, kept, seed):
    metric, rng, there = METRICS["prediction_metric"][name], np.random.default_rng(seed), np.array(kept)
    for classes, several in ((2, False), (3, False), (0, False), (3, True)):
        shape = (ROWS, 3) if several else ROWS
        labels = rng.integers(0, 2, shape) if several else rng.permutation(np.arange(ROWS) % (classes or ROWS))
        labels = labels.astype(np.int32 if classes > 2 and not several else np.float32)
        predictions = rng.dirichlet(np.ones(3), ROWS) if classes > 2 else rng.random(ROWS)
        groups, unseen = rng.integers(1, 4, ROWS).astype(np.int32), rng.integers(0, 2, ROWS).astype(np.int32)
        garbage = labels.copy()
        garbage[~there] = np.nan if labels.dtype == np.float32 else 99
        inside = rng.random(ROWS) < 0.7
        masked = LabeledRows({}, garbage, np.float32(there), classes, {}, groups, "user", unseen)
        absent = LabeledRows({}, labels, np.ones(ROWS, np.float32), classes, {}, groups, "user", unseen).take(
            np.flatnonzero(there)
        )
        one = predict_metrics("task", predictions, masked, {name: metric}, {"some": inside})
        other = predict_metrics("task", predictions[there], absent, {name: metric}, {"some": inside[there]})
        assert one == pytest.approx(dict(other), abs=1e-6, nan_ok=True)
        assert one.counts == other.counts
        for path, sums in one.sums.items():
            np.testing.assert_array_equal(sums.users, other.sums[path].users)
            np.testing.assert_allclose(sums.rows, other.sums[path].rows)
            for key, total in sums.totals.items():
                np.testing.assert_allclose(total, other.sums[path].totals[key], atol=1e-6)


@few
@given(kept_rows, seeds)
@pytest.mark.parametrize("target", ["standard", "log", "rank"])
def test_scales_of_numbers(target, kept, seed):
    labels, there = np.random.default_rng(seed).gamma(2, 2, ROWS), np.array(kept)
    masked = label_statistics(target, np.where(there, labels, np.nan), np.float32(there))
    absent = label_statistics(target, labels[there], np.ones(there.sum(), np.float32))
    for key, value in masked.items():
        np.testing.assert_allclose(value, absent[key], atol=1e-6)


class Spy(Baseline):
    """Notes what it learns from."""

    form = "prediction"

    def predict(self, train, rows):
        self.seen.append((train, rows))
        return np.full(len(rows.labels), 0.5)


WHERE = 'task.discounted.where={channel = "web"}'


@pytest.fixture
def clicked(tiny_recipe, tmp_path, monkeypatch):
    """The tiny recipe with `discounted` on the rows of one channel alone, not trained."""
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path))
    return build(tiny_recipe, [WHERE, 'evaluate.prediction_metrics=["auc", "log_loss"]'])


def _inside(pipeline, part):
    table = pipeline.tables["lines"][part]
    spec, events = pipeline.plan.tasks["discounted"], pipeline.fold.events
    return holding(spec.where, events.columns, pipeline.fold.schema.interactions)[table.event]


def test_where_of_a_task_leaves_rows_out_of_its_loss(clicked):
    model, rows = clicked.model, np.arange(200)
    batch, inside = model.feed.batch("lines", tf.constant(rows)), _inside(clicked, "train")[rows]
    assert 0 < inside.mean() < 1
    variables = model.trainable_variables
    one = _step(model, Sum(), {"discounted": batch, "gift": batch}, variables)
    _same_steps(one, _step(model, Sum(), {"discounted": _without(batch, inside), "gift": batch}, variables))


def test_where_of_a_task_leaves_rows_out_of_its_metrics_and_baselines(clicked, monkeypatch):
    inside, train = _inside(clicked, "eval"), _inside(clicked, "train")
    measured = evaluate(clicked, tasks=["discounted", "gift"])
    assert measured.counts["discounted"] == inside.sum()
    assert measured.counts["gift"] == len(inside)
    answers = clicked.model.predict(clicked.eval_data("lines"), verbose=0)["discounted"][: len(inside)]
    labels = clicked.tables["lines"]["eval"].labels["discounted"]
    chance = np.where(labels > 0, answers, 1 - answers)[inside]
    assert measured["discounted/log_loss"] == pytest.approx(-np.log(chance).mean(), rel=1e-4)
    spy, seen = Spy(), []
    monkeypatch.setattr(Spy, "seen", seen, raising=False)
    comparison = Comparison(
        clicked.plan, clicked.fold, clicked.tables, clicked.recipe.evaluate, clicked.protocol()
    )  # fmt: skip
    judged = comparison.judge({"spy": {"discounted": spy, "gift": spy}})["spy"]
    assert [len(known.labels) for known, _ in seen] == [train.sum(), len(train)]
    assert judged.counts["discounted"] == inside.sum()
    shares = clicked.tables["lines"]["train"].labels["discounted"][train].mean()
    constant = constant_metrics(clicked.plan, clicked.tables, clicked.recipe.evaluate)["discounted/log_loss"]
    expected = -np.log(np.where(labels[inside] > 0, shares, 1 - shares)).mean()
    assert constant == pytest.approx(expected, rel=1e-5)


def test_scales_are_learned_on_the_rows_of_the_task(tiny_recipe):
    pipeline = build(tiny_recipe, [*ELSEWHERE["regression"], WHERE])
    labels, inside = pipeline.tables["lines"]["train"].labels["discounted"], _inside(pipeline, "train")
    scale = pipeline.model.heads["discounted"].scale.statistics()
    assert scale["mean"] == pytest.approx(labels[inside].mean())


def test_rows_that_are_no_interactions_have_no_condition(tiny_recipe):
    with pytest.raises(RecipeError, match=r"task\.department\.where: rows of 'items' are no single interactions"):
        build(tiny_recipe, ['task.department.where={channel = "web"}'])
    with pytest.raises(RecipeError, match="is null in all"):
        build(tiny_recipe, ['task.discounted.where={channel = "nowhere"}'])


def test_a_condition_is_checked_and_may_have_a_name(tiny_recipe):
    with pytest.raises(RecipeError, match="'chanel' is no column of the interactions"):
        load_recipe(tiny_recipe, ['task.discounted.where={chanel = "web"}'])
    named = load_recipe(tiny_recipe, ['events.web.where={channel = "web"}', "task.discounted.where=web"])
    assert named.task["discounted"].where.in_words() == "channel = web"


def test_a_candidate_without_a_label_is_no_candidate_of_others(tiny_recipe):
    pytest.importorskip("mtkit_tfrs")
    sets = [
        "task.next.use=tfrs_retrieval",
        "task.next.rows=lines",
        "task.next.evaluate=windows",
        "task.next.label=gift",
    ]
    pipeline = build(tiny_recipe, sets)
    model, kept = pipeline.model, np.arange(ROWS) % 3 > 0
    batch = _batch(pipeline, "next", 0)
    one = _step(model, Sum(), {"next": _masked(batch, "gift", kept)}, model.trainable_variables)
    _same_steps(one, _step(model, Sum(), {"next": _without(batch, kept)}, model.trainable_variables))
