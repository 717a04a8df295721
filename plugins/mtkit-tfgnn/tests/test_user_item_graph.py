import numpy as np
import pytest
from graphs import END, ITEMS, USERS, made_events, made_fold

from mtkit.backend import keras, tf
from mtkit.feed.batch import Batch
from mtkit.feed.neighborhoods import Neighborhoods
from mtkit.optimizers import precision_scope
from mtkit.spec import Neighborhood
from mtkit.testing import check_encoder, check_layer_config
from mtkit_tfgnn.user_item_graph import UserItemGraph

CONVOLUTIONS = pytest.mark.parametrize("convolution", ["lightgcn", "gat_v2"])
OWN = {"acting": "user.id", "item": "item.id"}
DIM = 8


def made_layer(root="acting", widths=(3, 2), **options):
    """With embeddings of about unit size, so that all that should differ does."""
    layer = UserItemGraph(root, widths, {"acting": USERS, "item": ITEMS}, OWN, DIM, own=OWN[root], **options)
    rng = np.random.default_rng(4)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return layer


def inputs_of(root="acting", widths=(3, 2), kinds=1, friends=None, rows=6, seed=0):
    """Drawn neighbors, some of which are not there."""
    rng = np.random.default_rng(seed)
    sizes = {"acting": USERS, "item": ITEMS}
    ids = rng.integers(1, sizes[root], rows).astype(np.int32)
    found, shapes = {OWN[root]: ids}, {(): (rows,)}
    for branch in Neighborhood(root, widths, (None,) * kinds, friends).branches():
        shapes[branch.path] = (*shapes[branch.parent], branch.width)
        drawn = rng.integers(1, sizes[branch.side], shapes[branch.path])
        there = rng.random(shapes[branch.path]) < 0.7
        found[branch.neighbors] = np.where(there, drawn, 0).astype(np.int32)
        found[branch.degree] = np.maximum(there.sum(-1), 1).astype(np.int32) * 3
        found[branch.back] = rng.integers(1, 9, shapes[branch.path]).astype(np.int32)
    return found


def graph_inputs(fold, asked, users, items):
    batch = Batch({"user": users, "item": items}, known=tf.fill([len(users)], tf.constant(END, tf.int64)))
    return Neighborhoods.of(fold, [asked]).around(batch, asked, None)


@pytest.mark.parametrize(("root", "distances"), [("acting", 1), ("acting", 2), ("acting", 3), ("item", 2)])
def test_where_all_neighbors_are_read_it_is_lightgcn(root, distances):
    """The mean of the first powers of the normalized adjacency matrix times all embeddings, equations 3, 4 and 8 of He et al."""
    user, item, time, kind = made_events(size=40)
    item = np.maximum(item, 1)
    widths = (12,) * distances
    asked = Neighborhood(root, widths, degrees=True)
    users, items = np.arange(1, USERS, dtype=np.int32), np.minimum(np.arange(1, USERS), ITEMS - 1).astype(np.int32)
    given = graph_inputs(made_fold(user, item, time, kind), asked, users, items)
    layer = made_layer(root, widths)
    own = users if root == "acting" else items
    assert max(values.numpy().max() for name, values in given.items() if name.startswith("degree")) <= 12
    tables = {weight.name: weight.numpy() for weight in layer.weights}
    states = np.concatenate([tables["user_id:0"], tables["item_id:0"]]) if distances else None
    matrix = np.zeros((USERS + ITEMS, USERS + ITEMS))
    np.add.at(matrix, (user, USERS + item), 1)
    matrix += matrix.T
    degree = np.maximum(matrix.sum(1), 1)
    matrix /= np.sqrt(degree[:, None] * degree[None])
    mean = sum(np.linalg.matrix_power(matrix, power) @ states for power in range(distances + 1)) / (distances + 1)
    expected = mean[own] if root == "acting" else mean[USERS + own]
    np.testing.assert_allclose(layer({OWN[root]: own, **given}), expected, rtol=1e-5, atol=1e-5)


