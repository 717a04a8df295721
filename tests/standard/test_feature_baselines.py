import numpy as np
import pytest

from mtkit.standard.feature_baselines import GradientBoosting, LogisticRegression, Ridge
from mtkit.standard.prediction_baselines import Majority
from mtkit.testing import check_spec
from mtkit.types import LabeledRows

KINDS = {"user.id": "id", "user.town": "categorical", "context.hour": "numeric", "item.text": "text"}
TRAIN, ROWS = slice(0, 600), slice(600, 900)


@pytest.fixture
def shop():
    """Columns of 900 rows, and their chances: of the hour, of who it is, and of a town at noon."""
    rng = np.random.default_rng(0)
    user = rng.integers(1, 8, 900).astype(np.int32)
    town = rng.choice(np.array(["a", "b", None], object), 900)
    hour = np.where(rng.random(900) < 0.2, np.nan, rng.normal(12, 4, 900)).astype(np.float32)
    chance = 0.15 + 0.5 * (user > 4) + 0.3 * (town == "a") * (np.nan_to_num(hour) > 12)
    text = np.array(["thing"] * 900, object)
    return {"user.id": user, "user.town": town, "context.hour": hour, "item.text": text}, chance


def labeled(columns, labels, part, weights=None, classes=2, kinds=KINDS):
    weights = np.ones(len(labels)) if weights is None else weights
    columns = {address: values[part] for address, values in columns.items()}
    kinds = {address: kinds[address] for address in columns}
    return LabeledRows(columns, labels[part], weights[part].astype(np.float32), classes, kinds)


def log_loss(labels, predictions):
    return -np.log(np.where(labels == 1, predictions, 1 - predictions)).mean()


@pytest.mark.parametrize("baseline", [LogisticRegression(), GradientBoosting(), Ridge()], ids=repr)
def test_specs(baseline):
    check_spec(baseline)


def by_gradient(features, labels, weights, c, steps=20000):
    """Coefficients and intercept that minimize the l2-regularized log loss of scikit-learn, by plain gradient descent."""
    x = np.column_stack([features, np.ones(len(features))])
    ridge, w = np.append(np.ones(features.shape[1]), 0), np.zeros(features.shape[1] + 1)
    step = 1 / (c * weights.max() * np.linalg.norm(x, 2) ** 2 / 4 + 1)
    for _ in range(steps):
        w -= step * (ridge * w + c * x.T @ (weights * (1 / (1 + np.exp(-x @ w)) - labels)))
    return w


def dense(columns):
    """Standardized hours, whether one is missing, and a column for each user and town."""
    hour = columns["context.hour"]
    known = hour[TRAIN][~np.isnan(hour[TRAIN])].astype(float)
    features = [np.where(np.isnan(hour), 0, (hour - known.mean()) / known.std()), np.isnan(hour)]
    features += [columns["user.id"] == user for user in range(1, 8)] + [columns["user.town"] == town for town in "ab"]
    return np.column_stack(features).astype(float)


def test_ridge_equals_the_normal_equations_on_dense_features(shop):
    columns, chance = shop
    rng = np.random.default_rng(1)
    labels, weights = chance + rng.normal(size=900), rng.random(900) + 0.5
    train, rows = labeled(columns, labels, TRAIN, weights, 0), labeled(columns, labels, ROWS, classes=0)
    features, weights = dense(columns), train.weights.astype(float)
    center, mean = (np.average(values[TRAIN], axis=0, weights=weights) for values in (features, labels))
    x = features[TRAIN] - center
    w = np.linalg.solve(x.T @ (weights[:, None] * x) + 7 * np.eye(11), x.T @ (weights * (labels[TRAIN] - mean)))
    np.testing.assert_allclose(Ridge(alpha=7).predict(train, rows), mean + (features[ROWS] - center) @ w, atol=1e-4)
    assert Ridge(alphas=(2, 3)).grid() == (Ridge(alpha=2, alphas=(2, 3)), Ridge(alpha=3, alphas=(2, 3)))


