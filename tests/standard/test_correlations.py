from mtkit.standard.correlations import Mmoe
from mtkit.testing import check_import_is_light, check_spec


def test_spec():
    check_spec(Mmoe(experts=3, units=16, residual=True))


def test_builds_a_state_per_task(make_context):
    layer = Mmoe(experts=3, units=16, residual=True).build(make_context("experts", tasks="abcd"))
    config = layer.get_config()
    expected = {"name": "experts", "tasks": 4, "experts": 3, "units": 16, "residual": True}
    assert {key: config[key] for key in expected} == expected


def test_import_is_light():
    check_import_is_light("mtkit.standard.correlations")
