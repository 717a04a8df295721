import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.distribute import gather_rolled
from mtkit.heads import Candidates
from mtkit.model.forward import Forward
from mtkit.optimizers import precision_scope
from mtkit.testing import check_import_is_light, check_layer_config, check_prediction_head, check_retrieval_head
from mtkit_tfrs.layers import DeepCross, TwoTower


def _normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _tower(**options):
    return TwoTower(["user", "past"], ["item"], dim=8, **options)


def test_scores_begin_as_inner_products_of_sums():
    views = {name: tf.constant(_normal(5, 8, seed=number)) for number, name in enumerate(["user", "past", "item"])}
    tower = _tower()
    found = tower.query(views) @ tf.transpose(tower.candidate(views, tf.range(5)))
    np.testing.assert_allclose(
        found, (views["user"] + views["past"]) @ tf.transpose(views["item"]), rtol=1e-5, atol=1e-5
    )


def _slow_softmax(query, embeddings, ids, weights, temperature=1.0):
    """Loss of each row by a loop: the positive against candidates that exist and are another item."""
    losses = []
    for row in range(len(query)):
        scores = embeddings.astype(np.float64) @ query[row] / temperature
        rivals = [c for c in range(len(ids)) if c == row or (weights[c] > 0 and ids[c] != ids[row])]
        losses.append(np.log(np.exp(scores[rivals]).sum()) - scores[row])
    return losses


@pytest.mark.parametrize("hidden", [(), (16, 8)])
def test_two_tower_conforms(hidden):
    query = {"user": _normal(6, 4), "past": _normal(6, 3)}
    check_retrieval_head(_tower(hidden=hidden), query, {"item": _normal(6, 5, seed=1)})


def test_two_tower_loss_is_the_softmax_over_candidates_that_exist_and_are_no_hits():
    query, embeddings = _normal(4, 8), _normal(7, 8, seed=1)
    ids, weights = np.array([3, 5, 3, 1, 5, 8, 9]), np.float32([1, 1, 1, 0, 1, 0, 0.5])
    candidates = Candidates(tf.constant(embeddings), tf.constant(ids), tf.constant(weights))
    loss = _tower(temperature=0.7).loss(tf.constant(query), candidates, {})
    np.testing.assert_allclose(loss, _slow_softmax(query, embeddings, ids, weights, 0.7), rtol=1e-5)


def test_two_tower_keeps_hits_if_asked():
    query = tf.ones([2, 8])
    candidates = Candidates(tf.ones([2, 8]), tf.constant([4, 4]), tf.ones([2]))
    np.testing.assert_allclose(_tower().loss(query, candidates, {}), [0, 0], atol=1e-6)
    loss = _tower(remove_accidental_hits=False).loss(query, candidates, {})
    np.testing.assert_allclose(loss, [np.log(2)] * 2, rtol=1e-6)


def test_the_losses_are_those_of_the_tasks_of_tfrs(monkeypatch):
    import tensorflow_recommenders as tfrs

    tower, ranking = _tower(), DeepCross(["a"])
    assert type(tower.task) is tfrs.tasks.Retrieval
    assert type(ranking.task) is tfrs.tasks.Ranking
    for head in (tower, ranking):
        monkeypatch.setattr(head.task, "call", lambda *args, **options: tf.constant([42.0]))
    assert tower.loss(tf.ones([1, 8]), Candidates(tf.ones([1, 8]), tf.constant([4]), tf.ones([1])), {}) == [42]
    assert ranking.loss(tf.ones([1]), tf.ones([1])) == [42]


def test_two_tower_on_two_replicas_has_the_losses_of_one(two_replicas):
    query, embeddings = _normal(6, 8), _normal(6, 8, seed=1)
    ids, weights = np.array([3, 5, 3, 1, 5, 8]), np.float32([1, 1, 1, 0, 1, 1])
    head = _tower()

    def local(context):
        share = slice(3 * context.replica_id_in_sync_group, 3 * context.replica_id_in_sync_group + 3)
        return tuple(tf.constant(values[share]) for values in (query, embeddings, ids, weights))

    @tf.function
    def losses(rows):
        return two_replicas.run(lambda own, *rest: head.loss(own, Candidates(*map(gather_rolled, rest)), {}), rows)

    found = losses(two_replicas.experimental_distribute_values_from_function(local))
    found = np.concatenate(two_replicas.experimental_local_results(found))
    np.testing.assert_allclose(found, _slow_softmax(query, embeddings, ids, weights), rtol=1e-5)


