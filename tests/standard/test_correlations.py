import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.errors import DeclarationError, RecipeError, WiringError
from mtkit.model.forward import Forward
from mtkit.model.model_evaluation import evaluate
from mtkit.model.named_weights import named_weights
from mtkit.recipe.loader import load_recipe
from mtkit.serving.export import save
from mtkit.standard.correlations import Aitm, CrossStitch, Fusion, Mmoe, Ple, SharedBottom, Stem, TaskAttention
from mtkit.testing import check_import_is_light, check_spec


def test_spec():
    check_spec(Mmoe(experts=3, units=16, activation="gelu", residual=True))


def test_builds_a_state_per_task(make_context):
    layer = Mmoe(experts=3, units=16, activation="gelu", residual=True).build(make_context("experts", tasks="abcd"))
    config = layer.get_config()
    expected = {"name": "experts", "tasks": 4, "experts": 3, "units": 16, "activation": "gelu", "residual": True}
    assert {key: config[key] for key in expected} == expected


SHARING = [
    SharedBottom(units=[16, 8], activation="swish"),
    Mmoe(experts=3, units=[16, 8], activation="gelu"),
    Ple(levels=2, own=2, shared=3, units=[16, 8], activation="swish"),
    CrossStitch(units=[16, 8], alpha=0.5, activation="gelu"),
    Stem(own=5, experts=2, shared=3, units=[16, 8], activation="gelu"),
]


@pytest.mark.parametrize("spec", SHARING, ids=lambda spec: type(spec).__name__)
def test_sharing_builds_what_it_says(spec, make_context):
    check_spec(spec)
    layer = spec.build(make_context("sharing", tasks="abcd"))
    config = layer.get_config()
    expected = spec.model_dump(exclude={"apply", "on", "tasks", "share", "residual", "units"})
    assert {key: config[key] for key in expected} == expected
    assert config["units"] == [16, 8]
    assert config["name"] == "sharing"
    assert config.get("tasks", 4) == 4


@pytest.mark.parametrize("kind", [SharedBottom, Mmoe, Ple, CrossStitch])
def test_widths_are_one_or_several(kind):
    assert kind(units=8).units == 8
    assert kind(units=[8, 4]).units == (8, 4)
    for wrong, place in ((0, "units"), ("a", "units"), ([], "units"), ([8, 0], r"units\[1\]")):
        with pytest.raises(DeclarationError, match=rf"^\w+: {place}: (?!.*\n)"):
            kind(units=wrong)


def test_attention_builds_what_it_says(make_context):
    check_spec(TaskAttention(heads=4, residual=False))
    config = TaskAttention(heads=4, residual=False).build(make_context("between", tasks="abcd")).get_config()
    assert {"name": "between", "tasks": 4, "heads": 4, "residual": False}.items() <= config.items()


def test_an_order_is_of_tasks_that_there_are(make_context):
    spec = Aitm(order=("c", "a", "b"), units=[8, 4], calibrator=0.3, activation="gelu")
    check_spec(spec)
    config = spec.build(make_context("funnel")).get_config()
    assert {"tasks": ["a", "b", "c"], "order": ["c", "a", "b"], "units": [8, 4]}.items() <= config.items()
    assert spec.auxiliary == {"calibrator": 0.3}
    assert Aitm(order=["a", "b"], calibrator=0).auxiliary == Aitm(order=["a"]).auxiliary == {}
    several = make_context("funnel", classes={"a": 2, "b": 3, "c": 2})
    with pytest.raises(WiringError, match="and 'b' predicts 3 classes; set calibrator = 0, or leave it out"):
        spec.build(several)
    assert spec.model_copy(update={"calibrator": 0.0}).build(several).order == ["c", "a", "b"]
    with pytest.raises(DeclarationError, match="names a task twice"):
        Aitm(order=("a", "b", "a"))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("['gift', 'discount']", r"correlation\.funnel\.order\[1\]: no task is called 'discount'; .*'discounted'"),
        ("['gift', 'next']", r"labels of 0 and 1, which 'next' does not predict; set calibrator = 0"),
        (
            "['gift', 'department']",
            r"compares 'gift' and 'department' on the same rows, and they train on 'lines' and 'items'",
        ),
    ],
)
def test_refuses_an_order_that_is_none(tiny_recipe, order, message):
    funnel = f"correlation.funnel={{use='aitm', on=['customer'], units=8, order={order}}}"
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, [funnel])
    if "discount" not in order:
        load_recipe(tiny_recipe, [funnel, "correlation.funnel.calibrator=0"])


def test_among_fewer_tasks_an_order_is_of_these(make_context):
    spec = Aitm(order=("c", "a", "b"))
    assert spec.among(["a", "c"]).order == ("c", "a")
    assert spec.among(["d"]).order == ()
    # A correlation for the tasks alone that read an embedding has the order of these.
    context = make_context(tasks="ab", classes=dict.fromkeys("abc", 2))
    assert spec.build(context).order == ["a", "b"]


ASKED = {"user_id": ["101", "102"], "item_id": ["p01", "p02"]}


