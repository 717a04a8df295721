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
    """A linear map, and what the fault of a kind makes of it."""

    def __init__(self, dim, kind, **options):
        super().__init__(**options)
        self.kind, self.dense = kind, keras.layers.Dense(dim)
        self.gate = self.add_weight("gate", (), initializer="zeros")

    def call(self, inputs, training=False):
        if isinstance(inputs, dict):
            inputs = tf.concat([tf.cast(x, tf.float32) for x in inputs.values()], -1)
        outputs = self.dense(inputs)
        if training:
            outputs = FAULT.get(f"{self.kind} in training", same)(outputs)
        gated = FAULT.get(f"gated {self.kind}")
        return FAULT.get(self.kind, same)(outputs if gated is None else outputs + self.gate * gated(outputs))


class Head(PredictionHead):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(1)

    def call(self, view, training=False):
        logits = self.dense(tf.concat(list(view.values()), -1))[:, 0]
        return FAULT.get("head in training" if training else "head", same)(logits)

    def loss(self, outputs, labels):
        return FAULT.get("loss", same)(tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs))

    def predict(self, outputs):
        return tf.sigmoid(outputs)


FAULT = {}


class FaultyEncoder(Encoder):
    def build(self, context):
        return Changed(self.dim, "encoder", name=context.name)


class FaultyCorrelation(Correlation):
    def build(self, context):
        return Changed(8, "correlation", name=context.name)


class FaultyHead(PredictionTask):
    def build(self, context):
        return Head(name=context.name)


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


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """The recipe assembled, with components that do what `FAULT` says."""
    FAULT.clear()
    directory = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        site = directory / "site" / "faults-1.0.dist-info"
        site.mkdir(parents=True)
        patch.syspath_prepend(site.parent)
        (site / "METADATA").write_text("Name: faults\nVersion: 1.0\n")
        kinds = {"encoder": FaultyEncoder, "correlation": FaultyCorrelation, "task_head": FaultyHead}
        lines = ["[mtkit.data_source]\ntiny_shop = tiny_shop:TinyShop\n"]
        lines += [f"[mtkit.{kind}]\nfaulty = {__name__}:{cls.__name__}\n" for kind, cls in kinds.items()]
        (site / "entry_points.txt").write_text("".join(lines))
        (directory / "faults.toml").write_text(RECIPE)
        recipe = load_recipe(directory / "faults.toml")
        dataset = recipe.data.source.load()
        valid, _ = make_cuts(dataset, recipe.data.split)
        yield assemble(recipe, dataset, valid, cache_dir=directory)


@pytest.fixture
def check(pipeline):
    """Looks at the model with faults."""

    def check(**faults):
        FAULT.clear()
        FAULT.update(faults)
        check_components(pipeline)

    yield check
    FAULT.clear()


def less_mean(x):
    return x - tf.reduce_mean(x, 0, keepdims=True)


def test_what_is_right_passes_and_rows_are_spread(check, pipeline):
    check()
    assert float(pipeline.model.encoders["customer"].gate) == 0, "what was opened is closed again"
    rows = pipeline.tables["lines"]["train"]
    chosen = spread_rows(pipeline, "lines")
    assert len(chosen) == len(np.unique(rows.ids["user"][chosen])) == len(np.unique(rows.ids["item"][chosen])) == 8


def test_what_draws_in_training_passes(check):
    check(
        **{"encoder in training": lambda x: tf.nn.dropout(x, 0.5), "head in training": lambda x: tf.nn.dropout(x, 0.5)}
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"encoder": less_mean}, r"encoder\.customer: its output for a row depends on the other rows"),
        ({"correlation": less_mean}, r"correlation\.mix: its output for a row depends on the other rows"),
        ({"encoder in training": less_mean}, r"encoder\.customer: its output in training for a row depends on the other"),
        ({"correlation in training": less_mean}, r"correlation\.mix: its output in training for a row depends on"),
        ({"head in training": lambda x: x - tf.reduce_max(x)}, r"task\.discounted: its output in training for a row"),
        ({"gated correlation": less_mean}, r"correlation\.mix: its output for a row depends on the other rows"),
        ({"head": lambda x: x - tf.reduce_max(x)}, r"task\.discounted: its output for a row depends on"),
        ({"loss": lambda x: x - 0.1 * tf.reduce_mean(x)}, r"task\.discounted: its loss for a row depends on"),
        ({"encoder": lambda x: x + tf.random.normal([8])}, r"encoder\.customer: its output is another one each time"),
        ({"encoder": lambda x: tf.pad(x, [[0, 0], [0, 1]])}, r"encoder\.customer: expected .*, \[8, 8\], got \[8, 9\]"),
        ({"encoder": lambda x: x[:, None]}, r"encoder\.customer: expected embeddings, \[8, 8\], got \[8, 1, 8\]"),
        ({"encoder": lambda x: tf.cast(x, tf.float64)}, r"encoder\.customer: expected .* type float32, got float64"),
        ({"encoder": lambda _: 1.0}, r"encoder\.customer: expected embeddings, \[8, 8\], got float, which is no tensor"),
        ({"correlation": lambda x: tf.stack([x] * 3, 1)}, r"correlation\.mix: .*, \[8, 1, rows\], got \[8, 3, 8\]"),
        ({"loss": tf.reduce_mean}, r"task\.discounted: expected losses, \[8\], got \[\]"),
        ({"loss": lambda x: x[:, None]}, r"task\.discounted: expected losses, \[8\], got \[8, 1\]"),
        ({"head": lambda x: tf.stack([x, x], 1), "loss": lambda x: x[:, 0]}, r"task\.discounted"),
    ],
)  # fmt: skip
def test_a_fault_is_found_and_named(check, fault, message):
    with pytest.raises((WiringError, ComponentError), match=message):
        check(**fault)


def test_what_is_not_declared_and_what_fails_is_told_by_whose_it_is(check):
    def undeclared(_):
        return {"user.age": 1}["item.price"]

    with pytest.raises(ComponentError) as raised:
        check(encoder=undeclared)
    assert str(raised.value).startswith(
        "encoder.customer: encoder 'faulty' of faults 1.0 failed at test_component_probe.py:"
    )
    assert "KeyError: item.price; it is given user.age, and not 'item.price'" in str(raised.value)
    assert isinstance(raised.value.origin, KeyError)
    with pytest.raises(ComponentError, match=r"correlation 'faulty' of faults 1\.0 failed at .*: ZeroDivisionError"):
        check(correlation=lambda x: x * (1 / 0))