@pytest.mark.parametrize("cross_layers", [0, 2])
def test_deep_cross_conforms(cross_layers):
    view = {"user": _normal(6, 4), "item": _normal(6, 3, seed=1), "task.topic": _normal(6, seed=2)}
    check_prediction_head(DeepCross(list(view), cross_layers=cross_layers, units=(32, 16)), view)


def test_deep_cross_is_the_published_formula():
    head = DeepCross(["a", "b"], cross_layers=2, units=())
    view = {"a": tf.constant(_normal(5, 3)), "b": tf.constant(_normal(5, 2, seed=1))}
    head(view)
    first = x = np.concatenate([view["a"], view["b"]], -1)
    for cross in head.crosses:
        kernel, bias = cross.get_weights()
        x = first * (x @ kernel + bias) + x
    kernel, bias = head.logit.get_weights()
    np.testing.assert_allclose(head(view), (x @ kernel + bias)[:, 0], rtol=1e-5, atol=1e-6)


def test_deep_cross_loss_is_the_cross_entropy_of_each_row():
    head = DeepCross(["a"])
    labels, outputs = np.float32([0, 1, 1]), np.float32([-2, 0.5, 3])
    probability = 1 / (1 + np.exp(-outputs))
    expected = -np.log(np.where(labels > 0, probability, 1 - probability))
    np.testing.assert_allclose(head.loss(tf.constant(outputs), tf.constant(labels)), expected, rtol=1e-5)
    np.testing.assert_allclose(head.predict(tf.constant(outputs)), probability, rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_losses_are_float32_under_a_mixed_policy(policy):
    with precision_scope(policy):
        tower, ranking = _tower(), DeepCross(["a"])
        query = tower.query({"user": tf.ones([3, 4]), "past": tf.ones([3, 2])})
        candidates = Candidates(tower.candidate({"item": tf.ones([3, 4])}, tf.range(3)), tf.range(3), tf.ones([3]))
        losses = [tower.loss(query, candidates, {}), ranking.loss(ranking({"a": tf.ones([3, 4])}), tf.ones([3]))]
        exact = _normal(3, 8)
        loss = tower.loss(exact, Candidates(tf.constant(exact), tf.range(3), tf.ones([3])), {})
    assert [loss.dtype for loss in losses] == [tf.float32] * 2
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(loss, _slow_softmax(exact, exact, range(3), [1] * 3), rtol=1e-5, atol=1e-6)


def test_config():
    check_layer_config(_tower(hidden=(4,), temperature=0.5, remove_accidental_hits=False, name="next"))
    check_layer_config(DeepCross(["a", "b"], cross_layers=2, units=(8, 4), activation="swish", name="coupon"))


@pytest.mark.slow
def test_import_alone_finds_keras_2():
    check_import_is_light("mtkit_tfrs.layers", heavy=["keras"])


def test_rows_that_were_not_chosen_are_negatives_alone(train_tiny):
    """Their items stand among the candidates of the others, and they have no loss of their own."""
    retrieval = (
        'task.next={use = "tfrs_retrieval", rows = "lines", evaluate = "windows", query = ["customer", "past"], '
        'candidate = ["product"], label = "discounted"}'
    )
    pipeline = train_tiny(retrieval, "train.epochs=1", "rows.lines.sample=300", unsets=["task.next"])
    table = pipeline.tables["lines"]["train"]
    rows = tf.range(64, dtype=tf.int64)
    batch = pipeline.model.feed.batch("lines", rows)
    task = Forward(pipeline.model).task("next", batch)
    head = pipeline.model.heads["next"]
    losses, weights = head.losses(task)
    positive = table.labels["discounted"][:64] * table.weights["discounted"][:64]
    assert 0 < positive.sum() < 64
    np.testing.assert_array_equal(weights, positive)
    # As they are without a label: all rows are there, and candidates of one another.
    candidates = head.against(task)
    np.testing.assert_array_equal(candidates.weights, np.ones(64))
    np.testing.assert_array_equal(candidates.ids, batch.ids["item"])
    np.testing.assert_array_equal(losses, head.loss(head.queries(task), candidates, batch))
