import pytest

from mtkit.layers.training_step import PlainStep, step_of
from mtkit.recipe.registry import Registry
from mtkit.standard.balancers import CaGrad, Fixed, Uncertainty
from mtkit.testing import check_import_is_light, check_spec

REGISTRY = Registry.installed()
NAMES = REGISTRY.names("balancer")


@pytest.mark.parametrize("name", NAMES)
def test_spec(name, make_context):
    """Each is built for any number of tasks, and is a step or is called by the plain one."""
    spec = REGISTRY.get("balancer", name)()
    check_spec(spec)
    for tasks in ("a", "abc"):
        step = step_of(spec.build(make_context("balance", tasks=tasks)))
        assert isinstance(step, PlainStep) == (name in ("fixed", "uncertainty"))


def test_options_reach_the_method(make_context):
    step = CaGrad(c=0.7, at="parameters").build(make_context("balance", tasks="ab"))
    assert (step.weighting.c, step.at) == (0.7, "parameters")


def test_fixed_adds_up(make_context):
    assert float(Fixed().build(make_context("balance"))({"a": 1.0, "b": 2.0})) == 3.0


def test_uncertainty_has_a_variance_per_task(make_context):
    layer = Uncertainty().build(make_context("balance", tasks="abcd"))
    assert layer.tasks == ("a", "b", "c", "d")
    assert layer.log_variance.shape == (4,)


def test_import_is_light():
    check_import_is_light("mtkit.standard.balancers")