def test_ridge_is_of_numbers_alone(shop):
    columns, chance = shop
    labels = (chance > 0.5).astype(np.float32)
    assert Ridge().predict(labeled(columns, labels, TRAIN), labeled(columns, labels, ROWS)) is None
    constant = np.full(900, 2.5)
    train, rows = labeled(columns, constant, TRAIN, classes=0), labeled(columns, constant, ROWS, classes=0)
    assert (Ridge().predict(train, rows) == 2.5).all()


def test_logistic_regression_equals_gradient_descent_on_dense_features(shop):
    columns, chance = shop
    rng = np.random.default_rng(1)
    labels, weights = (rng.random(900) < chance).astype(np.float32), rng.random(900) + 0.5
    train, rows = labeled(columns, labels, TRAIN, weights), labeled(columns, labels, ROWS)
    features = dense(columns)
    w = by_gradient(features[TRAIN], labels[TRAIN], train.weights.astype(float), 0.1)
    expected = 1 / (1 + np.exp(-features[ROWS] @ w[:-1] - w[-1]))
    np.testing.assert_allclose(LogisticRegression(c=0.1).predict(train, rows), expected, atol=2e-3)


@pytest.mark.parametrize("baseline", [LogisticRegression(), GradientBoosting(leaves=8)], ids=["linear", "trees"])
def test_they_learn_what_the_majority_cannot(baseline, shop):
    columns, chance = shop
    labels = (np.random.default_rng(1).random(900) < chance).astype(np.float32)
    train, rows = labeled(columns, labels, TRAIN), labeled(columns, labels, ROWS)
    found, majority = (log_loss(rows.labels, b.predict(train, rows)) for b in (baseline, Majority()))
    assert found < majority - 0.05


def test_trees_see_that_a_feature_counts_only_beside_another(shop):
    columns = {name: shop[0][name] for name in ("user.town", "context.hour")}
    labels = ((columns["user.town"] == "a") ^ (np.nan_to_num(columns["context.hour"]) > 12)).astype(np.float32)
    train, rows = labeled(columns, labels, TRAIN), labeled(columns, labels, ROWS)
    linear, trees = (b.predict(train, rows) for b in (LogisticRegression(), GradientBoosting()))
    assert ((trees > 0.5) == rows.labels).mean() > 0.95
    assert ((linear > 0.5) == rows.labels).mean() < 0.8


def test_trees_learn_numbers(shop):
    columns, chance = shop
    train, rows = labeled(columns, chance, TRAIN, classes=0), labeled(columns, chance, ROWS, classes=0)
    error = np.abs(GradientBoosting().predict(train, rows) - rows.labels).mean()
    assert error < 0.2 * np.abs(rows.labels - train.labels.mean()).mean()
    assert GradientBoosting.numeric
    assert not LogisticRegression.numeric


@pytest.mark.parametrize("baseline", [LogisticRegression(), GradientBoosting(trees=20)], ids=["linear", "trees"])
def test_classes_of_which_some_do_not_occur(baseline, shop):
    columns, _ = shop
    labels = np.where(columns["user.id"] > 4, 3, 1).astype(np.int32)
    predictions = baseline.predict(
        labeled(columns, labels, TRAIN, classes=5), labeled(columns, labels, ROWS, classes=5)
    )
    assert predictions.shape == (300, 5)
    np.testing.assert_allclose(predictions.sum(axis=1), 1)
    assert not predictions[:, [0, 2, 4]].any()
    assert (predictions.argmax(axis=1) == labels[ROWS]).all()


