from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from mtkit.standard.heads import Content, MultiLabel, Recommendation, Regression, UserPreference
from mtkit.testing import check_import_is_light, check_spec
from mtkit.types import RowTable

PREFERENCE = UserPreference(rows="pairs", inputs=("user", "item"), label="preferred")
CONTENT = Content(rows="items", inputs=("item",), label="item.topic")
RECOMMENDATION = Recommendation(rows="pairs", inputs=("user", "task.topic"), label="preferred", stop_gradient=True)
TOPICS = MultiLabel(rows="items", inputs=("item",), label="item.topics")
BOTH = MultiLabel(rows="pairs", inputs=("user",), label=("click", "like"))
REGRESSION = Regression(rows="pairs", inputs=("user", "task.topic"), label="rating")


@pytest.mark.parametrize("spec", [PREFERENCE, CONTENT, RECOMMENDATION, TOPICS, BOTH, REGRESSION])
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
    with pytest.raises(ValidationError, match="at least 2"):
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


@pytest.mark.parametrize("head", [UserPreference, Content])
def test_heads_on_embeddings_refuse_predictions(head):
    with pytest.raises(ValidationError, match=r"task\.topic is the prediction of a task; the head `recommendation`"):
        head(rows="pairs", inputs=("user", "task.topic"), label="preferred")


def test_recommendation_needs_a_prediction():
    with pytest.raises(ValidationError, match=r"`task\.NAME`, but are \['user', 'item'\]"):
        Recommendation(rows="pairs", inputs=("user", "item"), label="preferred")


def test_import_is_light():
    check_import_is_light("mtkit.standard.heads")