def slow_sum(layer, given, row, path, side, place):
    """The state of a node of a row, by equations of the class, one node after another."""
    node = given[OWN[side]][row] if not path else given[".".join(map(str, ("neighbors", *path)))][(row, *place)]
    tables = {weight.name.split("/")[-1]: weight.numpy() for weight in layer.weights}
    state = tables["user_id:0" if side == "acting" else "item_id:0"][node]
    around = Neighborhood(layer.root, layer.widths, (None,) * layer.kinds, "friends" if layer.friends else None)
    for branch in (branch for branch in around.branches() if branch.parent == path):
        ids = given[branch.neighbors][(row, *place)]
        message = np.zeros(DIM)
        for number in np.flatnonzero(ids):
            weight = 1 / (ids > 0).sum()
            if layer.normalize == "symmetric":
                weight *= np.sqrt(given[branch.degree][(row, *place)] / given[branch.back][(row, *place, number)])
            message += weight * slow_sum(layer, given, row, branch.path, branch.side, (*place, number))
        state = state + message * scale_of(layer, branch)
    return state


def scale_of(layer, branch):
    scales = layer._updates[len(layer.widths) - len(branch.path)]._node_set_updates
    name = ".".join(("row", *map(str, branch.parent)))
    conv = scales[name]._edge_set_inputs[".".join(("row", *map(str, branch.path)))]
    return 1.0 if conv._scale is None else conv._scale.numpy()


@pytest.mark.parametrize("normalize", ["symmetric", "mean"])
@pytest.mark.parametrize(("root", "kinds", "friends"), [("acting", 1, None), ("item", 2, "friends")])
def test_sums_are_those_of_single_nodes(root, kinds, friends, normalize):
    layer = made_layer(root, kinds=kinds, friends=friends is not None, normalize=normalize)
    given = inputs_of(root, kinds=kinds, friends=friends)
    expected = [slow_sum(layer, given, row, (), root, ()) / 3 for row in range(6)]
    np.testing.assert_allclose(layer(given), expected, rtol=1e-5, atol=1e-5)


def slow_attention(update, states, ids, neighbors):
    """A node set's update by GATv2, equations 4 and 7 of Brody et al., of one kind."""
    query_kernel, query_bias, value_kernel, value_bias, vectors, kernel, bias = (w.numpy() for w in update.weights)
    heads = vectors.shape[1]
    query = (states @ query_kernel + query_bias).reshape(*states.shape[:-1], heads, -1)
    value = (neighbors @ value_kernel + value_bias).reshape(*neighbors.shape[:-1], heads, -1)
    mixed = query[..., None, :, :] + value
    logits = np.einsum("...nhk,kh->...nh", np.where(mixed > 0, mixed, 0.2 * mixed), vectors)
    weights = np.exp(logits) * (ids > 0)[..., None]
    weights /= np.maximum(weights.sum(-2, keepdims=True), 1e-30)
    message = np.maximum(np.einsum("...nh,...nhk->...hk", weights, value).reshape(states.shape), 0)
    return states + np.maximum(np.concatenate([states, message], -1) @ kernel + bias, 0)


def test_attention_is_that_of_its_equations():
    layer, given = made_layer(convolution="gat_v2", heads=2), inputs_of()
    layer(given)
    rng = np.random.default_rng(5)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) / 2)
    users, items = (table.numpy() for table in layer._tables.values())
    first, second = given["neighbors.0"], given["neighbors.0.0"]
    near = slow_attention(layer._updates[0], items[first], second, users[second])
    expected = slow_attention(layer._updates[1], users[given["user.id"]], first, near)
    np.testing.assert_allclose(layer(given), expected, rtol=1e-5, atol=1e-5)


@CONVOLUTIONS
def test_conforms(convolution):
    layer = made_layer("item", kinds=2, friends=True, convolution=convolution)
    # Of a few rows, it may be that no unit prefers one neighbor to another, and queries have no gradient.
    given = inputs_of("item", kinds=2, friends="friends", rows=64)
    if convolution == "gat_v2":
        given = {name: values for name, values in given.items() if not name.startswith("degree")}
    check_encoder(layer, given, DIM)
    check_layer_config(layer)


@CONVOLUTIONS
def test_items_may_be_those_of_another_encoder_and_the_own_id_may_be_left_out(convolution):
    layer = UserItemGraph(
        "acting",
        (3,),
        {"acting": USERS, "item": ITEMS},
        OWN,
        DIM,
        convolution=convolution,
        content="item",
        normalize="mean",
    )
    given = inputs_of(widths=(3,))
    catalog = np.random.default_rng(1).normal(size=(ITEMS, DIM)).astype(np.float32)
    outputs = layer({"neighbors.0": given["neighbors.0"], "catalog.item": catalog})
    assert not [axis for axis in layer.axes() if axis.of == "item.id"]
    if convolution == "lightgcn":
        there = given["neighbors.0"] > 0
        mean = (catalog[given["neighbors.0"]] * there[..., None]).sum(1) / np.maximum(there.sum(1), 1)[:, None]
        np.testing.assert_allclose(outputs, mean / 2, rtol=1e-5, atol=1e-6)


