import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.errors import WiringError
from mtkit.testing import check_correlation, check_import_is_light, check_layer_config
from mtkit_tfgnn.layers import TaskGraph

COMPLETE = [(i, j) for i in range(3) for j in range(3) if i != j]
CHAIN = [(0, 1), (2, 1), (1, 2)]
CONVOLUTIONS = pytest.mark.parametrize("conv", ["gcn", "gat_v2"])


def _states(rows=5, tasks=3, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, tasks, dim)).astype(np.float32)


def _adjacency(edges, tasks=3):
    matrix = np.zeros((tasks, tasks))
    for source, target in edges:
        matrix[target, source] = 1
    return matrix


def _slow_gcn(layer, states):
    weights = [variable.numpy() for variable in layer.trainable_variables]
    if layer.learned:
        powers = np.exp(weights.pop(0)) * (1 - np.eye(3))
        matrix = powers / powers.sum(-1, keepdims=True)
    else:
        matrix = _adjacency(layer.edges)
        matrix /= np.maximum(matrix.sum(-1, keepdims=True), 1)
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        mean = np.einsum("ts,bsd->btd", matrix, states)
        update = np.concatenate([states, mean], -1) @ kernel + bias
        update = np.maximum(update, 0) if layer.activation is keras.activations.relu else update / (1 + np.exp(-update))
        states = states + update if layer.residual else update
    return states


def _slow_gat(layer, states):
    """One round of GATv2 on a dense adjacency, equations 4 and 7 of Brody et al., then the update."""
    named = {variable.name.split("gat_v2_conv/")[-1]: variable.numpy() for variable in layer.trainable_variables}
    split = (*states.shape[:2], layer.heads, -1)
    query = (states @ named["query/kernel:0"] + named["query/bias:0"]).reshape(split)
    value = (states @ named["value_node/kernel:0"] + named["value_node/bias:0"]).reshape(split)
    mixed = query[:, :, None] + value[:, None]
    logits = np.einsum("btshk,kh->btsh", np.where(mixed > 0, mixed, 0.2 * mixed), named["attn_logits/kernel:0"])
    attention = np.exp(logits) * _adjacency(layer.edges)[None, :, :, None]
    attention /= np.maximum(attention.sum(2, keepdims=True), 1e-30)
    message = np.maximum(np.einsum("btsh,bshk->bthk", attention, value).reshape(states.shape), 0)
    kernel, bias = layer.trainable_variables[-2:]
    return states + np.maximum(np.concatenate([states, message], -1) @ kernel.numpy() + bias.numpy(), 0)


@CONVOLUTIONS
@pytest.mark.parametrize("shared", [True, False])
def test_conforms(conv, shared):
    check_correlation(TaskGraph(3, COMPLETE, conv=conv, layers=2), tasks=3, dim=8, shared=shared)


@pytest.mark.parametrize("edges", [COMPLETE, CHAIN, []])
@pytest.mark.parametrize(("residual", "activation"), [(True, "relu"), (False, "relu"), (True, "swish")])
def test_gcn_equals_dense_adjacency(edges, residual, activation):
    layer = TaskGraph(3, edges, layers=2, residual=residual, activation=activation)
    np.testing.assert_allclose(layer(_states()), _slow_gcn(layer, _states()), rtol=1e-5, atol=1e-5)


def test_learned_edges_equal_a_softmax_of_what_is_learned():
    layer = TaskGraph(3, COMPLETE, layers=2, learned=True)
    layer(_states())
    layer.pairs.assign(np.random.default_rng(1).normal(size=(3, 3)))
    np.testing.assert_allclose(layer(_states()), _slow_gcn(layer, _states()), rtol=1e-5, atol=1e-5)


def test_learned_edges_begin_equal_as_complete_ones():
    complete, learned = TaskGraph(3, COMPLETE), TaskGraph(3, COMPLETE, learned=True)
    complete(_states()), learned(_states())
    learned.rounds[0].set_weights(complete.rounds[0].get_weights())
    np.testing.assert_allclose(learned(_states()), complete(_states()), rtol=1e-5, atol=1e-6)
    assert TaskGraph(1, [], learned=True)(_states(tasks=1)).shape == (5, 1, 8)


def test_learned_edges_begin_by_an_affinity():
    """Task 0 is helped by 1 alone, task 1 thrice as much by 0 as by 2, and task 2 by none."""
    affinity = [[0, 0.3, -0.1], [0.2, 0, -0.2], [-0.5, 0.1, 0]]
    layer = TaskGraph(3, COMPLETE, learned=True, affinity=affinity)
    layer(_states())
    expected = [[0, 0.95, 0.05], [0.9 * 0.75 + 0.05, 0, 0.9 * 0.25 + 0.05], [0.5, 0.5, 0]]
    np.testing.assert_allclose(layer._heard(tf.constant(_states())), expected, atol=1e-6)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("edges", [COMPLETE, CHAIN, []])
