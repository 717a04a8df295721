import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from mtkit.evaluation import calibration
from mtkit.evaluation.calibration import Isotonic, Temperature, error, error_by_chance, fit, learn, log_loss, part_of
from mtkit.standard.order_metrics import Auc
from mtkit.types import LabeledRows


def made_up(rows=4000, seed=0, shift=-2.0):
    """Labels of 0 and 1, the probabilities that they are drawn from, and weights of 1 and 2."""
    random = np.random.default_rng(seed)
    true = expit(random.normal(shift, 1.5, rows))
    return (random.random(rows) < true).astype(np.float32), true.astype(np.float32), random.integers(1, 3, rows) * 1.0


def bent(probabilities, slope=2.0, bias=1.0):
    """Probabilities whose logits are multiplied and shifted."""
    return expit(slope * logit(probabilities.astype(np.float64)) + bias).astype(np.float32)


def of_classes(rows=3000, classes=4, seed=0):
    random = np.random.default_rng(seed)
    scores = random.normal(0, 1.5, (rows, classes))
    true = softmax(scores, axis=1)
    return (random.random((rows, 1)) > true.cumsum(1)).sum(1).clip(max=classes - 1), scores, random.integers(1, 3, rows)


def rows_of(labels, weights, users=None, classes=2):
    users = np.arange(len(labels)) if users is None else users
    return LabeledRows({}, labels, weights.astype(np.float32), classes, groups=users, acting="user")


def test_temperature_is_logistic_regression_on_the_logit():
    from sklearn.linear_model import LogisticRegression

    labels, true, weights = made_up()
    for given in (bent(true), bent(true, 0.3, -4), true * 1e-4):
        scores = logit(given.astype(np.float64))
        other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
        scale = scores.std()
        other.fit(scores[:, None] / scale, labels, sample_weight=weights)
        found = fit("temperature", labels, given, weights)
        assert found.slope == pytest.approx(other.coef_[0, 0] / scale, abs=1e-4)
        assert found.bias == pytest.approx(other.intercept_[0], abs=1e-3)
        np.testing.assert_allclose(found(given), other.predict_proba(scores[:, None] / scale)[:, 1], atol=1e-4)


def test_one_temperature_of_classes_has_the_least_log_loss():
    labels, scores, weights = of_classes()
    given = softmax(3 * scores, axis=1).astype(np.float32)
    found = fit("temperature", labels, given, weights * 1.0)
    assert found.bias == 0
    assert found.slope == pytest.approx(1 / 3, abs=0.03)
    slopes = np.linspace(0.9, 1.1, 201) * found.slope
    losses = [log_loss(labels, softmax(slope * np.log(given), axis=1), weights) for slope in slopes]
    assert slopes[np.argmin(losses)] == pytest.approx(found.slope, rel=1e-3)


def test_isotonic_is_that_of_scikit_learn():
    from sklearn.isotonic import IsotonicRegression

    labels, true, weights = made_up()
    given = bent(true)
    least = 1 / (len(labels) + 2)
    other = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    other.fit(given.astype(np.float64), labels, sample_weight=weights)
    found, asked = fit("isotonic", labels, given, weights), np.linspace(0, 1, 1001)
    assert len(found.inputs) <= calibration.KNOTS
    np.testing.assert_allclose(found(asked), other.predict(asked), atol=1e-4)


def test_isotonic_outputs_increase_within_a_bounded_number_of_knots():
    labels, true, weights = made_up(200_000)
    found = fit("isotonic", labels, true, weights)
    assert (np.diff(found.inputs) > 0).all()
    assert (np.diff(found.outputs) > 0).all()
    assert found.inputs[0] == 0
    assert found.inputs[-1] == 1
    assert len(found.inputs) <= calibration.KNOTS
    assert 0 < found.outputs[0] < found.outputs[-1] < 1
    many = fit("isotonic", (np.arange(2000) % 40 == 39).astype(float), np.linspace(0.1, 0.9, 2000), np.ones(2000))
    assert len(many.inputs) <= calibration.KNOTS


