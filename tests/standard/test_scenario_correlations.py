import numpy as np
import pytest
from small_model import ITEMS, model_maker, numbered, prediction

from mtkit.backend import tf
from mtkit.errors import DeclarationError, RecipeError, WiringError
from mtkit.feed.batch import Batch
from mtkit.feed.interface import Past
from mtkit.model.forward import Forward
from mtkit.model.model_evaluation import evaluate
from mtkit.model.named_weights import weight_axes
from mtkit.recipe.alone import alone
from mtkit.recipe.describe import describe
from mtkit.recipe.loader import load_recipe
from mtkit.schema import Address
from mtkit.serving.export import save
from mtkit.spec import FeatureInfo
from mtkit.standard.retrieval import GatedRetrieval
from mtkit.standard.scenario_correlations import PepNet, Star
from mtkit.testing import check_import_is_light, check_spec

STAR = (
    "correlation.by_channel={use='star', apply='pair', on=['customer', 'product'], scenario='context.channel', units=8}"
)
PEPNET = "correlation.gated={use='pepnet', on=['customer', 'product', 'visit'], domain=['visit'], personal=['customer'], units=8}"
#: Two tasks on the lines of baskets, and none of the rest.
UNSETS = ("correlation", "task.next", "task.department", "rows.windows", "rows.items", "encoder.past", "evaluate.main")
BOTH = (
    STAR,
    PEPNET,
    "task.gift={use='user_preference', rows='lines', inputs=['by_channel'], label='gift'}",
    "task.discounted.inputs=['gated']",
    "evaluate.slices=['context.channel']",
    "train.epoch_of=lines",
)


def test_specs(make_context):
    pepnet = PepNet(on=("user", "item", "tab"), domain=("tab",), personal=("item", "user"), units=[8, 4])
    star = Star(on=("user", "item"), scenario="context.tab", units=[8, 4], beside=3)
    for spec in (pepnet, star):
        check_spec(spec)
    config = pepnet.build(make_context("gated")).get_config()
    assert {"domain": [2], "personal": [1, 0], "units": [8, 4], "tasks": 3}.items() <= config.items()
    context = make_context("by_tab")
    object.__setattr__(context, "features", {"context.tab": FeatureInfo(size=5)})
    config = star.build(context).get_config()
    assert {"scenarios": 5, "address": "context.tab", "units": [8, 4], "beside": 3}.items() <= config.items()
    object.__setattr__(context, "features", {"context.tab": FeatureInfo(width=1)})
    with pytest.raises(WiringError, match=r"correlation\.by_tab: scenario: context\.tab is not one of several values"):
        star.build(context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domain": ["tab"], "personal": ["user"]}, "domain names tab, which `on` does not"),
        ({"domain": ["user"], "personal": ["tab"]}, "personal names tab, which `on` does not"),
        ({"domain": ["user", "item"], "personal": ["user"]}, "domain has all embeddings of `on`"),
    ],
)
def test_gates_are_among_what_it_works_on(options, message):
    with pytest.raises(DeclarationError, match=message):
        PepNet(on=["user", "item"], **options)


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        (
            "context.chanel",
            r"correlation\.by_channel\.scenario: no feature is called 'context\.chanel'; .*context\.channel",
        ),
        ("context.price", r"context\.price is a source of label 'discounted', and cannot be a feature"),
        ("context.hour", r"context\.hour is declared as numeric; this correlation reads columns of kind categorical"),
        ("history.channel", r"history\.channel is no column of the row or of its entities"),
    ],
)
def test_refuses_scenarios_that_are_none(tiny_recipe, scenario, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, (STAR.replace("context.channel", scenario),))


def test_refuses_rows_that_have_no_scenario(train_tiny):
    message = (
        r"task\.next\.query: 'by_channel' depends on .*context\.channel.*, which row table 'windows' does not have"
    )
    star = STAR.replace("['customer', 'product']", "['customer', 'past']")
    with pytest.raises(RecipeError, match=message):
        train_tiny(star, "task.next={use='retrieval', rows='windows', query=['by_channel'], candidate=['look']}")


def test_candidates_are_of_no_scenario(tiny_recipe):
    """What depends on the row cannot be ranked; a column of the item can be its scenario."""
    star = STAR.replace("['customer', 'product']", "['product', 'look']")
    sets = (star, "task.next.candidate=['by_channel']")
    with pytest.raises(RecipeError, match="by_channel"):
        load_recipe(tiny_recipe, sets)
    load_recipe(tiny_recipe, tuple(one.replace("context.channel", "item.color") for one in sets))


