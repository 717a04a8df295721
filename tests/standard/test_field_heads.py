"""Heads in which features meet, alone and in recipes that are trained, evaluated and exported."""

from dataclasses import replace

import numpy as np
import pytest
from bare import ask_bare

from mtkit.backend import tf
from mtkit.errors import DeclarationError, MtkitError, RecipeError
from mtkit.model.forward import Forward
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import load_recipe
from mtkit.runs.keras_api import build
from mtkit.serving.export import save
from mtkit.standard.encoders import Features
from mtkit.standard.field_heads import FinalMlp, Fm
from mtkit.testing import check_import_is_light, check_spec
from mtkit.types import RowTable

COMMON = {"rows": "shown", "label": "click"}
FM = Fm(inputs=("view", "past"), **COMMON)
FINAL = FinalMlp(inputs=("viewer", "video"), first_gate=("viewer",), second_gate=("video",), heads=4, **COMMON)
FIELDS = ["encoder.customer.combine=concat", "encoder.product.combine=concat"]
#: A head and the settings that make `task.discounted` of the tiny recipe have it.
HEADS = {
    "fm": ["task.discounted.use=fm"],
    "deep fm": ["task.discounted.use=fm", "task.discounted.hidden=[8]"],
    "final_mlp": ["task.discounted.use=final_mlp", "task.discounted.first_gate=['customer']"],
}


@pytest.mark.parametrize("spec", [FM, FINAL], ids=lambda spec: type(spec).__name__)
def test_spec(spec):
    check_spec(spec)


def test_specs_are_light():
    check_import_is_light("mtkit.standard.field_heads")


def test_fields_are_as_wide_as_encoders_say(make_context):
    encoders = {
        "view": Features(reads=("user.id",), dim=12, combine="concat"),
        "past": Features(reads=("item.id",), dim=12),
    }
    context = replace(make_context("click", classes={"click": 2}), encoders=encoders)
    labels = np.float32([1, 0, 0, 1]), np.float32([1, 2, 1, 0])
    context = replace(context, labels={"click": labels}.__getitem__)
    head = FM.build(context)
    assert head.field == 12
    assert head.begin == pytest.approx(np.log(1 / 3), abs=0.01)
    assert FM.model_copy(update={"field": 6}).build(context).field == 6


def test_fm_is_for_labels_of_0_and_1():
    labels = {"click": np.array([0, 1, 2], np.int32)}
    weights = {"click": np.ones(3, np.float32)}
    table = RowTable("shown", {}, np.arange(3), np.zeros((0, 2)), np.arange(3), labels=labels, weights=weights,
                     classes={"click": ("a", "b", "c")})  # fmt: skip
    tables = {"shown": {"train": table}}
    assert list(FM.unfit(tables)) == [
        (("label",), "label 'click' has 3 classes; expected 0 and 1; the head `final_mlp` predicts classes")
    ]
    assert list(FINAL.unfit(tables)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "heads = 3 divides the last widths of both networks, but one is 128"),
        ({"second_gate": ("past",)}, "'past' decides a gate, and has to be one of inputs, viewer, video"),
        ({"second": ()}, "at least 1"),
    ],
)
def test_options_of_final_mlp_that_do_not_fit(options, message):
    with pytest.raises(DeclarationError, match=message):
        FinalMlp(inputs=("viewer", "video"), **options, **COMMON)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["encoder.customer.dim=6"],
            r"encoders differ \(customer of 6, past of 8, product of 8, look of 8\); give them one `dim`",
        ),
        (["task.discounted.inputs=['task.department', 'customer']"], "inputs are embeddings here, but task.department"),
    ],
)
def test_mistakes_of_recipes_with_fm(tiny_recipe, sets, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, ["task.discounted.use=fm", *sets])


def test_a_single_field_is_refused_when_the_model_is_made(tiny_recipe):
    with pytest.raises(MtkitError, match=r"task\.discounted: 'past' is one field, 8 wide, which has no pairs"):
        build(tiny_recipe, ["task.discounted.use=fm", "task.discounted.inputs=['past']"], ["correlation"])


UNSETS = ("correlation", "task.next", "task.gift", "rows.windows", "encoder.past", "encoder.visit", "evaluate.main")
WIDE = [*FIELDS, "task.discounted.inputs=['customer', 'product', 'look']"]


MIXED = "correlation.mixed={use='mmoe', on=['customer'], units=24}"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.slow
def test_recipes_train_evaluate_and_export(train_tiny, tmp_path, head):
    """On fields, those of the user mixed for the tasks by a correlation that gives a whole number of fields."""
    pipeline = train_tiny(*WIDE, *HEADS[head], MIXED, "train.epochs=1", "rows.lines.since='30d'", unsets=UNSETS)
    assert [pipeline.recipe.encoder[name].width for name in ("customer", "product", "look")] == [24, 16, 8]
    assert all(np.isfinite(value) for value in evaluate(pipeline).values())
    version = save(pipeline, tmp_path / "export", unseen=False)
    result = ask_bare(version, {"rank": {"user_id": ["101", "102"], "item_id": ["p01", "p02"]}})
    assert result["foreign"] == []
    assert set(result["ops"]) <= set(result["core"])
    one, other = map(float, result["answers"]["rank"]["discounted"])
    assert 0 < one != other > 0


@pytest.mark.parametrize("correlation", ["ple", "cross_stitch", "shared_bottom"])
def test_fields_go_through_correlations(tiny_recipe, correlation):
    pipeline = build(tiny_recipe, [*WIDE, *HEADS["fm"], MIXED.replace("mmoe", correlation)], UNSETS)
    batch = pipeline.model.feed.batch("lines", tf.range(4, dtype=tf.int64))
    losses, weights = Forward(pipeline.model).losses("discounted", batch)
    assert np.isfinite(losses).all()
    assert weights.numpy().any()


def test_units_of_correlations_that_are_no_fields_are_refused(tiny_recipe):
    with pytest.raises(
        MtkitError, match=r"task\.discounted: fields are 8 wide, but 'customer' comes as 20; expected a multiple"
    ):
        build(tiny_recipe, [*WIDE, *HEADS["fm"], MIXED.replace("24", "20")], UNSETS)
