from dataclasses import replace

import numpy as np
import pytest

from mtkit.errors import DeclarationError
from mtkit.standard.heads import Content, Count, MultiLabel, Regression, UserPreference
from mtkit.types import RowTable


def head(**options):
    return Content(rows="pairs", inputs=("item",), label="topic", **options)


def table(labels, classes=(), weights=None):
    values = np.asarray(labels, np.int32 if classes else np.float32)
    weights = np.ones(len(values), np.float32) if weights is None else np.float32(weights)
    none = np.zeros(len(values))
    return RowTable(
        "pairs", {}, none, np.zeros((0, 2)), none,
        labels={"topic": values}, weights={"topic": weights}, classes={"topic": classes} if classes else {},
    )  # fmt: skip


BINARY = table([0, 1, 0])
SEVERAL = table([0, 1, 2], ("art", "maps", "music"))


def unfit(spec, rows):
    return list(spec.unfit({"pairs": {"train": rows}}))


@pytest.mark.parametrize(
    ("options", "rows", "path", "message"),
    [
        ({"positive_weight": 3.0}, SEVERAL, "positive_weight",
         "label 'topic' has 3 classes, none of which is the positive one; weigh them by class_weights"),
        ({"class_weights": {"Maps": 2.0}}, SEVERAL, "class_weights",
         "label 'topic' has no class 'Maps'; did you mean 'maps'?"),
        ({"class_weights": {"yes": 2.0}}, BINARY, "class_weights", "label 'topic' has no class 'yes'; "),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_the_label_are_refused(options, rows, path, message):
    [(where, found)] = unfit(head(**options), rows)
    assert where == (path,)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"positive_weight": 3.0}, BINARY),
        ({"class_weights": {"0": 1.0, "1": 3.0}}, BINARY),
        ({"class_weights": {"maps": 2.0}}, SEVERAL),
        ({"class_weights": "balanced", "focal": 2.0, "label_smoothing": 0.1}, SEVERAL),
    ],
)
def test_options_that_fit(options, rows):
    assert unfit(head(**options), rows) == []


def test_a_label_that_is_not_there_is_the_only_mistake():
    spec = head(positive_weight=2.0).model_copy(update={"label": "topics"})
    assert [path for path, _ in unfit(spec, SEVERAL)] == [("label",)]


def test_two_weights_of_the_same_rows_are_refused():
    with pytest.raises(DeclarationError, match="both say what rows of 1 count; leave one of them out"):
        head(class_weights="balanced", positive_weight=2.0)


def test_options_that_are_no_shares_or_weights_are_refused():
    for options in ({"label_smoothing": 1.0}, {"focal": -1.0}, {"positive_weight": 0.0}, {"class_weights": "even"}):
        with pytest.raises(DeclarationError):
            head(**options)


def options_of(spec, make_context, labels=(), weights=(), names=()):
    """What the loss is told, of a task called `this`."""
    context = make_context("this", classes={"this": max(2, len(names))})
    given = {"this": (np.asarray(labels), np.asarray(weights, np.float32))}
    return spec.loss_options(replace(context, class_names={"this": tuple(names)}, labels=given.__getitem__))


def test_what_is_not_set_is_not_told(make_context):
    assert options_of(head(), make_context) == {}
    assert options_of(head(focal=2.0), make_context) == {"focal": 2.0}


def test_weights_follow_the_numbers_of_the_classes(make_context):
    assert options_of(head(positive_weight=4), make_context) == {"weights": [1, 4]}
    assert options_of(head(class_weights={"1": 4}), make_context) == {"weights": [1, 4]}
    found = options_of(head(class_weights={"maps": 2, "art": 0.5}), make_context, names=["art", "maps", "music"])
    assert found == {"weights": [0.5, 2, 1]}


def test_balanced_classes_weigh_the_same_and_rows_1_on_average(make_context):
    labels, weights = np.array([0, 0, 0, 1, 2, 2]), np.array([1, 1, 2, 1, 1, 0])
    by_class = options_of(head(class_weights="balanced"), make_context, labels, weights, "abc")["weights"]
    total = np.bincount(labels, np.array(by_class)[labels] * weights)
    np.testing.assert_allclose(total, 2)
    # A class that training rows lack counts 1.
    assert options_of(head(class_weights="balanced"), make_context, [0, 2], [1, 1], "abc")["weights"] == [1, 1, 1]


def test_all_heads_of_classes_have_them(make_context):
    spec = UserPreference(rows="pairs", inputs=("user", "item"), label="liked", focal=1.0, positive_weight=3.0)
    layer = spec.build(make_context("this", classes={"this": 2}))
    assert layer.get_config()["loss"] == {"weights": [1.0, 3.0], "focal": 1.0, "smoothing": 0.0, "kept_negatives": 1.0}


def test_the_share_of_kept_negatives_is_told(make_context):
    context = replace(make_context("this", classes={"this": 2}), kept_negatives={"this": 0.1})
    assert head().loss_options(context) == {"kept_negatives": 0.1}


def test_heads_that_cannot_correct_for_kept_negatives_are_refused():
    rows = replace(BINARY, kept={"topic": 0.1})
    assert unfit(head(), rows) == []
    for spec in (
        Regression(rows="pairs", inputs=("item",), label="topic"),
        Count(rows="pairs", inputs=("item",), label="topic"),
        MultiLabel(rows="pairs", inputs=("item",), label=("topic", "other")),
    ):
        several = replace(
            rows,
            labels={**rows.labels, "other": rows.labels["topic"], spec.predicts: rows.labels["topic"]},
            weights={**rows.weights, "other": rows.weights["topic"], spec.predicts: rows.weights["topic"]},
        )
        [(path, message)] = unfit(spec, several)
        assert path == ("label",)
        assert message.startswith(
            "row table 'pairs' has fewer rows with 0 in 'topic' for each with 1, by which this head would"
        )
