import numpy as np
import pytest
from scipy.special import expit

from mtkit.backend import tf
from mtkit.evaluation.calibration import Isotonic, Temperature
from mtkit.heads.calibration import calibrated

LOGITS = np.linspace(-30, 15, 400).astype(np.float32)
STEPS = Isotonic([0.0, 0.1, 0.25, 1.0], [0.01, 0.011, 0.4, 0.9])


@pytest.mark.parametrize("calibration", [Temperature(0.4, 1.5), Temperature(1.8, -0.5), STEPS])
def test_the_graph_computes_what_was_learned(calibration):
    given = expit(LOGITS)
    found = calibrated(tf.constant(given), calibration)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, calibration(given), rtol=1e-5, atol=1e-7)
    assert (np.diff(found) >= 0).all()


def test_classes_have_one_temperature():
    given = np.float32([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    found = calibrated(tf.constant(given), Temperature(0.5)).numpy()
    roots = np.sqrt(given[0])
    np.testing.assert_allclose(found[0], roots / roots.sum(), rtol=1e-5)
    np.testing.assert_allclose(found[1], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found, Temperature(0.5)(given), atol=1e-6)


def test_no_calibration_leaves_everything_as_it_is():
    given = tf.constant([0.25, 0.75], tf.float16)
    assert calibrated(given, None) is given


@pytest.mark.parametrize("calibration", [Temperature(2.0, 1.0), Temperature(0.1, -5.0), STEPS])
def test_certainty_is_finite(calibration):
    found = calibrated(tf.constant([0.0, 1e-45, 1e-38, 1.0]), calibration)
    assert np.isfinite(found).all()
    assert ((found >= np.float32(0)) & (found <= np.float32(1))).numpy().all()