def test_gcn_is_an_update_by_the_mean_of_the_sources(edges, residual):
    layer, states = TaskGraph(3, edges, residual=residual), _states()
    found = layer(states)
    kernel, bias = layer.get_weights()
    for task in range(3):
        sources = [source for source, target in edges if target == task]
        mean = states[:, sources].mean(1) if sources else np.zeros_like(states[:, task])
        updated = np.maximum(np.concatenate([states[:, task], mean], 1) @ kernel + bias, 0)
        expected = updated + residual * states[:, task]
        np.testing.assert_allclose(found[:, task], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("edges", [COMPLETE, CHAIN, []])
def test_gat_equals_dense_attention(edges):
    layer = TaskGraph(3, edges, conv="gat_v2", heads=2)
    np.testing.assert_allclose(layer(_states()), _slow_gat(layer, _states()), rtol=1e-5, atol=1e-5)


@CONVOLUTIONS
@pytest.mark.parametrize("edges", [COMPLETE, CHAIN, []])
def test_a_task_hears_the_sources_of_its_edges_and_no_other(conv, edges):
    layer = TaskGraph(3, edges, conv=conv)
    states = _states()
    before = layer(states).numpy()
    for source in range(3):
        moved = states.copy()
        moved[:, source] += 1
        after = layer(moved).numpy()
        for target in {0, 1, 2} - {source}:
            same = np.array_equal(before[:, target], after[:, target])
            assert same == ((source, target) not in edges)


@CONVOLUTIONS
def test_without_edges_nothing_is_nan(conv):
    layer = TaskGraph(3, [], conv=conv)
    with tf.GradientTape() as tape:
        outputs = layer(_states())
        total = tf.reduce_sum(outputs)
    gradients = tape.gradient(total, layer.trainable_variables, unconnected_gradients="zero")
    assert np.isfinite(outputs).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@CONVOLUTIONS
def test_is_served_with_core_ops_alone(conv, tmp_path):
    layer = TaskGraph(3, COMPLETE, conv=conv)
    expected = layer(_states())
    module = tf.Module()
    module.layer = layer
    module.serve = tf.function(layer, input_signature=[tf.TensorSpec([None, 3, 8])])
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(loaded.serve(_states()), expected, rtol=1e-5, atol=1e-6)
    graph = loaded.serve.get_concrete_function(tf.TensorSpec([None, 3, 8])).graph.as_graph_def()
    ops = {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}
    assert len(ops) > 10
    assert [op for op in ops if not hasattr(tf.raw_ops, op)] == []


@CONVOLUTIONS
def test_two_replicas_give_the_gradients_of_one(conv, two_replicas):
    states = _states(rows=6)
    with two_replicas.scope():
        layer = TaskGraph(3, COMPLETE, conv=conv)
        layer(states)

    def gradients(rows):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.sin(layer(rows)))
        return tape.gradient(total, layer.trainable_variables)

    share = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(states[3 * context.replica_id_in_sync_group :][:3])
    )
    both = tf.function(lambda rows: two_replicas.run(gradients, (rows,)))(share)
    for found, expected in zip(both, gradients(states), strict=True):
        np.testing.assert_allclose(two_replicas.reduce("SUM", found, axis=None), expected, rtol=1e-4, atol=1e-5)


def test_shared_state_becomes_different_by_task():
    outputs = TaskGraph(3, COMPLETE)(_states()[:, 0])
    assert np.ptp(outputs, axis=1).max() > 0.1


@pytest.mark.parametrize("shared", [True, False])
def test_learned_edges_conform(shared):
    check_correlation(TaskGraph(3, COMPLETE, learned=True), tasks=3, dim=8, shared=shared)
    check_layer_config(TaskGraph(3, COMPLETE, learned=True, affinity=np.eye(3).tolist()))


def test_axes_are_those_of_tasks():
    layer = TaskGraph(3, COMPLETE, learned=True)
    layer(_states()[:, 0])
    assert [(axis.variable.shape.as_list(), axis.axis, axis.of) for axis in layer.axes()] == [
        ([3, 8], 0, "task"), ([3, 3], 0, "task"), ([3, 3], 1, "task")
    ]  # fmt: skip


def test_config():
    check_layer_config(
        TaskGraph(3, CHAIN, conv="gat_v2", heads=2, layers=2, activation="gelu", residual=False, name="graph")
    )


@pytest.mark.parametrize(
    ("dim", "tasks", "message"),
    [
        (6, 3, "graph: heads = 4 does not divide the width 6"),
        (8, 2, "graph: expected the states of 3 tasks, got those of 2"),
    ],
)
def test_refuses_states_that_do_not_fit(dim, tasks, message):
    with pytest.raises(WiringError, match=message):
        TaskGraph(3, COMPLETE, conv="gat_v2", name="graph")(_states(tasks=tasks, dim=dim))


@pytest.mark.slow
def test_import_alone_finds_keras_2():
    check_import_is_light("mtkit_tfgnn.layers", heavy=["keras"])
