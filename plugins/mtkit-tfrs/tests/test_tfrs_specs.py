import pytest

from mtkit.errors import WiringError
from mtkit.spec import ClassTask
from mtkit.testing import check_import_is_light, check_spec
from mtkit_tfrs import TfrsRanking, TfrsRetrieval

RETRIEVAL = TfrsRetrieval(rows="lines", query=("user", "past"), candidate=("item",), hidden=(32,), temperature=0.5)
RANKING = TfrsRanking(
    rows="lines", inputs=("user", "item"), label="coupon", cross_layers=2, units=(8, 4), activation="gelu"
)


@pytest.mark.parametrize("spec", [RETRIEVAL, RANKING])
def test_spec(spec):
    check_spec(spec)


@pytest.mark.parametrize(("name", "cls"), [("tfrs_retrieval", TfrsRetrieval), ("tfrs_ranking", TfrsRanking)])
def test_entry_point(name, cls, entry_point):
    assert entry_point("mtkit.task_head", name) is cls


@pytest.mark.parametrize("spec", [RETRIEVAL, RANKING])
def test_options_arrive_in_the_layer(spec, make_context):
    config = spec.build(make_context("this", tasks=("this",))).get_config()
    options = spec.model_dump(mode="json", exclude={*ClassTask.model_fields, "evaluate", "repeats"} - {"inputs"})
    assert {key: config[key] for key in options} == options
    assert config["name"] == "this"


def test_options_of_the_loss_arrive_in_the_layer(make_context):
    spec = RANKING.model_copy(update={"focal": 2.0, "positive_weight": 5.0, "label_smoothing": 0.1})
    config = spec.build(make_context("this", tasks=("this",))).get_config()
    assert config["loss"] == {"weights": [1.0, 5.0], "focal": 2.0, "smoothing": 0.1, "kept_negatives": 1.0}


def test_ranking_refuses_labels_of_several_classes(make_context):
    with pytest.raises(WiringError, match=r"task\.this: tfrs_ranking .*'coupon' has 3 classes"):
        RANKING.build(make_context("this", classes={"this": 3}))


def test_import_is_light():
    check_import_is_light("mtkit_tfrs")