@pytest.mark.parametrize("use", ["temperature", "isotonic"])
@pytest.mark.parametrize("bend", [(2.0, 1.0), (0.4, -3.0), (1.0, 5.0)])
def test_bent_probabilities_are_repaired(use, bend):
    labels, true, weights = made_up(8000)
    found = learn(use, bent(true, *bend), rows_of(labels, weights))
    assert found.why == ""
    new, pure, others = made_up(8000, seed=1)
    repaired, chance = found.calibration(bent(pure, *bend)), error_by_chance(pure, others)
    assert error(new, bent(pure, *bend), others) > chance + 0.05
    assert error(new, repaired, others) < chance + 0.01
    order = [Auc().value(new, values, others) for values in (bent(pure, *bend), repaired.astype(np.float32))]
    assert order[1] == pytest.approx(order[0], abs=1e-5 if use == "temperature" else 1e-3)


def test_classes_are_repaired():
    labels, scores, weights = of_classes(8000)
    given = softmax(2.5 * scores, axis=1).astype(np.float32)
    found = learn("temperature", given, rows_of(labels, weights, classes=4))
    new, pure, others = of_classes(8000, seed=1)
    far, near = softmax(2.5 * pure, axis=1), found.calibration(softmax(2.5 * pure, axis=1))
    chance = error_by_chance(softmax(pure, axis=1), others)
    assert error(new, far, others) > chance + 0.05
    assert error(new, near, others) < chance + 0.01
    assert (near.argmax(1) == far.argmax(1)).all()


def test_rows_without_labels_do_not_count_and_weights_are_rows():
    labels, true, weights = made_up(1500)
    given, users = bent(true), np.arange(1500) // 3
    whole = learn("temperature", given, rows_of(labels, weights, users))
    repeated = np.repeat(np.arange(1500), weights.astype(int))
    twice = learn("temperature", given[repeated], rows_of(labels[repeated], np.ones(len(repeated)), users[repeated]))
    assert twice.calibration.slope == pytest.approx(whole.calibration.slope, abs=1e-5)
    assert twice.figures["log_loss"].after == pytest.approx(whole.figures["log_loss"].after, abs=1e-6)
    gone = np.arange(1500) % 2 == 0
    masked = learn(
        "temperature", np.where(gone, np.nan, given), rows_of(np.where(gone, 7, labels), weights * ~gone, users)
    )
    absent = learn("temperature", given[~gone], rows_of(labels[~gone], weights[~gone], users[~gone]))
    assert masked == absent


def test_figures_are_of_rows_of_other_users():
    """Every user has one label and a prediction of its own: what is learned of a user's rows says nothing of others."""
    random = np.random.default_rng(0)
    users = np.repeat(np.arange(150), 20)
    labels, given = (random.random(150) < 0.5)[users] * 1.0, random.random(150).astype(np.float32)[users]
    found = learn("isotonic", given, rows_of(labels, np.ones(3000), users))
    assert log_loss(labels, fit("isotonic", labels, given, np.ones(3000))(given), np.ones(3000)) < np.log(2)
    assert found.figures["log_loss"].after > np.log(2)
    crossed, parts = np.zeros(3000), part_of(users)
    assert [len(set(parts[users == user])) for user in range(150)] == [1] * 150
    assert np.bincount(parts, minlength=calibration.FOLDS).min() > 300
    for part in range(calibration.FOLDS):
        inside = parts == part
        crossed[inside] = fit("isotonic", labels[~inside], given[~inside], np.ones((~inside).sum()))(given[inside])
    assert found.figures["log_loss"].after == pytest.approx(log_loss(labels, crossed, np.ones(3000)))
    assert found.figures["calibration_error"].after == pytest.approx(error(labels, crossed, np.ones(3000)))


def test_what_does_not_help_is_not_used():
    labels, true, weights = made_up(300, seed=3)
    found = learn("isotonic", true, rows_of(labels, weights))
    assert found.calibration is None
    assert found.why == "isotonic does not lower the log loss on rows of other users"
    assert found.figures["log_loss"].after >= found.figures["log_loss"].before
    assert found.plain()["use"] == "none"


