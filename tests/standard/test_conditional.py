import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.errors import RecipeError, WiringError
from mtkit.layers.factorization_machine import FactorizationMachine
from mtkit.layers.final_mlp import FinalMlpHead
from mtkit.model.forward import Forward
from mtkit.recipe.alone import alone
from mtkit.recipe.loader import load_recipe
from mtkit.serving.export import save
from mtkit.standard.conditional import Conditional
from mtkit.testing import check_import_is_light, check_spec

UNSETS = ("correlation", "task.next", "task.department", "rows.windows", "rows.items", "encoder.past", "evaluate.main")
CONVERSION = (
    "task.bought={use='conditional', rows='lines', given='gift', inputs=['product', 'look'], label='discounted'}"
)
SETS = (
    "task.gift={use='user_preference', rows='lines', inputs=['customer', 'visit'], label='gift'}",
    "task.discounted.inputs=['customer', 'look']",
    CONVERSION,
    "train.epoch_of=lines",
)


def test_spec(make_context):
    spec = Conditional(rows="lines", inputs=("user", "item"), label="bought", given="click", focal=1.0)
    check_spec(spec)
    assert [(read.key, read.name) for read in spec.reads()] == [
        ("inputs", "user"), ("inputs", "item"), ("given", "task.click/logits")
    ]  # fmt: skip
    layer = spec.build(make_context("bought", tasks=("click", "bought")))
    assert (layer.inputs, layer.given, layer.of_classes.focal) == (("user", "item"), "task.click/logits", 1.0)
    with pytest.raises(WiringError, match=r"task\.bought: .* the label of 'click' has 3 classes"):
        spec.build(make_context("bought", classes={"click": 3, "bought": 2}))


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            {"given='gift'": "given='gft'"},
            r"task\.bought\.given: no task .* is called 'task\.gft/logits'; .*task\.gift/logits",
        ),
        ({"given='gift'": "given='bought'"}, "tasks read one another: bought -> bought"),
        ({"'look']": "'task.gift']"}, "inputs are embeddings here, but task.gift is the prediction of a task"),
    ],
)
def test_refuses_what_is_no_probability_to_be_multiplied(tiny_recipe, sets, message):
    conversion = CONVERSION
    for old, new in sets.items():
        conversion = conversion.replace(old, new)
    with pytest.raises(RecipeError, match=message):
        load_recipe(tiny_recipe, (SETS[0], SETS[1], conversion, SETS[3]), UNSETS)


def test_refuses_numbers(tiny_recipe):
    count = "task.gift={use='count', rows='lines', inputs=['customer'], label='gift'}"
    with pytest.raises(RecipeError, match=r"task\.bought\.given: 'gift' predicts no probability"):
        load_recipe(tiny_recipe, (count, *SETS[1:]), UNSETS)


def test_alone_it_keeps_the_other_task(tiny_recipe):
    one = alone(load_recipe(tiny_recipe, SETS, UNSETS), "bought")
    assert list(one.task) == ["gift", "bought"]
    assert list(one.encoder) == ["customer", "look", "product", "visit"]


def test_it_trains_both(train_tiny):
    pipeline = train_tiny(*SETS, "train.epochs=1", "rows.lines.since='30d'", unsets=UNSETS)
    model = pipeline.model
    batches = model.gather({"lines": tf.range(40, dtype=tf.int64)})
    with tf.GradientTape() as tape:
        loss = model.run(batches, training=True).losses["bought"].total
    heads = [model.heads[name].dense.kernel for name in ("gift", "bought", "discounted")]
    assert [g is not None and bool(np.any(g)) for g in tape.gradient(loss, heads)] == [True, True, False]
    forward = Forward(model)
    answers = {
        task: model.heads[task].answers(forward.task(task, batches["lines"])).numpy() for task in ("gift", "bought")
    }
    (own,) = model.heads["bought"].parts(forward.task("bought", batches["lines"])).values()
    np.testing.assert_allclose(answers["bought"], answers["gift"] * own, rtol=1e-4)


@pytest.mark.slow
def test_an_export_gives_both(train_tiny, tmp_path):
    pipeline = train_tiny(*SETS, "train.epochs=1", "rows.lines.since='30d'", unsets=UNSETS)
    signature = tf.saved_model.load(str(save(pipeline, tmp_path / "export", unseen=False))).signatures["rank"]
    asked = {"user_id": ["101", "102"], "item_id": ["p01", "p02"], "context_channel": ["web"] * 2}
    found = signature(**{name: tf.constant(values) for name, values in asked.items()}, context_hour=tf.fill([2], 9.0))
    assert set(found) == {"discounted", "gift", "bought", "bought_given_gift"}
    np.testing.assert_allclose(found["bought"], found["gift"] * found["bought_given_gift"], rtol=1e-4)


def test_logits_and_states_of_other_tasks_are_read(train_tiny):
    """Those are what its loss is computed from, and what its last layer reads."""
    inputs = "['customer', 'task.discounted', 'task.discounted/logits', 'task.discounted/state']"
    gift = f"task.gift={{use='recommendation', rows='lines', inputs={inputs}, label='gift'}}"
    pipeline = train_tiny(gift, SETS[1], SETS[3], "train.epochs=1", "rows.lines.since='30d'", unsets=UNSETS)
    rows = Forward(pipeline.model).task("gift", pipeline.model.gather({"lines": tf.range(9, dtype=tf.int64)})["lines"])
    view = pipeline.model.heads["gift"].view(rows)
    np.testing.assert_allclose(tf.sigmoid(view["task.discounted/logits"]), view["task.discounted"], rtol=1e-5)
    assert view["task.discounted/state"].shape == (9, 16)
    assert pipeline.model.heads["gift"].dense.kernel.shape[0] == 8 + 1 + 1 + 16
    np.testing.assert_array_equal(
        view["task.discounted/state"][:, :8], rows.beside("discounted").embeddings(["customer"])["customer"]
    )


def test_the_state_of_a_head_with_layers_is_what_its_last_one_reads():
    layer = FinalMlpHead(["a", "b"], first=[8, 4], second=[8, 6], heads=2)
    view = {name: tf.random.normal([5, 3]) for name in ("a", "b")}
    layer(view)
    assert layer.state_of(view).shape == (5, 4 + 6)
    plain = FactorizationMachine(["a", "b"], field=3)
    np.testing.assert_array_equal(plain.state_of(view), tf.concat([view["a"], view["b"]], 1))


def test_an_output_that_there_is_not_is_refused(tiny_recipe):
    gift = "task.gift={use='recommendation', rows='lines', inputs=['customer', 'task.discounted/logit'], label='gift'}"
    with pytest.raises(
        RecipeError, match=r"no task that predicts for each row is called 'task\.discounted/logit'; .*/logits"
    ):
        load_recipe(tiny_recipe, (gift, SETS[1], SETS[3]), UNSETS)


def test_import_is_light():
    check_import_is_light("mtkit.standard.conditional")
