import pytest

from mtkit.backend import tf
from mtkit.errors import DeclarationError
from mtkit.spec import FeatureInfo
from mtkit.standard.encoders import Features
from mtkit.testing import check_import_is_light, check_layer_config, check_spec

READS = {"user.id": FeatureInfo(size=30), "user.town": FeatureInfo(size=4), "user.age": FeatureInfo(width=2)}


@pytest.fixture
def context(make_context):
    from dataclasses import replace

    return replace(make_context(), features=READS)


@pytest.mark.parametrize("options", [{}, {"hidden": (16, 12), "dropout": 0.2}])
def test_features(options, context):
    spec = Features(reads=tuple(READS), dim=12, **options)
    check_spec(spec)
    layer = spec.build(context)
    inputs = {"user.id": tf.constant([0, 29]), "user.town": tf.constant([1, 3]), "user.age": tf.ones([2, 2])}
    assert layer(inputs).shape == (2, 12)
    check_layer_config(layer)


def test_features_side_by_side(context):
    inputs = {"user.id": tf.constant([0, 29]), "user.town": tf.constant([1, 3]), "user.age": tf.ones([2, 2])}
    for hidden, width in (((), 36), ((16,), 12)):
        spec = Features(reads=tuple(READS), dim=12, combine="concat", hidden=hidden)
        check_spec(spec)
        assert (spec.width, spec.numbers_per_row({})) == (width, 36)
        assert spec.build(context)(inputs).shape == (2, width)
    assert Features(reads=tuple(READS), dim=12).width == 12


def test_options_are_checked():
    with pytest.raises(DeclarationError):
        Features(reads=("user.id",), id_dropout=1.0)
    with pytest.raises(DeclarationError):
        Features(reads=())


def test_specs_are_light():
    check_import_is_light("mtkit.standard.encoders")
