import pytest
from pydantic import ValidationError

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.spec import FeatureInfo
from mtkit.standard.encoders import Features, History
from mtkit.testing import check_import_is_light, check_layer_config, check_spec

READS = {"user.id": FeatureInfo(size=30), "user.town": FeatureInfo(size=4), "user.age": FeatureInfo(width=2)}


@pytest.fixture
def context(make_context):
    from dataclasses import replace

    return replace(make_context(), features=READS, sizes={"item": 30})


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


def test_history(context):
    spec = History(reads=("history.item",), dim=8, length=16)
    check_spec(spec)
    layer = spec.build(context)
    ids = tf.constant([[0] * 15 + [3], [0] * 16])
    assert layer({"history.item": ids, "history.age": tf.zeros([2, 16])}).shape == (2, 8)
    assert layer.length == 16
    check_layer_config(layer)


def test_history_of_some_events_and_of_what_is_known_of_them(context):
    from dataclasses import replace

    infos = {"history.event": FeatureInfo(size=5), "history.rating": FeatureInfo(width=2)}
    context = replace(context, features=READS | infos)
    where = {"event": ["buy", "cart"], "rating": {"null": False, "at_least": 3}}
    spec = History(reads=("history.item", *infos), where=where, recency=True, dim=8, length=4)
    check_spec(spec)
    assert spec.history_where == Where.model_validate(where)
    assert spec.history_length == 4
    assert spec.table_rows({"item": 30}) == 30
    assert spec.numbers_per_row({"item": 300}) == 4 * 8 + 2 * 4 * 2
    layer = spec.build(context)
    assert layer.sizes == {"history.event": 5}
    assert layer.widths == {"history.rating": 2}
    inputs = {"history.item": tf.constant([[0, 0, 2, 29]]), "history.age": tf.ones([1, 4])}
    inputs |= {"history.event": tf.constant([[0, 0, 4, 1]]), "history.rating": tf.ones([1, 4, 2])}
    assert layer(inputs).shape == (1, 8)
    check_layer_config(layer)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (("item.id",), "reads 'item.id', expected a past"),
        (("history.item", "context.hour"), "reads 'context.hour', expected a past"),
        (("history.item", "history.event", "history.event"), "expected each once"),
    ],
)
def test_a_history_reads_a_past_and_nothing_else(reads, message):
    with pytest.raises(ValidationError, match=message):
        History(reads=reads)


def test_names_of_content():
    assert History(reads=("history.item",)).content == ()
    assert History(reads=("history.item",), items="text").content == ("text",)


def test_options_are_checked():
    with pytest.raises(ValidationError):
        Features(reads=("user.id",), id_dropout=1.0)
    with pytest.raises(ValidationError):
        Features(reads=())


def test_specs_are_light():
    check_import_is_light("mtkit.standard.encoders")
