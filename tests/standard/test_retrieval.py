import re
from dataclasses import replace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.data.catalogs import make_cuts
from mtkit.data.row_tables import make_tables
from mtkit.errors import DeclarationError, RecipeError
from mtkit.model.assembly import assemble
from mtkit.model.forward import Forward
from mtkit.recipe.loader import load_recipe
from mtkit.standard.retrieval import GatedRetrieval, Retrieval
from mtkit.testing import check_import_is_light, check_layer_config, check_spec

SPEC = GatedRetrieval(rows="windows", query=("past",), candidate=("item",), discovery=2.0)


def test_spec_and_layer(make_context):
    check_spec(SPEC)
    assert SPEC.candidates == "catalog"
    layer = SPEC.build(replace(make_context("next"), candidates={"next": 30}))
    assert layer.discovery == 2.0
    check_layer_config(layer)


def test_options_are_checked():
    with pytest.raises(DeclarationError):
        GatedRetrieval(rows="windows", query=(), candidate=("item",))
    with pytest.raises(DeclarationError):
        GatedRetrieval(rows="windows", query=("past",), candidate=("item",), discovery=-1)
    with pytest.raises(DeclarationError, match='number needs negatives = "uniform"'):
        GatedRetrieval(rows="windows", query=("past",), candidate=("item",), number=5)


def test_draws_of_a_gated_head_need_no_whole_catalog(make_context):
    spec = SPEC.model_copy(update={"negatives": "uniform", "number": 20})
    assert spec.candidates == "drawn"
    assert not any(read.whole for read in spec.reads())
    layer = spec.build(replace(make_context("next"), candidates={"next": 30}))
    assert (layer.negatives, layer.number) == ("uniform", 20)


def test_spec_is_light():
    check_import_is_light("mtkit.standard.retrieval")


CHOICE = Retrieval(rows="lines", query=("past",), candidate=("item",))


def test_the_head_with_a_choice_has_a_spec_and_a_layer(make_context):
    check_spec(CHOICE)
    layer = CHOICE.build(replace(make_context("next"), candidates={"next": 30}))
    assert (layer.size, layer.objective, layer.negatives) == (30, "softmax", "catalog")
    check_layer_config(layer)


@pytest.mark.parametrize(
    ("negatives", "candidates", "reads"),
    [
        ("catalog", "catalog", [("", True, False)]),
        ("batch", "batch", [("lines", True, False), ("", False, False)]),
        ("uniform", "drawn", [("", True, True)]),
        ("popularity", "drawn", [("", True, True)]),
        ("mixed", "drawn", [("lines", True, False), ("", True, True)]),
    ],
)
def test_negatives_say_of_which_items_a_step_needs_the_embeddings(negatives, candidates, reads):
    spec = CHOICE.model_copy(update={"negatives": negatives})
    assert spec.candidates == candidates
    assert [(r.rows, r.trains, r.some) for r in spec.reads() if r.key == "candidate"] == reads
    assert any(r.whole for r in spec.reads()) == (negatives == "catalog")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number": 5}, 'number needs negatives = "uniform", "popularity" or "mixed"; here are loss = \'softmax\', negatives'),
        ({"negatives": "mixed", "shared": False}, 'shared needs negatives = "uniform" or "popularity"'),
        ({"negatives": "uniform", "power": 0.5}, 'power needs negatives = "popularity"'),
        ({"negatives": "mixed", "queue": 5}, 'queue needs negatives = "batch"'),
        ({"hidden": (8,)}, "hidden needs a `dim`"),
        ({"loss": "squared", "temperature": 0.1}, "temperature needs another loss, for which 1 and 0 are no scores"),
        ({"others": 0.1}, 'others needs loss = "squared" or "binary"'),
        ({"label": "liked"}, 'label needs negatives = "batch" or "mixed"; else choose rows by `where`'),
        ({"loss": "binary", "hard": 3}, "hard needs a loss that ranks"),
        ({"remove_accidental_hits": False}, "remove_accidental_hits = false needs negatives that are drawn"),
        ({"correct_sampling": False}, "correct_sampling = false needs a sum over negatives that are drawn"),
        ({"loss": "bpr", "negatives": "uniform", "correct_sampling": False}, "needs a sum over negatives that are drawn"),
        ({"negatives": "uniform", "hard": 3}, "hard negatives stand for no other items; set correct_sampling = false"),
    ],
)  # fmt: skip
def test_options_that_would_do_nothing_are_refused(options, message):
    with pytest.raises(DeclarationError, match=re.escape(message)):
        Retrieval(rows="lines", query=("past",), candidate=("item",), **options)


REPEATS = (
    "task.next={{use='retrieval', rows='{}', evaluate='windows', query=['past'], candidate=['look'], repeats=0.5}}"
)


def test_repeats_count_less_in_training_alone(tiny_recipe, tmp_path):
    """What n rows of one user and item count together is the root of n, in the loss that a model has."""
    recipe = load_recipe(tiny_recipe, [REPEATS.format("lines")])
    dataset = recipe.data.source.load()
    pipeline = assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[0], cache_dir=tmp_path)
    table = pipeline.tables["lines"]["train"]
    pairs = [*zip(*table.ids.values(), strict=True)]
    number = np.array([pairs.count(pair) for pair in pairs])
    assert number.max() > 1
    rows = tf.range(len(table), dtype=tf.int64)
    batch = pipeline.model.gather({"lines": rows})["lines"]
    forward = Forward(pipeline.model, training=True)
    np.testing.assert_allclose(forward.losses("next", batch)[1], number**-0.5, rtol=1e-6)
    assert set(np.asarray(forward.losses("discounted", batch)[1])) == {1.0}
    assert not any(name.startswith("repeats") for name in pipeline.tables["windows"]["eval"].dense)


def test_repeats_are_of_single_items(tiny_recipe):
    recipe = load_recipe(tiny_recipe, [REPEATS.format("windows")])
    dataset = recipe.data.source.load()
    with pytest.raises(RecipeError, match=r"task\.next\.repeats: rows of 'windows' have no single item"):
        make_tables(recipe, dataset, make_cuts(dataset, recipe.data.split)[0])
