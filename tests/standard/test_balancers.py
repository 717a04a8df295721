import pytest

from mtkit.standard.balancers import Fixed, Uncertainty
from mtkit.testing import check_import_is_light, check_spec


@pytest.mark.parametrize("spec", [Fixed(), Uncertainty()])
def test_spec(spec):
    check_spec(spec)


def test_fixed_adds_up(make_context):
    assert float(Fixed().build(make_context("balance"))({"a": 1.0, "b": 2.0})) == 3.0


def test_uncertainty_has_a_variance_per_task(make_context):
    layer = Uncertainty().build(make_context("balance", tasks="abcd"))
    assert layer.tasks == ("a", "b", "c", "d")
    assert layer.log_variance.shape == (4,)


def test_import_is_light():
    check_import_is_light("mtkit.standard.balancers")