def test_a_scenario_of_items_is_the_same_for_a_catalog_and_for_rows(tmp_path):
    """And rows of one color go through weights that others do not."""
    by_color = {"by_color": Star(apply="pair", on=("item",), scenario="item.color", units=4, beside=0)}
    tasks = {"next": GatedRetrieval(rows="windows", query=("user",), candidate=("by_color",))}
    model = model_maker(tmp_path)({**tasks, "click": prediction("by_color", "user")}, by_color)
    catalog = Forward(model).entity_lane("by_color").own.numpy()
    batch = model.gather(numbered(lines=[0, 1, 2, 5]))["lines"]
    some = Forward(model, whole=frozenset()).states("by_color", batch)
    np.testing.assert_allclose(some, catalog[batch.ids["item"].numpy()], atol=1e-6)
    colors = model.feed.feature(Address("item.color"), Batch({"item": tf.range(ITEMS)}), Past(0))["item.color"].numpy()
    kernels = model.correlations["by_color"]["by_color"].kernels[0][1]
    kernels[:, int(colors[1])].assign(tf.zeros(kernels[:, 0].shape))
    moved = np.abs(Forward(model).entity_lane("by_color").own - catalog).max(1) > 0
    assert not moved[colors != colors[1]].any()
    assert moved[colors == colors[1]].any()


def test_a_task_alone_keeps_what_its_scenario_is(tiny_recipe):
    recipe = load_recipe(tiny_recipe, BOTH, UNSETS)
    assert "star joins customer, product, by context.channel" in " ".join(describe(recipe).split())
    assert recipe.plan.features("gift")[-1] == "context.channel"
    one = alone(recipe, "gift")
    assert (list(one.encoder), list(one.correlation)) == (["customer", "product"], ["by_channel"])
    assert list(alone(recipe, "discounted").encoder) == ["customer", "product", "visit"]


@pytest.mark.slow
def test_a_scenario_tells_what_no_embedding_does(train_tiny, tmp_path):
    """There are figures of each scenario, and an export answers by it."""
    trained = train_tiny(*BOTH, "train.epochs=4", unsets=UNSETS)
    figures = evaluate(trained)
    assert figures["gift/auc"] > 0.7
    for scenario in ("web", "store"):
        assert np.isfinite(figures[f"gift/context.channel={scenario}/accuracy"])
    axes, labels = weight_axes(trained)
    own = {name: of for name, of in axes.items() if name.startswith("correlations/by_channel") and of}
    assert {axis for of in own.values() for axis in of.values()} == {"context.channel"}
    assert labels["context.channel"] == [None, "store", "web"]
    check_answers(trained, tmp_path)


def check_answers(trained, tmp_path):
    """Those of an export are the model's, also of a scenario that it does not know."""
    signature = tf.saved_model.load(str(save(trained, tmp_path / "export"))).signatures["rank"]
    asked = {"user_id": ["101"] * 3, "item_id": ["p01"] * 3, "context_channel": ["web", "store", "fax"]}
    answers = signature(**{name: tf.constant(values) for name, values in asked.items()}, context_hour=tf.fill([3], 9.0))
    context = {"channel": tf.constant([2, 1, 0]), "hour": trained.features.layers["context.hour"](tf.fill([3], 9.0))}
    ids = {"user": [trained.fold.entities["user"].ids.tolist().index(101)] * 3}
    ids["item"] = [trained.fold.entities["item"].ids.tolist().index("p01")] * 3
    batch = Batch({name: tf.constant(of, tf.int32) for name, of in ids.items()}, context=context)
    forward = Forward(trained.model)
    for task in ("gift", "discounted"):
        expected = trained.model.heads[task].answers(forward.task(task, batch))
        np.testing.assert_allclose(answers[task], expected, atol=1e-5)
        assert len(np.unique(expected.numpy().round(5))) == 3


@pytest.mark.slow
def test_new_users_and_items_bring_what_their_scenario_is(train_tiny, tmp_path):
    sets = [one.replace("context.channel", "user.town") for one in BOTH[:4]]
    sets[0] = sets[0].replace("'customer', 'product'", "'look', 'product'")
    pipeline = train_tiny(*sets, "encoder.customer.reads=['user.id']", "train.epochs=1", unsets=UNSETS)
    signatures = tf.saved_model.load(str(save(pipeline, tmp_path / "export"))).signatures
    _, inputs = signatures["rank_new_user"].structured_input_signature
    assert "user_town" in inputs


def test_import_is_light():
    check_import_is_light("mtkit.standard.scenario_correlations")