@pytest.mark.parametrize("baseline", [LogisticRegression(), GradientBoosting(trees=20)], ids=["linear", "trees"])
def test_rows_of_weight_zero_and_the_asked_labels_do_not_matter(baseline, shop):
    columns, chance = shop
    rng = np.random.default_rng(1)
    labels, weights = (rng.random(900) < chance).astype(np.float32), (rng.random(900) < 0.7).astype(np.float32)
    others = np.where(weights > 0, labels, 1 - labels)
    others[ROWS] = 0
    one, other = (
        baseline.predict(labeled(columns, values, TRAIN, weights), labeled(columns, values, ROWS))
        for values in (labels, others)
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("baseline", [LogisticRegression(), GradientBoosting()], ids=["linear", "trees"])
def test_where_nothing_can_be_learned(baseline, shop):
    columns, _ = shop
    ones = np.ones(900, np.float32)
    train, rows = labeled(columns, ones, TRAIN), labeled(columns, ones, ROWS)
    np.testing.assert_array_equal(baseline.predict(train, rows), np.ones(300))
    texts = {"item.text": columns["item.text"]}
    assert baseline.predict(labeled(texts, ones, TRAIN), labeled(texts, ones, ROWS)) is None


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
@pytest.mark.parametrize("baseline", [LogisticRegression(), GradientBoosting(trees=5), Ridge()], ids=repr)
def test_a_column_that_begins_after_training_tells_nothing(baseline, kind, shop):
    columns, chance = shop
    late = np.full(900, np.nan, np.float32) if kind == "numeric" else np.full(900, None, object)
    late[ROWS] = 3.5 if kind == "numeric" else "late"
    classes = 0 if isinstance(baseline, Ridge) else 2
    labels = chance if classes == 0 else (chance > 0.5).astype(np.float32)

    def predictions(given):
        kinds = KINDS | {"context.late": kind}
        parts = [labeled(given, labels, part, classes=classes, kinds=kinds) for part in (TRAIN, ROWS)]
        return baseline.predict(*parts), Majority().predict(*parts)

    found, _ = predictions(columns | {"context.late": late})
    np.testing.assert_array_equal(found, predictions(columns)[0])
    alone, majority = predictions({"context.late": late})
    np.testing.assert_array_equal(alone, majority)


def test_a_draw_of_rows_is_the_same_each_time_and_all_that_counts(shop):
    columns, chance = shop
    labels = (np.random.default_rng(1).random(900) < chance).astype(np.float32)
    train, rows = labeled(columns, labels, TRAIN), labeled(columns, labels, ROWS)
    few = LogisticRegression(max_rows=50)
    np.testing.assert_array_equal(few.predict(train, rows), few.predict(train, rows))
    assert (few.predict(train, rows) != LogisticRegression(max_rows=50, seed=1).predict(train, rows)).any()
    whole = LogisticRegression(max_rows=600).predict(train, rows)
    np.testing.assert_array_equal(whole, LogisticRegression(seed=1).predict(train, rows))


def test_grids():
    assert [baseline.c for baseline in LogisticRegression().grid()] == [0.1, 1, 10]
    assert len({(one.learning_rate, one.leaves) for one in GradientBoosting().grid()}) == 4


@pytest.mark.parametrize("weighted", [False, True])
def test_values_of_lists_are_features(weighted):
    rng = np.random.default_rng(3)
    there = rng.random((900, 3)) < 0.4
    weights = np.where(there, rng.integers(1, 4, (900, 3)), 0).astype(np.float32)
    values = np.where(there, np.array(["a", "b", "c"], object), None)
    lists = np.zeros(values.shape, [("value", object), ("weight", np.float32)])
    lists["value"], lists["weight"] = values, weights
    size = weights[:, 1] if weighted else there[:, 1]
    labels = (size + rng.normal(scale=0.3, size=900) > 0.5).astype(np.float32)
    columns, kinds = {"item.tags": lists if weighted else values}, {"item.tags": "list"}
    train, rows = (labeled(columns, labels, part, kinds=kinds) for part in (TRAIN, ROWS))
    for baseline in (LogisticRegression(c=10), GradientBoosting(trees=20)):
        assert log_loss(rows.labels, baseline.predict(train, rows)) < 0.3, "the majority has 0.67"
    dense = weights if weighted else there
    expected = by_gradient(dense[TRAIN].astype(float), labels[TRAIN], train.weights.astype(float), 1)
    scores = np.column_stack([dense[ROWS], np.ones(300)]) @ expected
    found = LogisticRegression(iterations=1000).predict(train, rows)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-scores)), atol=1e-3)
