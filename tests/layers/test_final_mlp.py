import numpy as np
import pytest

from mtkit.layers.final_mlp import FinalMlpHead
from mtkit.testing import check_layer_config, check_prediction_head

RNG = np.random.default_rng(0)
VIEW = {
    "user": RNG.normal(size=(6, 5)).astype(np.float32),
    "item": RNG.normal(size=(6, 3)).astype(np.float32),
    "task.other": RNG.random(6).astype(np.float32),
}
INPUTS = ["user", "item", "task.other"]


def made(classes=2, gates=(("user",), ("item",))):
    head = FinalMlpHead(INPUTS, classes, first=(6, 8), second=(4,), heads=2, gates=gates, gate_hidden=(3,))
    head(VIEW)
    for weights in head.trainable_variables:
        weights.assign(RNG.normal(size=weights.shape) / 2)
    return head


def dense(layer, x):
    return x @ layer.kernel.numpy().astype(float) + layer.bias.numpy()


def network(stack, x):
    for layer in stack.layers:
        x = np.maximum(dense(layer, x), 0)
    return x if stack.linear is None else dense(stack.linear, x)


def slow(head):
    """Row by row, head by head, class by class."""
    x = np.concatenate([VIEW["user"], VIEW["item"], VIEW["task.other"][:, None]], 1).astype(float)
    outputs = []
    for number, stream in enumerate(head.streams):
        by = head.gates[number]
        logits = network(head.networks[number], VIEW[by[0]].astype(float)) if by else head.vectors[number].numpy()
        outputs.append(network(stream, x * 2 / (1 + np.exp(-logits))))
    logits = dense(head.linear, np.concatenate(outputs, 1))
    one, two = (state.reshape(6, head.heads, -1) for state in outputs)
    for row in range(6):
        for part in range(head.heads):
            for of_class in range(logits.shape[1]):
                logits[row, of_class] += one[row, part] @ head.products.numpy()[part, of_class] @ two[row, part]
    return logits[:, 0] if logits.shape[1] == 1 else logits


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("gates", [((), ()), (("user",), ("item",)), ((), ("item",))], ids=str)
def test_equals_a_slow_version(classes, gates):
    head = made(classes, gates)
    np.testing.assert_allclose(head(VIEW), slow(head), rtol=1e-5, atol=1e-5)


def test_gates_begin_open_where_no_input_decides():
    head = FinalMlpHead(INPUTS)
    head(VIEW)
    assert [vector.numpy().tolist() for vector in head.vectors] == [[0.0] * 9] * 2


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("gates", [((), ()), (("user",), ("item",))], ids=str)
def test_conforms(classes, gates):
    check_prediction_head(FinalMlpHead(INPUTS, classes, gates=gates), VIEW, classes)
    check_layer_config(
        FinalMlpHead(INPUTS, classes, (4,), (8, 2), 2, gates, (3,), "gelu", 0.1, {"focal": 1.0}, name="it")
    )


def test_axes_say_what_is_read_and_which_classes_there_are():
    head = made(4)
    found = [(axis.variable.shape.as_list()[axis.axis], axis.of) for axis in head.axes()]
    inputs = (9, tuple(INPUTS))
    assert found[:2] == [inputs] * 2
    assert found[2:6] == [(5, ("user",)), inputs, (3, ("item",)), inputs]
    assert found[6:] == [(4, "class")] * 3
