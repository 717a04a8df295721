import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.target_attention import TargetAttention
from mtkit.optimizers import precision_scope
from mtkit.testing import check_encoder, check_layer_config

SIZE, DIM, LENGTH = 9, 4, 6
COLUMNS = {"sizes": {"history.kind": 3}, "widths": {"history.price": 2}}


def _inputs(rows=5):
    rng = np.random.default_rng(0)
    ids = rng.integers(1, SIZE, (rows, LENGTH)).astype(np.int32)
    ids[0, :4], ids[1] = 0, [0, 0, 0, 3, 3, 3]
    return {
        "history.item": tf.constant(ids),
        "item.id": tf.constant(rng.integers(0, SIZE, rows), tf.int32),
        "history.age": tf.constant(rng.random((rows, LENGTH)) * 30, tf.float32),
        "history.kind": tf.constant(rng.integers(0, 3, (rows, LENGTH)), tf.int32),
        "history.price": tf.constant(rng.normal(size=(rows, LENGTH, 2)), tf.float32),
        "catalog.text": tf.constant(rng.normal(size=(SIZE, 3)), tf.float32),
    }


def _layer(hidden=(5, 3), **options):
    """A layer whose weights are of about unit size."""
    layer = TargetAttention("item", SIZE, DIM, hidden, **options)
    layer(_inputs())
    rng = np.random.default_rng(1)
    for weights in layer.trainable_variables:
        weights.assign(rng.normal(size=weights.shape))
    return layer


def _slow(layer, inputs):
    """Row by row and event by event, the four vectors side by side, in float64."""
    values = {
        name: tensor.numpy().astype(float if tensor.dtype.is_floating else int) for name, tensor in inputs.items()
    }
    table = layer.items.numpy().astype(float)
    if layer.content:
        table = table + values["catalog.text"] @ layer._map.kernel.numpy()
    of = {address: weights.numpy().astype(float) for address, weights in layer._columns.items()}
    unit = [
        (layer.kernel.numpy(), layer.bias.numpy()),
        *((d.kernel.numpy(), d.bias.numpy()) for d in layer._unit.layers),
    ]
    states = []
    for row, past in enumerate(values["history.item"]):
        candidate, events, scores = table[values["item.id"][row]], [], []
        for at in np.flatnonzero(past):
            event = table[past[at]]
            event = event + sum(of[address][values[address][row, at]] for address in layer.sizes)
            event = event + sum(values[address][row, at] @ of[address] for address in layer.widths)
            x = [event, candidate, event * candidate, event - candidate]
            x = np.concatenate([*x, *([[np.log1p(values["history.age"][row, at])]] if layer.recency else [])])
            # The layer has the parts of a product and of a difference in this order, too.
            for kernel, bias in unit:
                x = np.maximum(x @ kernel + bias, 0)
            last = layer._unit.linear
            scores.append((x @ last.kernel.numpy())[0] + (0 if layer.softmax else last.bias.numpy()[0]))
            events.append(event)
        weights = np.exp(scores) / np.exp(scores).sum() if layer.softmax else scores
        states.append(np.sum([w * event for w, event in zip(weights, events, strict=True)], 0) + np.zeros(DIM))
    return np.array(states)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"softmax": True},
        {"content": "text"},
        {"recency": True},
        COLUMNS,
        {**COLUMNS, "content": "text", "softmax": True},
    ],
    ids=str,
)
def test_equals_a_slow_version(options):
    layer, inputs = _layer(**options), _inputs()
    np.testing.assert_allclose(layer(inputs), _slow(layer, inputs), rtol=1e-5, atol=2e-5)
    prepared = inputs | layer.prepare(inputs)
    np.testing.assert_array_equal(layer(prepared), layer(inputs))


def test_padding_counts_nothing_and_a_row_without_a_past_is_0():
    for softmax in (False, True):
        layer, inputs = _layer(softmax=softmax, recency=True), _inputs()
        longer = {name: tf.pad(inputs[name], [[0, 0], [7, 0]]) for name in ("history.item", "history.age")}
        np.testing.assert_allclose(layer(inputs | longer), layer(inputs), rtol=1e-5, atol=1e-5)
        nothing = inputs | {"history.item": tf.zeros_like(inputs["history.item"])}
        np.testing.assert_array_equal(layer(nothing), np.zeros((5, DIM)))


def test_the_candidate_decides_what_an_event_counts():
    layer, inputs = _layer(), _inputs()
    other = inputs | {"item.id": (inputs["item.id"] + 1) % SIZE}
    assert (np.abs(layer(other) - layer(inputs)).max(-1) > 1e-3).all()


def test_the_order_of_events_does_not_matter_and_repeats_add_up():
    layer, inputs = _layer(), _inputs()
    backwards = inputs | {"history.item": inputs["history.item"][:, ::-1]}
    np.testing.assert_allclose(layer(backwards), layer(inputs), rtol=1e-5, atol=1e-5)
    twice = inputs | {"history.item": tf.concat([inputs["history.item"]] * 2, 1)}
    np.testing.assert_allclose(layer(twice), 2 * layer(inputs), rtol=1e-5, atol=1e-5)


def test_events_are_dropped_in_training_alone():
    layer = _layer(dropout=0.5)
    inputs = {"history.item": tf.fill([4000, 1], 3), "item.id": tf.fill([4000], 2)}
    whole, found = layer(inputs).numpy(), layer(inputs, training=True).numpy()
    dropped = (found == 0).all(-1)
    assert 0.45 < dropped.mean() < 0.55
    np.testing.assert_allclose(found[~dropped], 2 * whole[~dropped], rtol=1e-5)


def test_gradients_of_items_are_rows():
    layer, inputs = _layer(content="text"), _inputs()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(inputs))
    assert isinstance(tape.gradient(total, layer.items), tf.IndexedSlices)


@pytest.mark.parametrize("options", [{}, {"softmax": True}, {**COLUMNS, "content": "text", "recency": True}], ids=str)
def test_conforms(options):
    inputs = _inputs()
    if "content" not in options:
        del inputs["catalog.text"]
    check_encoder(_layer((16, 8), **options), inputs, DIM)


def test_half_precision():
    with precision_scope("mixed_float16"):
        layer = TargetAttention("item", SIZE, DIM, content="text", recency=True)
    found = layer(_inputs())
    assert found.dtype == tf.float16
    assert np.isfinite(found).all()


def test_config():
    check_layer_config(
        TargetAttention("item", SIZE, DIM, (5,), "gelu", True, "text", 0.1, recency=True, **COLUMNS, name="seen")
    )
