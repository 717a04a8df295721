from dataclasses import replace

import numpy as np
import pytest

from mtkit.errors import DeclarationError
from mtkit.standard.heads import (
    Content,
    Count,
    MultiLabel,
    Ordinal,
    Pairwise,
    Recommendation,
    Regression,
    UserPreference,
)
from mtkit.testing import check_import_is_light, check_spec
from mtkit.types import RowTable

PREFERENCE = UserPreference(rows="pairs", inputs=("user", "item"), label="preferred")
CONTENT = Content(rows="items", inputs=("item",), label="item.topic")
RECOMMENDATION = Recommendation(rows="pairs", inputs=("user", "task.topic"), label="preferred", stop_gradient=True)
TOPICS = MultiLabel(rows="items", inputs=("item",), label="item.topics")
BOTH = MultiLabel(rows="pairs", inputs=("user",), label=("click", "like"))
REGRESSION = Regression(rows="pairs", inputs=("user", "task.topic"), label="rating")
COUNT = Count(rows="pairs", inputs=("user", "item"), label="rating", power=1.5)
ORDINAL = Ordinal(rows="pairs", inputs=("user", "item"), label="grade", order=("low", "middle", "high"))
PAIRWISE = Pairwise(rows="pairs", inputs=("user", "item"), label="preferred")


@pytest.mark.parametrize(
    "spec", [PREFERENCE, CONTENT, RECOMMENDATION, TOPICS, BOTH, REGRESSION, COUNT, ORDINAL, PAIRWISE]
)
def test_spec(spec):
    check_spec(spec)


@pytest.mark.parametrize(
    ("spec", "classes"), [(PREFERENCE, 2), (CONTENT, 7), (RECOMMENDATION, 2), (TOPICS, 2), (BOTH, 2)]
)
def test_builds_a_linear_head(spec, classes, make_context):
    head = spec.build(make_context("this", tasks=("this", "other"), classes={"this": classes, "other": 3}))
    assert (head.name, head.inputs, head.classes) == ("this", spec.inputs, classes)


def test_several_labels_are_predicted_as_one():
    assert (TOPICS.predicts, TOPICS.labels) == ("item.topics", ("item.topics",))
    assert (BOTH.predicts, BOTH.labels) == ("click + like", ("click", "like"))
    with pytest.raises(DeclarationError, match="at least 2"):
        MultiLabel(rows="pairs", inputs=("user",), label=("click",))


def test_regression_is_of_numbers(make_context):
    assert [spec.numeric for spec in (REGRESSION, PREFERENCE)] == [True, False]
    labels = np.float32([1, 3, 100]), np.float32([1, 1, 0])
    context = replace(make_context("rating", classes={"rating": 2}), labels={"rating": labels}.__getitem__)
    head = REGRESSION.build(context)
    assert (head.name, head.inputs, head.target) == ("rating", REGRESSION.inputs, "standard")
    assert head.scale.statistics() == {"mean": 2, "std": 1}


@pytest.mark.parametrize("target", ["standard", "log", "rank", "none"])
def test_only_logarithms_need_labels_from_0_on(target):
    spec = REGRESSION.model_copy(update={"target": target})
    train = RowTable(
        "pairs", {}, np.arange(3), np.zeros((0, 2)), np.arange(3), labels={"rating": np.float32([-2, 0, 4])}
    )
    found = [
        list(spec.unfit({"pairs": {"train": replace(train, weights={"rating": np.float32(weights)})}}))
        for weights in ([1, 1, 1], [0, 1, 1])
    ]
    if target != "log":
        assert found == [[], []]
        return
    [(path, message)], kept = found
    assert (path, kept) == (("target",), [])
    assert 'is -2 in some, and "log" is for labels from 0 on; set target = "standard"' in message


def _pairs(**columns):
    rows = len(next(iter(columns.values())))
    return RowTable("pairs", {"user": np.array([1, 1, 2, 3])[:rows]}, np.arange(rows), np.zeros((0, 2)), np.arange(rows),
                    labels={name: np.float32(values) for name, values in columns.items()},
                    weights={name: np.ones(rows, np.float32) for name in columns})  # fmt: skip


def _unfit(spec, table):
    return list(spec.unfit({"pairs": {"train": table}}))


def test_counts_are_0_or_more(make_context):
    assert (COUNT.numeric, COUNT.form) == (True, "count")
    assert _unfit(COUNT, _pairs(rating=[0, 0.5, 7])) == []
    [(path, message)] = _unfit(COUNT, _pairs(rating=[0, -0.5, 7]))
    assert path == ("label",)
    assert message.endswith("is -0.5 in some, and counts are 0 or more; the head `regression` is for all numbers")
    labels = np.float32([1, 3, 100]), np.float32([1, 1, 0])
    context = replace(make_context("rating", classes={"rating": 2}), labels={"rating": labels}.__getitem__)
    head = COUNT.build(context)
    assert (head.name, head.inputs, head.power, head.statistics["mean"]) == ("rating", COUNT.inputs, 1.5, 2)
    for power in (0.9, 2.0):
        with pytest.raises(DeclarationError):
            Count(rows="pairs", inputs=("user",), label="rating", power=power)


@pytest.mark.parametrize(
    ("order", "classes", "expected"),
    [
        (("low", "middle", "high"), ("high", "low", "middle"), ["low", "middle", "high"]),
        (("none", "low", "high"), ("high", "low"), ["low", "high"]),
        (("low", "high"), ("high", "low", "middle"), ["high", "low", "middle"]),
        ((), ("10", "2", "-1", "3.5"), ["-1", "2", "3.5", "10"]),
        ((), ("10", "2", "nan"), ["10", "2", "nan"]),
        ((), (), []),
    ],
)
def test_classes_are_in_the_order_that_is_said_or_in_that_of_numbers(order, classes, expected):
    assert list(ORDINAL.model_copy(update={"order": order}).in_order(classes)) == expected


def test_an_order_has_each_class_once():
    with pytest.raises(DeclarationError, match="order has classes twice: a, b, a"):
        Ordinal(rows="pairs", inputs=("user",), label="grade", order=("a", "b", "a"))


def test_pairs_need_a_user_with_rows_of_both_kinds():
    assert _unfit(PAIRWISE, _pairs(preferred=[1, 0, 0])) == []
    message = "no user has rows of 'pairs' with 0 and with 1 in 'preferred', so there are no pairs; the head `user_preference`"
    for table in (_pairs(preferred=[1, 1, 0, 0]), replace(_pairs(preferred=[1, 0]), ids={})):
        [(path, found)] = _unfit(PAIRWISE, table)
        assert path == ("label",)
        assert found.startswith(message)


@pytest.mark.parametrize("head", [UserPreference, Content])
def test_heads_on_embeddings_refuse_predictions(head):
    with pytest.raises(DeclarationError, match=r"task\.topic is the prediction of a task; the head `recommendation`"):
        head(rows="pairs", inputs=("user", "task.topic"), label="preferred")


def test_recommendation_needs_a_prediction():
    with pytest.raises(DeclarationError, match=r"`task\.NAME`, but are \['user', 'item'\]"):
        Recommendation(rows="pairs", inputs=("user", "item"), label="preferred")


def test_import_is_light():
    check_import_is_light("mtkit.standard.heads")