@pytest.mark.parametrize(
    "options",
    [
        "use='shared_bottom', units=[16, 8]",
        "use='mmoe', experts=2, units=[16, 8]",
        "use='ple', levels=1, units=8",
        "use='ple', levels=2, units=[16, 8]",
        "use='cross_stitch', units=[16, 8]",
        "use='task_attention'",
        "use='aitm', order=['discounted'], units=[16, 8]",
    ],
)
@pytest.mark.slow
def test_recipes_train_evaluate_and_export(train_tiny, tmp_path, options):
    """On embeddings for themselves, and then on these, joined."""
    sets = [f"correlation.sharing={{{options}, on=['customer', 'look']}}"]
    sets += [f"correlation.joined={{{options}, apply='pair', on=['customer', 'look', 'product']}}"]
    sets += ["task.discounted.inputs=['joined', 'customer']", "train.epochs=1", "rows.lines.since='30d'"]
    unsets = ("correlation", "task.next", "task.gift", "rows.windows", "encoder.past", "encoder.visit", "evaluate.main")
    pipeline = train_tiny(*sets, unsets=unsets)
    assert all(np.isfinite(value) for value in evaluate(pipeline).values())
    trained = [name.split("/")[1:3] for name in named_weights(pipeline.model) if name.startswith("correlations/")]
    assert {tuple(names) for names in trained} == {("sharing", "customer"), ("sharing", "look"), ("joined", "joined")}
    signature = tf.saved_model.load(str(save(pipeline, tmp_path / "export", unseen=False))).signatures["rank"]
    answers = signature(**{name: tf.constant(value) for name, value in ASKED.items()})
    assert np.isfinite(answers["discounted"]).all()
    assert answers["discounted"][0] != answers["discounted"][1]


@pytest.mark.slow
def test_embeddings_with_parts_of_tasks_train_and_export(train_tiny, tmp_path):
    stem = "correlation.parts={use='stem', own=2, units=8, apply='pair', on=['customer', 'look', 'product']}"
    unsets = ("correlation", "task.next", "task.gift", "rows.windows", "encoder.past", "encoder.visit", "evaluate.main")
    options = ("task.discounted.inputs=['parts']", "encoder.look.dim=5", "train.epochs=1", "rows.lines.since='30d'")
    pipeline = train_tiny(stem, *options, unsets=unsets)
    assert all(np.isfinite(value) for value in evaluate(pipeline).values())
    signature = tf.saved_model.load(str(save(pipeline, tmp_path / "export", unseen=False))).signatures["rank"]
    answers = signature(**{name: tf.constant(value) for name, value in ASKED.items()})["discounted"]
    assert answers[0] != answers[1]


SHARE = "correlation.experts={use='mmoe', experts=2, units=8, share=true, on=['customer', 'look', 'product']}"


def test_embeddings_may_share_one_layer(train_tiny):
    pipeline = train_tiny(SHARE, "train.epochs=1", "rows.windows.count=1", unsets=("correlation",))
    layers = pipeline.model.correlations["experts"]
    assert list(layers) == ["customer", "look", "product"]
    assert len({id(layer) for layer in layers.values()}) == 1
    weights = {name.split("/")[2] for name in named_weights(pipeline.model) if name.startswith("correlations/experts/")}
    assert weights == {"customer"}


def test_embeddings_that_share_a_layer_are_alike(train_tiny):
    message = (
        r"correlation\.experts\.share: share = true is one layer for all embeddings of `on`, but '\w+' is \d+ wide, .*"
        r"'\w+' is \d+ wide; make them alike"
    )
    with pytest.raises(RecipeError, match=message):
        train_tiny(SHARE, "encoder.look.dim=6", unsets=("correlation",))
    before = "correlation.before={use='mmoe', experts=2, units=8, on=['customer']}"
    with pytest.raises(WiringError, match="comes as 8 numbers for each of 4 tasks and"):
        train_tiny(before, SHARE, unsets=("correlation",))


def test_a_layer_is_shared_for_the_same_tasks(train_tiny):
    before = "correlation.before={use='shared_bottom', units=8, tasks='reading', on=['customer']}"
    with pytest.raises(
        RecipeError, match=r"correlation\.experts\.share: 'customer' is of next, discounted, gift and 'look' of next"
    ):
        train_tiny(before, SHARE, unsets=("correlation",))
    for options in ({"apply": "pair"}, {"tasks": "reading"}):
        with pytest.raises(DeclarationError, match="share = true is one layer"):
            Mmoe(share=True, **options)


@pytest.mark.parametrize("method", ["concatenate", "gated", "attention", "cascade"])
def test_fusion_builds_its_method(method, make_context):
    spec = Fusion(on=("text", "image"), method=method, dim=5)
    check_spec(spec)
    layer = spec.build(make_context("both"))
    assert layer.name == "both"
    assert type(layer).__name__.lower() == f"{method}fusion"
    assert layer([tf.ones([3, 4]), tf.ones([3, 2])]).shape == [3, 5]


def test_fusion_needs_several_embeddings():
    with pytest.raises(DeclarationError, match="at least 2"):
        Fusion(on=("text",))
    with pytest.raises(DeclarationError):
        Fusion(on=("text", "image"), apply="each")


@pytest.mark.parametrize("before", [False, True])
def test_fused_items_are_candidates(train_tiny, before):
    """Embeddings of several widths are fused, before tasks have states of their own and after."""
    order = ("fused", "experts") if before else ("experts", "fused")
    parts = {
        "fused": "correlation.fused={use='fusion', on=['look', 'product'], dim=8}",
        "experts": "correlation.experts={use='mmoe', on=['product'], experts=2, units=8}",
    }
    sets = (*(parts[name] for name in order), "task.next.candidate=['fused']", "encoder.look.dim=6", "train.epochs=1")
    pipeline = train_tiny(*sets, unsets=("correlation",))
    fused = Forward(pipeline.model).entity_lane("fused").own.numpy()
    items = len(pipeline.fold.entities["item"])
    assert fused.shape == ((items, 8) if before else (items, 4, 8))
    assert len(np.unique(fused.round(6), axis=0)) == items


def test_import_is_light():
    check_import_is_light("mtkit.standard.correlations")