@pytest.mark.parametrize("positives", [0, 49, 951, 1000])
def test_too_few_rows_of_a_label_teach_nothing(positives):
    labels = (np.arange(1000) < positives).astype(np.float32)
    found = learn("temperature", np.full(1000, 0.3, np.float32), rows_of(labels, np.ones(1000)))
    assert found.calibration is None
    assert (
        found.why == f"validation has {positives:,} rows with 1 and {1000 - positives:,} with 0; expected 50 of either"
    )
    assert found.about() == f"not calibrated: {found.why}"


def test_too_few_rows_of_classes_and_none_at_all_teach_nothing():
    given = np.tile(np.float32([0.5, 0.3, 0.2]), (80, 1))
    found = learn("temperature", given, rows_of(np.arange(80) % 3, np.ones(80), classes=3))
    assert found.why == "validation has 27 rows whose class is predicted and 53 others; expected 50 of either"
    none = learn("temperature", given, rows_of(np.arange(80) % 3, np.zeros(80), classes=3))
    assert (none.rows, none.why[:27]) == (0, "validation has 0 rows whose")
    nan = learn("temperature", given * np.nan, rows_of(np.arange(80) % 3, np.ones(80), classes=3))
    assert nan.why == "predictions are not finite"


def test_a_single_user_teaches_nothing():
    labels, true, weights = made_up(1000)
    found = learn("isotonic", bent(true), rows_of(labels, weights, np.zeros(1000, int)))
    assert found.why == "validation has too few users to learn from some and measure others"


def test_slopes_are_bounded():
    labels = (np.arange(400) >= 200).astype(np.float32)
    sure = fit("temperature", labels, np.where(labels > 0, 0.6, 0.4), np.ones(400))
    wrong = fit("temperature", labels, np.where(labels > 0, 0.4, 0.6), np.ones(400))
    assert (sure.slope, wrong.slope) == (pytest.approx(calibration.SLOPES[1]), pytest.approx(calibration.SLOPES[0]))
    constant = fit("temperature", (np.arange(400) >= 300).astype(np.float32), np.full(400, 0.9), np.ones(400))
    np.testing.assert_allclose(constant(np.float32([0.9])), [0.25], atol=1e-6)


def test_error_is_that_of_plain_loops_over_bins_of_equal_weight():
    random = np.random.default_rng(0)
    given = random.permutation(np.linspace(0.01, 0.99, 150)).astype(np.float32)
    labels, ones = (random.random(150) < given).astype(np.float32), np.ones(150, np.float32)
    order, by_hand = np.argsort(given), 0.0
    for part in np.split(order, 15):
        by_hand += abs(given[part].astype(float).mean() - labels[part].mean()) / 15
    assert error(labels, given, ones) == pytest.approx(by_hand)


def test_error_by_chance_is_the_mean_of_labels_that_are_drawn():
    _, true, weights = made_up(900)
    random = np.random.default_rng(5)
    drawn = [error((random.random(900) < true).astype(float), true, weights) for _ in range(400)]
    assert error_by_chance(true, weights) == pytest.approx(np.mean(drawn), rel=0.03)
    assert error_by_chance(true, weights) == error_by_chance(true, weights)
    classes = softmax(np.random.default_rng(0).normal(size=(900, 3)), axis=1)
    drawn = [
        error((random.random((900, 1)) > classes.cumsum(1)).sum(1).clip(max=2), classes, weights) for _ in range(400)
    ]
    assert error_by_chance(classes, weights) == pytest.approx(np.mean(drawn), rel=0.03)


def test_error_by_chance_does_not_depend_on_blocks(monkeypatch):
    _, true, weights = made_up(900)
    whole = error_by_chance(true, weights, draws=50)
    monkeypatch.setattr(calibration, "_BLOCK", 2000)
    assert error_by_chance(true, weights, draws=50) == pytest.approx(whole)


def test_records():
    assert Temperature(0.5, -1.0).plain() == {"use": "temperature", "slope": 0.5, "bias": -1.0}
    assert Temperature(0.5).about() == "slope 0.500"
    assert Isotonic([0, 1], [0.1, 0.2]).plain() == {"use": "isotonic", "knots": 2}
    assert Isotonic([0, 1], [0.1, 0.2]).about() == "2 knots"
