from types import SimpleNamespace

import numpy as np
import pytest
from passes import answers
from scipy.special import expit, logit

import mtkit
from mtkit.backend import tf
from mtkit.evaluation.calibration import Isotonic, Temperature
from mtkit.model.calibration import calibrated_tasks, calibration_errors, learn_calibration, set_calibration
from mtkit.model.model_evaluation import evaluate
from mtkit.serving.export import save
from mtkit.standard.heads import MultiLabel, Regression, UserPreference
from mtkit.types import MetricKey

STEPS = Isotonic([0.0, 0.3, 0.6, 1.0], [0.2, 0.21, 0.5, 0.95])


@pytest.fixture
def pipeline(tiny_pipeline):
    """The trained pipeline, which tests may calibrate."""
    yield tiny_pipeline
    set_calibration(tiny_pipeline.model, dict.fromkeys(calibrated_tasks(tiny_pipeline.plan)))


def predicted(pipeline, *tables):
    return pipeline.model.predict(pipeline.eval_data(*tables), verbose=0)


def test_which_tasks_are_calibrated():
    head = {"rows": "lines", "inputs": ["user"], "label": "gift"}
    tasks = {
        "usual": UserPreference(**head),
        "steps": UserPreference(**head, calibrate="isotonic"),
        "as it is": UserPreference(**head, calibrate="none"),
        "number": Regression(**head),
        "several": MultiLabel(**head),
    }
    assert calibrated_tasks(SimpleNamespace(tasks=tasks)) == {"usual": "temperature", "steps": "isotonic"}
    assert Regression(**head, calibrate="none").calibration is None
    for kind in (Regression, MultiLabel):
        with pytest.raises(ValueError, match="is for labels of 0 and 1, or of one class a row"):
            kind(**head, calibrate="temperature")


def test_answers_are_calibrated_and_what_is_handed_on_is_not(pipeline):
    before = predicted(pipeline, "lines", "items")
    set_calibration(pipeline.model, {"discounted": Temperature(0.5, 1.0), "department": Temperature(3.0)})
    after = predicted(pipeline, "lines", "items")
    np.testing.assert_allclose(after["discounted"], expit(0.5 * logit(before["discounted"]) + 1), rtol=1e-4)
    powers = before["department"] ** 3
    np.testing.assert_allclose(after["department"], powers / powers.sum(1, keepdims=True), rtol=1e-3)
    # `gift` reads `task.department`, and was trained on what that says without calibration.
    np.testing.assert_array_equal(after["gift"], before["gift"])


def test_losses_are_of_what_is_trained(pipeline):
    before = pipeline.model.evaluate(pipeline.eval_data("lines"), verbose=0)
    set_calibration(pipeline.model, {"discounted": Temperature(0.5, 1.0)})
    assert pipeline.model.evaluate(pipeline.eval_data("lines"), verbose=0) == before


@pytest.mark.parametrize("calibration", [pytest.param(Temperature(0.5, 1.0), marks=pytest.mark.slow), STEPS])
def test_metrics_and_exports_are_calibrated_as_predictions_are(pipeline, calibration, tmp_path):
    plain = evaluate(pipeline)
    set_calibration(pipeline.model, {"discounted": calibration})
    figures, found = evaluate(pipeline), {}
    assert {MetricKey.parse(key).task for key in figures if figures[key] != plain[key]} == {"discounted"}
    assert figures["discounted/auc"] == pytest.approx(plain["discounted/auc"], abs=1e-6)
    evaluate(pipeline, tasks=["discounted"], answers=found)
    expected = answers(pipeline.model, ["discounted"], pipeline.model.feed.rows["lines/eval"])["discounted"]
    np.testing.assert_array_equal(found["discounted"], expected)
    np.testing.assert_allclose(predicted(pipeline, "lines")["discounted"], expected, atol=1e-6)
    rank = tf.saved_model.load(str(save(pipeline, tmp_path))).signatures["rank"]
    ids = {"user_id": tf.constant(["101", "120", "?"]), "item_id": tf.constant(["p03", "p11", "p01"])}
    context = {"context_channel": tf.constant(["web"] * 3), "context_hour": tf.constant([12.0] * 3)}
    served = rank(**ids, **context)["discounted"]
    set_calibration(pipeline.model, {"discounted": None})
    raw = tf.saved_model.load(str(save(pipeline, tmp_path))).signatures["rank"](**ids, **context)["discounted"]
    np.testing.assert_allclose(served, calibration(raw.numpy()), atol=1e-6)
    assert np.abs(served - raw).max() > 0.01


def test_a_model_is_calibrated_on_its_evaluation_rows(pipeline):
    raw = predicted(pipeline, "lines", "items")
    found = mtkit.calibrate(pipeline)
    assert found.keys() == {"discounted", "gift", "department"}
    assert found["department"].calibration is None
    assert "of either" in found["department"].why
    assert found == mtkit.calibrate(pipeline)
    assert found == learn_calibration(pipeline, raw)
    used = [task for task, learned in found.items() if learned.calibration]
    for task in used:
        expected = found[task].calibration(raw[task])
        np.testing.assert_allclose(predicted(pipeline, "lines")[task], expected, atol=1e-6)


def test_a_head_that_answers_by_itself_is_left_as_it_is(pipeline, monkeypatch):
    class Own(type(pipeline.model.heads["gift"])):
        def answers(self, rows):
            return super().answers(rows) ** 2

    monkeypatch.setattr(pipeline.model.heads["gift"], "__class__", Own)
    found = mtkit.calibrate(pipeline)["gift"]
    assert (found.calibration, found.why) == (None, "its layer answers, or evaluates, in a way of its own")


def test_calibration_errors_are_of_labeled_rows(pipeline):
    rows = len(pipeline.tables["lines"]["eval"])
    assert (pipeline.tables["lines"]["eval"].weights["gift"] > 0).all()
    half = {"discounted": np.full(rows, 0.5), "gift": np.full(rows, 0.5), "department": np.full((99, 6), np.nan)}
    items = len(pipeline.tables["items"]["eval"])
    found = calibration_errors(pipeline, half | {"department": half["department"][:items]})
    assert found.keys() == {"discounted", "gift"}
    share = pipeline.tables["lines"]["eval"].labels["gift"].mean()
    assert found["gift"]["calibration_error"] == pytest.approx(abs(share - 0.5))
    chance = np.sqrt(2 / np.pi / rows) / 2
    assert found["gift"]["calibration_error_by_chance"] == pytest.approx(chance, rel=0.05)
