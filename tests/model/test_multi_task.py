from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import small_model
from small_model import DIM, ENCODERS, ITEMS, LINES, NEXT, WINDOWS, answers_of, numbered, prediction

from mtkit.backend import keras, tf
from mtkit.errors import StrategyError
from mtkit.heads import Batch, PredictionHead, RetrievalHead
from mtkit.model.forward import Forward, encode_limited
from mtkit.optimizers import OPTIMIZERS, precision_scope
from mtkit.recipe.plan import Plan
from mtkit.spec import RetrievalTask
from mtkit.standard import balancers, correlations, encoders, heads
from mtkit.standard.retrieval import Retrieval
from mtkit.types import ROW_WEIGHT, Ragged


class Dot(RetrievalHead):
    """The softmax over the candidates of the batch that are there."""

    def query(self, view, training=False):
        return tf.add_n(list(view.values()))

    def candidate(self, view, ids, training=False):
        return tf.add_n(list(view.values()))

    def loss(self, query, candidates, batch, training=False):
        self.seen = candidates
        scores = tf.matmul(query, candidates.embeddings, transpose_b=True)
        scores = tf.where(candidates.weights > 0, scores, -1e9)
        return -tf.linalg.diag_part(tf.nn.log_softmax(scores))


class InBatch(RetrievalTask):
    """Retrieval against the batch."""

    candidates: ClassVar = "batch"

    def build(self, context):
        return Dot(name=context.name)


