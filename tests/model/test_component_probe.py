"""Components that look at other rows, or give something of another form, one fault at a time."""

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.data.catalogs import make_cuts
from mtkit.errors import ComponentError, WiringError
from mtkit.heads import PredictionHead
from mtkit.model.assembly import assemble
from mtkit.model.component_probe import check_components, spread_rows
from mtkit.recipe.loader import load_recipe
from mtkit.spec import Correlation, Encoder, PredictionTask


class Changed(keras.layers.Layer):
    """A linear map, and what a fault makes of it."""

    def __init__(self, dim, change, address=None, **options):
        super().__init__(**options)
        self.change, self.address, self.dense = change, address, keras.layers.Dense(dim)

    def call(self, inputs, training=False):
        if isinstance(inputs, dict):
            inputs = tf.concat([tf.cast(x, tf.float32) for x in inputs.values()], -1)
        return self.change(self.dense(inputs))


class Head(PredictionHead):
    def __init__(self, change, loss, **options):
        super().__init__(**options)
        self.change, self.of_loss, self.dense = change, loss, keras.layers.Dense(1)

    def call(self, view, training=False):
        return self.change(self.dense(tf.concat(list(view.values()), -1))[:, 0])

    def loss(self, outputs, labels):
        return self.of_loss(tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs))

    def predict(self, outputs):
        return tf.sigmoid(outputs)


FAULT = {}


class FaultyEncoder(Encoder):
    def build(self, context):
        return Changed(self.dim, FAULT["encoder"], name=context.name)


class FaultyCorrelation(Correlation):
    def build(self, context):
        return Changed(8, FAULT["correlation"], name=context.name)


class FaultyHead(PredictionTask):
    def build(self, context):
        return Head(FAULT.get("head", same), FAULT.get("loss", same), name=context.name)


def same(x):
    return x


RECIPE = """
recipe = 1
name = "faults"
[data]
use = "tiny_shop"
lines = 600
users = 20
[data.split]
use = "time"
valid = 2024-07-01
test = 2024-08-01
[rows.lines]
use = "interactions"
since = "90d"
labels = ["discounted"]
batch_size = 32
[encoder.customer]
use = "faulty"
reads = ["user.age"]
dim = 8
[encoder.product]
use = "features"
reads = ["item.color"]
dim = 8
[correlation.mix]
use = "faulty"
[task.discounted]
use = "faulty"
rows = "lines"
inputs = ["customer", "product"]
label = "discounted"
[evaluate]
prediction_metrics = ["auc"]
baselines = []
"""


@pytest.fixture
def checked(tiny_recipe, tmp_path):
    """Assembles the recipe with faults, and looks at it."""
    site = tmp_path / "site" / "faults-1.0.dist-info"
    site.mkdir()
    (site / "METADATA").write_text("Name: faults\nVersion: 1.0\n")
    kinds = {"encoder": FaultyEncoder, "correlation": FaultyCorrelation, "task_head": FaultyHead}
    lines = [f"[mtkit.{kind}]\nfaulty = {__name__}:{cls.__name__}\n" for kind, cls in kinds.items()]
    (site / "entry_points.txt").write_text("".join(lines))
    tiny_recipe.write_text(RECIPE)

    def checked(*sets, **faults):
        FAULT.clear()
        FAULT.update({"encoder": same, "correlation": same} | faults)
        recipe = load_recipe(tiny_recipe, sets)
        dataset = recipe.data.source.load()
        valid, _ = make_cuts(dataset, recipe.data.split)
        pipeline = assemble(recipe, dataset, valid, cache_dir=tmp_path)
        check_components(pipeline)
        return pipeline

    return checked


def less_mean(x):
    return x - tf.reduce_mean(x, 0, keepdims=True)


def test_what_is_right_passes_and_rows_are_spread(checked):
    pipeline = checked()
    rows = pipeline.tables["lines"]["train"]
    chosen = spread_rows(pipeline, "lines")
    assert len(chosen) == len(np.unique(rows.ids["user"][chosen])) == len(np.unique(rows.ids["item"][chosen])) == 8


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"encoder": less_mean}, r"encoder\.customer: its output for a row depends on the other rows"),
        ({"correlation": less_mean}, r"correlation\.mix: its output for a row depends on the other rows"),
        ({"head": lambda x: x - tf.reduce_max(x)}, r"task\.discounted: its output for a row depends on"),
        ({"loss": lambda x: x - 0.1 * tf.reduce_mean(x)}, r"task\.discounted: its loss for a row depends on"),
        ({"encoder": lambda x: x + tf.random.normal([8])}, r"encoder\.customer: its output is another one each time"),
        ({"encoder": lambda x: tf.pad(x, [[0, 0], [0, 1]])}, r"encoder\.customer: expected .*, \[2, 8\], got \[2, 9\]"),
        ({"encoder": lambda x: x[:, None]}, r"encoder\.customer: expected embeddings, \[2, 8\], got \[2, 1, 8\]"),
        ({"encoder": lambda x: tf.cast(x, tf.float64)}, r"encoder\.customer: expected .* type float32, got float64"),
        ({"encoder": lambda _: 1.0}, r"encoder\.customer: expected embeddings, \[2, 8\], got float, which is no tensor"),
        ({"correlation": lambda x: tf.stack([x] * 3, 1)}, r"correlation\.mix: .*, \[2, 1, rows\], got \[2, 3, 8\]"),
        ({"loss": tf.reduce_mean}, r"task\.discounted: expected losses, \[2\], got \[\]"),
        ({"loss": lambda x: x[:, None]}, r"task\.discounted: expected losses, \[2\], got \[2, 1\]"),
        ({"head": lambda x: tf.stack([x, x], 1), "loss": lambda x: x[:, 0]}, r"task\.discounted"),
    ],
)  # fmt: skip
def test_a_fault_is_found_and_named(checked, fault, message):
    with pytest.raises((WiringError, ComponentError), match=message):
        checked(**fault)


def test_what_is_not_declared_and_what_fails_is_told_by_whose_it_is(checked):
    def undeclared(_):
        return {"user.age": 1}["item.price"]

    with pytest.raises(ComponentError) as raised:
        checked(encoder=undeclared)
    assert str(raised.value).startswith(
        "encoder.customer: encoder 'faulty' of faults 1.0 failed at test_component_probe.py:"
    )
    assert "KeyError: item.price; it is given user.age, and not 'item.price'" in str(raised.value)
    assert isinstance(raised.value.origin, KeyError)
    with pytest.raises(ComponentError, match=r"correlation 'faulty' of faults 1\.0 failed at .*: ZeroDivisionError"):
        checked(correlation=lambda x: x * (1 / 0))