@CONVOLUTIONS
def test_without_neighbors_nothing_is_nan(convolution):
    layer = made_layer(convolution=convolution)
    given = {name: values if name == "user.id" else np.zeros_like(values) for name, values in inputs_of().items()}
    with tf.GradientTape() as tape:
        outputs = layer(given)
        total = tf.reduce_sum(outputs)
    gradients = tape.gradient(total, layer.trainable_variables, unconnected_gradients="zero")
    assert np.isfinite(outputs).all()
    assert all(np.isfinite(gradient).all() for gradient in map(tf.convert_to_tensor, gradients))
    if convolution == "lightgcn":
        np.testing.assert_allclose(outputs, layer.weights[0].numpy()[given["user.id"]] / 3, rtol=1e-6)


def test_edges_and_own_ids_are_left_out_in_training_alone():
    keras.utils.set_random_seed(0)
    given = inputs_of(widths=(3,), rows=200)
    edges, own = made_layer(widths=(3,), dropout=0.5), made_layer(widths=(3,), id_dropout=0.3)
    for layer in (edges, own):
        assert (np.abs(layer(given, training=True) - layer(given)).max(1) > 1e-6).mean() > 0.2
        np.testing.assert_array_equal(layer(given), layer(given))
    hidden = own(given | {"user.id": np.zeros_like(given["user.id"])})
    outputs = own(given, training=True).numpy()
    share = (np.abs(outputs - hidden).max(1) < 1e-6).mean()
    assert 0.2 < share < 0.4
    train = tf.function(lambda: edges(given, training=True))
    mean = np.mean([train() for _ in range(100)], 0)
    assert np.abs(mean - edges(given)).mean() < 0.05


@CONVOLUTIONS
def test_is_served_with_core_ops_alone(convolution, tmp_path):
    layer, given = made_layer(convolution=convolution), inputs_of()
    expected = layer(given)
    module = tf.Module()
    module.weights = layer.weights
    signature = {name: tf.TensorSpec([None, *values.shape[1:]], tf.int32) for name, values in given.items()}
    module.serve = tf.function(layer, input_signature=[signature])
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    constants = {name: tf.constant(values) for name, values in given.items()}
    np.testing.assert_allclose(loaded.serve(constants), expected, rtol=1e-5, atol=1e-6)
    graph = loaded.serve.get_concrete_function(signature).graph.as_graph_def()
    ops = {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}
    assert [op for op in ops if not hasattr(tf.raw_ops, op)] == []


@CONVOLUTIONS
def test_two_replicas_give_the_gradients_of_one(convolution, two_replicas):
    given = {name: tf.constant(values) for name, values in inputs_of().items()}
    with two_replicas.scope():
        layer = made_layer(convolution=convolution)
        layer(given)

    def gradients(rows):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.sin(layer(rows)))
        return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(total, layer.trainable_variables)]

    def part(context):
        first = 3 * context.replica_id_in_sync_group
        return {name: values[first : first + 3] for name, values in given.items()}

    share = two_replicas.experimental_distribute_values_from_function(part)
    both = tf.function(lambda rows: two_replicas.run(gradients, (rows,)))(share)
    for found, expected in zip(both, gradients(given), strict=True):
        np.testing.assert_allclose(two_replicas.reduce("SUM", found, axis=None), expected, rtol=1e-4, atol=1e-5)


@CONVOLUTIONS
def test_xla_computes_the_same(convolution):
    layer = made_layer(convolution=convolution)
    given = {name: tf.constant(values) for name, values in inputs_of().items()}
    compiled = tf.function(layer, jit_compile=True)(given)
    np.testing.assert_allclose(compiled, layer(given), rtol=1e-4, atol=1e-5)


@CONVOLUTIONS
def test_half_precision_holds_large_numbers_of_edges(convolution):
    given = inputs_of()
    given |= {name: 70_000 * values for name, values in given.items() if name.startswith("degree")}
    outputs = []
    for precision in ("mixed_float16", "float32"):
        with precision_scope(precision):
            outputs.append(made_layer(convolution=convolution)(given))
    assert outputs[0].dtype == tf.float16
    assert np.isfinite(outputs[0]).all()
    if convolution == "lightgcn":
        np.testing.assert_allclose(outputs[0], outputs[1], rtol=0.01, atol=0.1 * np.abs(outputs[1]).mean())