def _step(model, rows):
    """Loss per task, and the gradients of the objective, dense."""
    with tf.GradientTape() as tape:
        losses = model.run(model.gather(rows), training=True).losses
        objective = model.step.objective(losses, model)
    gradients = tape.gradient(objective, model.trainable_variables, unconnected_gradients="zero")
    means = {name: float(tf.math.divide_no_nan(loss.total, loss.weight)) for name, loss in losses.items()}
    return means, [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


def _assert_same(found, expected):
    assert found[0] == pytest.approx(expected[0], abs=1e-5)
    for some, others in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(some, others, atol=1e-5)


CLICK = {"click": prediction("user", "item", "past")}
FORMS = {
    "prediction": (CLICK, "lines"),
    "catalog": ({"next": NEXT}, "windows"),
    "batch": ({"next": InBatch(rows="lines", query=("past",), candidate=("item",))}, "lines"),
}


def _retrieval(rows, **options):
    return Retrieval(rows=rows, query=("past", "user"), candidate=("item",), **options)


FORMS |= {
    f"{rows}-{'-'.join(map(str, options.values()))}": ({"next": _retrieval(rows, **options)}, rows)
    for rows, options in (
        ("lines", {"loss": "softmax", "negatives": "catalog", "bias": True}),
        ("windows", {"loss": "softmax", "negatives": "catalog"}),
        ("windows", {"loss": "squared", "negatives": "catalog", "bias": True}),
        ("lines", {"loss": "softmax", "negatives": "batch", "normalize": True}),
        ("lines", {"loss": "binary", "negatives": "mixed", "number": 4}),
        ("lines", {"loss": "bpr", "negatives": "uniform", "number": 3, "shared": False}),
        ("lines", {"loss": "softmax", "negatives": "uniform", "number": 4}),
        ("windows", {"loss": "softmax", "negatives": "popularity", "number": 4}),
        ("windows", {"loss": "hinge", "negatives": "uniform", "hard": 2, "number": 4}),
    )
}


@pytest.mark.parametrize("form", FORMS)
def test_no_row_is_as_good_as_no_row_at_all(make_model, form):
    tasks, table = FORMS[form]
    model = make_model(tasks)
    _assert_same(_step(model, numbered(**{table: [3, 2, -1, -1]})), _step(model, numbered(**{table: [3, 2]})))


def _weigh(model, table, weights):
    """Says what the rows of a table count for all tasks."""
    model.feed.rows[table].dense[ROW_WEIGHT] = tf.Variable(np.float32(weights))
    return model


@pytest.mark.parametrize("form", FORMS)
def test_a_row_that_counts_nothing_is_as_good_as_no_row_at_all(make_model, form):
    tasks, table = FORMS[form]
    weights = np.arange(LINES if table == "lines" else WINDOWS) != 1
    model = _weigh(make_model(tasks), table, weights)
    _assert_same(_step(model, numbered(**{table: [3, 0, 1]})), _step(model, numbered(**{table: [3, 0]})))


@pytest.mark.parametrize("form", FORMS)
def test_losses_count_as_their_rows_do(make_model, form):
    tasks, table = FORMS[form]
    model, ((task, _),) = make_model(tasks), tasks.items()
    rows = tf.constant([3, 0, 2, 3], tf.int64)
    losses, weights = Forward(model).losses(task, model.feed.batch(table, rows))
    _weigh(model, table, 1 + np.arange(LINES if table == "lines" else WINDOWS))
    found, weighed = Forward(model).losses(task, model.feed.batch(table, rows))
    np.testing.assert_allclose(found, losses, rtol=1e-6)
    np.testing.assert_array_equal(weighed, weights.numpy() * [4, 1, 3, 4])


def test_a_row_of_weight_0_is_as_good_as_no_row_whatever_its_label(make_model):
    model = make_model(CLICK)
    assert np.isnan(model.feed.rows["lines"].labels["clicked"][1])
    found = _step(model, numbered(lines=[0, 1, 2]))
    assert np.isfinite(found[0]["click"])
    _assert_same(found, _step(model, numbered(lines=[0, 2])))


@pytest.mark.parametrize("balance", [balancers.Fixed(), balancers.Uncertainty()], ids=lambda spec: type(spec).__name__)
def test_a_batch_without_labels_moves_nothing(make_model, balance):
    model = make_model(CLICK, balance=balance)
    for rows in ([1, 4, 7], [-1, -1]):
        means, gradients = _step(model, numbered(lines=rows))
        assert means == {"click": 0}
        for gradient in gradients:
            np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def test_a_task_is_the_weighted_mean_of_its_rows_times_its_weight(make_model):
    model = make_model({"click": prediction("user", weight=0.5), "like": prediction("item", label="liked")})
    batch = model.gather(numbered(lines=[0, 1, 2, 3]))["lines"]
    forward = Forward(model)
    expected = {}
    for task, label in (("click", "clicked"), ("like", "liked")):
        p = model.heads[task].answers(forward.task(task, batch)).numpy()
        y, w = np.nan_to_num(batch.labels[label]), batch.weights[label].numpy()
        expected[task] = (w * -(y * np.log(p) + (1 - y) * np.log(1 - p))).sum() / w.sum()
    means, _ = _step(model, numbered(lines=[0, 1, 2, 3]))
    assert means == pytest.approx(expected, rel=1e-4)
    objective = model.step.objective(model.run({"lines": batch}, training=True).losses, model)
    assert float(objective) == pytest.approx(0.5 * expected["click"] + expected["like"], rel=1e-4)


def test_rows_cost_their_mean_over_all_rows_of_a_step_in_training_alone(make_model):
    model = make_model({**CLICK, "next": NEXT})
    model.encoders["user"].l2, model.encoders["item"].l1 = 0.5, 0.25
    batches = model.gather(numbered(lines=[0, 1, -1], windows=[2, 3]))
    tables = {name: [*model.encoders[name]._tables.values()] for name in ("user", "item")}
    users = np.append(batches["lines"].ids["user"][:2], batches["windows"].ids["user"])
    of_users = 0.5 * np.square(tables["user"][0].embeddings.numpy()[users]).sum(1).mean()
    # A head that ranks the catalog needs every item.
    colors = Forward(model).inputs("item", Batch({"item": tf.range(ITEMS)}))["item.color"].numpy()
    ids, color = (table.embeddings.numpy() for table in tables["item"])
    of_items = 0.25 * (np.abs(ids) + np.abs(color[colors])).sum(1).mean()
    assert float(model.run(batches, training=True).regularization) == pytest.approx(of_users + of_items, rel=1e-5)
    assert float(model.run(batches, training=False).regularization) == 0


def test_a_step_minimizes_what_rows_cost_too(make_model):
    model = make_model(CLICK)
    rows = numbered(lines=[1, 4, 7])  # without labels
    _, plain = model.step.gradients(lambda: model.run(model.gather(rows), training=True), model)
    model.encoders["user"].l2 = 3.0
    _, found = model.step.gradients(lambda: model.run(model.gather(rows), training=True), model)
    moved = [
        variable.name
        for variable, one, other in zip(model.trainable_variables, plain, found, strict=True)
        if np.any(tf.convert_to_tensor(one) != tf.convert_to_tensor(other))
    ]
    assert len(moved) == 1
    assert "user_id" in moved[0]


def test_whole_entities_are_looked_up_as_rows_are_encoded(make_model):
    experts = {"experts": correlations.Mmoe(experts=2, units=DIM, residual=True)}
    model = make_model({**CLICK, "next": NEXT}, experts)
    batch = model.gather(numbered(lines=[0, 5, 7]))["lines"]
    assert model.plan.whole_entities() == {"item"}
    whole, by_row = Forward(model), Forward(model, whole=frozenset())
    for embedding in ENCODERS:
        assert whole.states(embedding, batch).shape == (3, 2, DIM)
        np.testing.assert_allclose(whole.states(embedding, batch), by_row.states(embedding, batch), atol=1e-6)
    np.testing.assert_allclose(answers_of(whole, "click", batch), answers_of(by_row, "click", batch), atol=1e-6)


class Costly(encoders.Features):
    """Features of which a step can encode a few rows only."""

    @property
    def whole_limit(self):
        return ITEMS


def test_limited_encoders_are_asked_for_no_more_than_is_needed(make_model, monkeypatch):
    monkeypatch.setitem(ENCODERS, "costly", Costly(reads=("item.color",), dim=DIM))
    model = make_model({"click": prediction("user", "costly"), "next": NEXT})
    assert model.plan.whole_embeddings() == {"item"}
    batch = model.gather(numbered(lines=[0, 5, 7]))["lines"]
    by_row = Forward(model).states("costly", batch)
    assert len(by_row) == 3
    encoded = encode_limited(model)
    assert set(encoded) == {"costly"}
    layer = model.encoders["costly"]
    monkeypatch.setattr(type(layer), "call", lambda *_arguments, **_options: pytest.fail("encoded again"))
    np.testing.assert_allclose(Forward(model, encoded=encoded).states("costly", batch), by_row, atol=1e-6)


def test_limited_encoders_are_whole_where_a_head_needs_them(monkeypatch):
    monkeypatch.setitem(ENCODERS, "costly", Costly(reads=("item.color",), dim=DIM))
    pair = {"joined": correlations.Mmoe(apply="pair", on=("item", "costly"), units=DIM)}
    plan = Plan(ENCODERS, pair, {"next": NEXT.model_copy(update={"candidate": ("joined",)})})
    assert plan.members("joined") == ("item", "costly")
    assert plan.needed_whole() == {"joined", "item"}
    assert plan.whole_embeddings() == {"joined", "item"}
    plan = Plan(ENCODERS, {}, {"next": NEXT.model_copy(update={"candidate": ("costly",)})})
    assert plan.whole_embeddings() == {"item", "costly"}


def test_learning_rates_of_layers_need_an_optimizer_that_follows(make_model):
    model = make_model(CLICK)
    layer = model.encoders["user"]
    layer.learning_rate_factors = lambda: [(layer.trainable_variables[0], 0.5)]
    with pytest.raises(
        ValueError,
        match=r"has a learning rate, or a weight decay, of its own, which Adam of Keras cannot follow; compile",
    ):
        model.compile("adam")
    model.compile(OPTIMIZERS["adam"](0.1))
    key = model.optimizer._var_key(layer.trainable_variables[0])
    assert dict(model.optimizer._factors) == {key: 0.5}


def test_tasks_read_states_of_their_own(make_model):
    model = make_model({**CLICK, "like": prediction("user", label="liked")}, {"experts": correlations.Mmoe(units=DIM)})
    batch = model.gather(numbered(lines=[0, 5]))["lines"]
    forward = Forward(model)
    states = forward.states("user", batch)
    expected = tf.sigmoid(model.heads["like"]({"user": states[:, 1]}))
    np.testing.assert_allclose(answers_of(forward, "like", batch), expected, atol=1e-6)
    assert np.abs(states[:, 0] - states[:, 1]).max() > 0.01


def test_states_of_tasks_are_taken_apart_at_once(make_model):
    """The gradient of a slice is as large as the states of all tasks; that of taking them apart puts them together."""
    likes = {"like": prediction("user", "item", label="liked")}
    model = make_model({**CLICK, **likes}, {"experts": correlations.Mmoe(on=("user", "item"), units=DIM)})

    @tf.function
    def step(rows):
        with tf.GradientTape() as tape:
            objective = model.step.objective(model.run(model.gather({"lines": rows}), training=True).losses, model)
        return tape.gradient(objective, model.trainable_variables)

    operations = step.get_concrete_function(tf.constant([0, 5, 7], tf.int64)).graph.get_operations()
    of_states = [op.type for op in operations if op.type in ("Unpack", "StridedSliceGrad") and _is_of_states(op)]
    assert of_states == ["Unpack"] * 2


def _is_of_states(operation):
    states = operation.inputs[0] if operation.type == "Unpack" else operation.outputs[0]
    return states.shape.rank == 3


def test_correlations_apply_in_order(make_model):
    """A pair joins what is there before it, and what comes after works on the result."""
    first = correlations.Mmoe(on=("user",), units=3)
    pair = correlations.Mmoe(apply="pair", on=("user", "item"), units=5)
    last = correlations.Mmoe(on=("user", "pair"), units=2)
    model = make_model({"click": prediction("pair", "user")}, {"first": first, "pair": pair, "last": last})
    batch = model.gather(numbered(lines=[0, 5, 2]))["lines"]
    user = model.encoders["user"](
        {"user.id": batch.ids["user"], "user.age": model.feed.entities["user"].gather("age", batch.ids["user"])}
    )
    item = model.encoders["item"](
        {"item.id": batch.ids["item"], "item.color": model.feed.entities["item"].gather("color", batch.ids["item"])}
    )
    user = model.correlations["first"]["user"](user)
    joined = model.correlations["pair"]["pair"](tf.concat([user, item[:, None]], -1))
    forward = Forward(model)
    np.testing.assert_allclose(forward.states("pair", batch), model.correlations["last"]["pair"](joined), atol=1e-6)
    np.testing.assert_allclose(forward.states("user", batch), model.correlations["last"]["user"](user), atol=1e-6)
    np.testing.assert_allclose(forward.states("item", batch), item, atol=1e-6)


@pytest.mark.parametrize("stop", [False, True])
def test_tasks_read_predictions_of_others(make_model, stop):
    like = prediction("visit", "task.click", label="liked", stop_gradient=stop)
    model = make_model({"click": prediction("user"), "like": like})
    batch = model.gather(numbered(lines=[0, 5]))["lines"]
    with tf.GradientTape() as tape:
        forward = Forward(model)
        output = answers_of(forward, "like", batch)
    view = {"visit": forward.states("visit", batch), "task.click": answers_of(forward, "click", batch)}
    np.testing.assert_allclose(output, tf.sigmoid(model.heads["like"](view)), atol=1e-6)
    gradient = tape.gradient(output, model.heads["click"].trainable_variables[0])
    assert (gradient is None) if stop else np.abs(gradient).max() > 0


def test_candidates_of_the_batch_are_its_rows(make_model):
    model = make_model(FORMS["batch"][0])
    _step(model, numbered(lines=[3, -1, 2]))
    seen, items = model.heads["next"].seen, small_model.made_lines().ids["item"]
    np.testing.assert_array_equal(seen.ids, items[[3, 0, 2]])
    np.testing.assert_array_equal(seen.weights, [1, 0, 1])
    np.testing.assert_allclose(seen.shares, [np.mean(items == item) for item in items[[3, 0, 2]]], rtol=1e-6)


def test_the_catalog_leaves_out_the_unknown(make_model):
    model = make_model({"next": NEXT})
    candidates = model.heads["next"].against(Forward(model).task("next", Batch({})))
    np.testing.assert_array_equal(candidates.weights, [0] + [1] * (ITEMS - 1))
    np.testing.assert_array_equal(candidates.ids, range(ITEMS))


def test_fit_and_evaluate(make_model):
    model = make_model({**CLICK, "next": NEXT}, balance=balancers.Uncertainty())
    model.compile(keras.optimizers.Adam(0.05))
    rows = tf.data.Dataset.from_tensors(numbered(lines=range(LINES), windows=range(WINDOWS))).repeat()
    history = model.fit(rows, steps_per_epoch=20, epochs=2, verbose=0).history
    measured = model.evaluate(rows, steps=2, verbose=0, return_dict=True)
    for name in ("click_loss", "next_loss"):
        assert history[name][1] < history[name][0]
        assert measured[name] < history[name][1]


def test_tables_that_no_task_of_the_step_reads_are_left_out(make_model):
    model = make_model({**CLICK, "next": NEXT})
    assert set(model.run(model.gather(numbered(windows=[0])), training=False).losses) == {"next"}


def test_data_are_no_weights(make_model):
    model = make_model(CLICK)
    names = {variable.name for variable in model.variables}
    assert not [name for name in names if name.startswith(("lines", "user.", "item.", "events"))]


def test_losses_belong_to_heads(make_model):
    with pytest.raises(ValueError, match=r"losses belong to task heads: .* instead of compile\(loss=\.\.\.\)"):
        make_model(CLICK).compile("adam", loss="mse")


@pytest.mark.parametrize(
    ("method", "argument", "value", "message"),
    [
        ("compile", "metrics", ["mae"], "metrics belong to the recipe: .*EpochMetric"),
        ("compile", "weighted_metrics", ["mae"], "metrics belong to the recipe: .*EpochMetric"),
        ("compile", "loss_weights", {"click": 2.0}, "weights belong to task heads: set the `weight` of a task"),
        ("fit", "class_weight", {0: 1.0, 1: 2.0}, "weights belong to task heads: set the `weight` of a task"),
        ("fit", "sample_weight", np.ones(LINES), "weights belong to task heads: set the `weight` of a task"),
    ],
)
def test_arguments_of_keras_without_effect_are_refused(make_model, method, argument, value, message):
    model = make_model(CLICK)
    model.compile("adam", loss=None, metrics=None, loss_weights=None, weighted_metrics=None)
    rows = tf.data.Dataset.from_tensors(numbered(lines=range(LINES)))
    with pytest.raises(ValueError, match=rf"{message} instead of {method}\({argument}=\.\.\.\)"):
        getattr(model, method)(**{"x": rows} if method == "fit" else {}, **{argument: value})


def test_small_gradients_survive_float16(make_model):
    with precision_scope("mixed_float16"):
        model = make_model({"click": prediction("user", weight=1e-7)})
    model.compile(keras.optimizers.SGD(1e6))
    assert isinstance(model.optimizer, keras.mixed_precision.LossScaleOptimizer)
    weights = model.encoders["user"]._maps["user.age"].kernel
    before = weights.numpy()
    model.train_step(numbered(lines=[0, 2]))
    with precision_scope("float32"):
        exact = make_model({"click": prediction("user", weight=1e-7)})
    exact.compile(keras.optimizers.SGD(1e6))
    exact.train_step(numbered(lines=[0, 2]))
    moved = exact.encoders["user"]._maps["user.age"].kernel.numpy() - before
    assert np.abs(moved).max() > 1e-3
    np.testing.assert_allclose(weights.numpy() - before, moved, rtol=0.02, atol=1e-4)


@pytest.mark.slow
def test_xla_compiles_rows_without_lists(make_model):
    losses = {}
    rows = tf.data.Dataset.from_tensors(numbered(lines=range(LINES))).repeat()
    for compiled in (False, True):
        model = make_model(CLICK)
        model.compile(keras.optimizers.SGD(0.1), jit_compile=compiled)
        losses[compiled] = model.fit(rows, steps_per_epoch=3, epochs=2, verbose=0).history["click_loss"]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-5)


def test_xla_is_refused_where_it_does_not_work(make_model, two_replicas):
    model = make_model({**CLICK, "next": NEXT})
    with pytest.raises(
        StrategyError,
        match=r"train\.jit_compile: .* but rows of windows have lists, or lie in sequences; set jit_compile = ",
    ):
        model.compile(jit_compile=True)
    with two_replicas.scope():
        model = make_model(CLICK)
        with pytest.raises(StrategyError, match=r"train\.jit_compile: .* but this strategy has 2; "):
            model.compile(jit_compile=True)


def test_rows_that_are_not_there_have_no_weight(make_model):
    """Whatever a head says of them."""

    class Careless(Priced):
        def losses(self, rows):
            losses, _ = super().losses(rows)
            return losses, tf.ones_like(losses)

    model = make_model({"click": prediction("user")})
    model.heads["click"] = Careless(name="click")
    some, padded = (model(numbered(lines=numbers))["click"] for numbers in ([3, 4], [3, 4, -1, -1]))
    assert float(some) == pytest.approx(float(padded))


class Priced(PredictionHead):
    """Reads a column that its rows bring along."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(1)

    def losses(self, rows):
        self.seen = rows.batch
        return super().losses(rows)

    def call(self, view, training=False):
        return self.dense(tf.concat(list(view.values()), -1))[:, 0]

    def loss(self, outputs, labels):
        return tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs)

    def predict(self, outputs):
        return tf.sigmoid(outputs)


def test_columns_of_rows_reach_the_heads(make_model, monkeypatch):
    prices, words = np.arange(LINES, dtype=np.float32), np.arange(2 * LINES, dtype=np.int32)
    lists = {"words": Ragged(2 * np.arange(LINES + 1), {"id": words})}
    lines = replace(small_model.made_lines(), dense={"price": prices}, lists=lists)
    monkeypatch.setattr(small_model, "made_lines", lambda: lines)
    monkeypatch.setattr(heads.UserPreference, "build", lambda self, context: Priced(name=context.name))
    model = make_model({"click": prediction("user")})
    model.run(model.gather(numbered(lines=[4, 2])), training=False)
    batch = model.heads["click"].seen
    np.testing.assert_array_equal(batch.dense["price"], [4, 2])
    np.testing.assert_array_equal(batch.lists["words"].values["id"], [8, 9, 4, 5])
