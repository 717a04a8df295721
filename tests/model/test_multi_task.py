from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from mtkit.backend import keras, tf
from mtkit.data.known_as_of import ACTIVITY_CHANNELS, OWN_CHANNELS, POPULARITY_CHANNELS
from mtkit.errors import StrategyError
from mtkit.feed.device_tables import DeviceData, EntityTable, EventLog, RowStore
from mtkit.heads import RetrievalHead
from mtkit.model.forward import Forward, encode_limited
from mtkit.model.multi_task import Layers, MultiTaskModel
from mtkit.optimizers import OPTIMIZERS, precision_scope
from mtkit.recipe.model_graph import Plan
from mtkit.spec import BuildContext, FeatureInfo, RetrievalTask
from mtkit.standard import balancers, correlations, encoders, heads
from mtkit.standard.retrieval import GatedRetrieval
from mtkit.types import Events, Ragged, RowTable

DIM, USERS, ITEMS, LINES, WINDOWS = 4, 5, 6, 12, 4
FEATURES = {
    "user.id": FeatureInfo(size=USERS),
    "user.age": FeatureInfo(width=1),
    "item.id": FeatureInfo(size=ITEMS),
    "item.color": FeatureInfo(size=3),
    "context.hour": FeatureInfo(width=1),
}


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

    form: ClassVar = "batch"

    def build(self, context):
        return Dot(name=context.name)


def _features(*reads):
    return encoders.Features(reads=reads, dim=DIM, id_dropout=0)


def _prediction(*inputs, label="clicked", **options):
    head = heads.Recommendation if any(name.startswith("task.") for name in inputs) else heads.UserPreference
    return head(rows="lines", inputs=inputs, label=label, **options)


ENCODERS = {
    "user": _features("user.id", "user.age"),
    "item": _features("item.id", "item.color"),
    "past": encoders.History(reads=("history.item",), dim=DIM, length=4, dropout=0, items="item"),
    "visit": _features("context.hour"),
}
NEXT = GatedRetrieval(rows="windows", query=("past", "user"), candidate=("item",))


def _events():
    rng = np.random.default_rng(0)
    ids = {"user": np.repeat(np.arange(USERS), 4).astype(np.int32), "item": rng.integers(1, ITEMS, 20).astype(np.int32)}
    return Events(ids, np.arange(20) * 86400, np.arange(20), pa.table({}), np.arange(0, 21, 4))


def _table(name, rows, **options):
    rng = np.random.default_rng(rows)
    users = rng.integers(1, USERS, rows).astype(np.int32)
    end = 4 * users + rng.integers(0, 5, rows)
    return RowTable(
        name=name,
        ids={"user": users} | ({"item": rng.integers(1, ITEMS, rows).astype(np.int32)} if name == "lines" else {}),
        time=np.full(rows, 30 * 86400),
        history=np.stack([4 * users, end], 1).astype(np.int64),
        **options,
    )


def _lines():
    rng = np.random.default_rng(3)
    clicked = rng.integers(0, 2, LINES).astype(np.float32)
    weights = np.tile(np.array([1, 0, 2], np.float32), LINES // 3)
    clicked[weights == 0] = np.nan
    return _table(
        "lines",
        LINES,
        context={"hour": rng.normal(size=(LINES, 1)).astype(np.float32)},
        labels={"clicked": clicked, "liked": 1 - np.nan_to_num(clicked)},
        weights={"clicked": weights, "liked": np.ones(LINES, np.float32)},
    )


def _windows():
    rng = np.random.default_rng(4)
    offsets = np.array([0, 2, 3, 3, 6])
    channels = rng.normal(size=(6, len(OWN_CHANNELS))).astype(np.float32)
    items = np.array([1, 2, 5, 2, 3, 4], np.int32)
    return _table(
        "windows",
        WINDOWS,
        targets=Ragged(offsets, {"item": items}),
        own=Ragged(offsets, {"id": items[::-1].copy(), "channels": channels}),
        activity=rng.normal(size=(WINDOWS, len(ACTIVITY_CHANNELS))).astype(np.float32),
        moment=np.array([0, 1, 0, 1], np.int32),
        popularity=rng.normal(size=(2, ITEMS, len(POPULARITY_CHANNELS))).astype(np.float32),
    )


@pytest.fixture
def make_model(tmp_path):
    """`make_model(tasks, correlations={}, balance=Fixed())` makes a model with random weights on made-up rows."""

    def make(tasks, correlations=None, balance=None):
        correlations = correlations or {}
        plan = Plan(ENCODERS, correlations, tasks)

        def context(name):
            return BuildContext(
                name=name,
                tasks=tuple(tasks),
                features=FEATURES,
                sizes={"user": USERS, "item": ITEMS},
                classes=dict.fromkeys(tasks, 2),
                candidates=dict.fromkeys(plan.retrievals(), ITEMS),
                cache_dir=tmp_path,
                column=lambda _entity, _column: np.array([]),
            )

        def of(name, spec):
            on = (name,) if spec.apply == "pair" else plan.on(name)
            return {embedding: spec.build(context(f"{name}_{embedding}")) for embedding in on}

        keras.utils.set_random_seed(0)
        with precision_scope("float32"):
            balancer = (balance or balancers.Fixed()).build(context("balance"))
        layers = Layers(
            encoders={name: spec.build(context(name)) for name, spec in ENCODERS.items()},
            inputs={name: spec.reads for name, spec in ENCODERS.items()},
            correlations={name: of(name, spec) for name, spec in correlations.items()},
            heads={name: spec.build(context(name)) for name, spec in tasks.items()},
            balancer=balancer,
        )
        rng = np.random.default_rng(1)
        columns = {"user": {"age": rng.normal(size=(USERS, 1)).astype(np.float32)}}
        columns["item"] = {"color": rng.integers(0, 3, ITEMS).astype(np.int32)}
        entities = {
            name: EntityTable(name, size, columns[name]) for name, size in {"user": USERS, "item": ITEMS}.items()
        }
        rows = {"lines": RowStore(_lines()), "windows": RowStore(_windows())}
        model = MultiTaskModel(plan, layers, DeviceData(entities, EventLog(_events(), "item"), rows))
        model({spec.rows: tf.zeros([2], tf.int64) for spec in tasks.values()})
        for variable in model.trainable_variables:
            variable.assign(rng.normal(size=variable.shape) / 2)
        return model

    return make


def _rows(**rows):
    return {name: tf.constant(numbers, tf.int64) for name, numbers in rows.items()}


def _step(model, rows):
    """Loss per task, and the gradients of the objective, dense."""
    with tf.GradientTape() as tape:
        losses = model.task_losses(model.gather(rows), training=True)
        objective = model._objective(losses)
    gradients = tape.gradient(objective, model.trainable_variables, unconnected_gradients="zero")
    means = {name: float(tf.math.divide_no_nan(total, weight)) for name, (total, weight) in losses.items()}
    return means, [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


def _assert_same(found, expected):
    assert found[0] == pytest.approx(expected[0], abs=1e-5)
    for some, others in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(some, others, atol=1e-5)


CLICK = {"click": _prediction("user", "item", "past")}
FORMS = {
    "prediction": (CLICK, "lines"),
    "catalog": ({"next": NEXT}, "windows"),
    "batch": ({"next": InBatch(rows="lines", query=("past",), candidate=("item",))}, "lines"),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_row_is_as_good_as_no_row_at_all(make_model, form):
    tasks, table = FORMS[form]
    model = make_model(tasks)
    _assert_same(_step(model, _rows(**{table: [3, 2, -1, -1]})), _step(model, _rows(**{table: [3, 2]})))


def test_a_row_of_weight_0_is_as_good_as_no_row_whatever_its_label(make_model):
    model = make_model(CLICK)
    assert np.isnan(model.data.rows["lines"].columns["label.clicked"][1])
    found = _step(model, _rows(lines=[0, 1, 2]))
    assert np.isfinite(found[0]["click"])
    _assert_same(found, _step(model, _rows(lines=[0, 2])))


@pytest.mark.parametrize("balance", [balancers.Fixed(), balancers.Uncertainty()], ids=lambda spec: type(spec).__name__)
def test_a_batch_without_labels_moves_nothing(make_model, balance):
    model = make_model(CLICK, balance=balance)
    for rows in ([1, 4, 7], [-1, -1]):
        means, gradients = _step(model, _rows(lines=rows))
        assert means == {"click": 0}
        for gradient in gradients:
            np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def test_a_task_is_the_weighted_mean_of_its_rows_times_its_weight(make_model):
    model = make_model({"click": _prediction("user", weight=0.5), "like": _prediction("item", label="liked")})
    batch = model.gather(_rows(lines=[0, 1, 2, 3]))["lines"]
    forward = Forward(model)
    expected = {}
    for task, label in (("click", "clicked"), ("like", "liked")):
        p = forward.prediction(task, batch).numpy()
        y, w = (np.nan_to_num(batch[f"{kind}.{label}"]) for kind in ("label", "weight"))
        expected[task] = (w * -(y * np.log(p) + (1 - y) * np.log(1 - p))).sum() / w.sum()
    means, _ = _step(model, _rows(lines=[0, 1, 2, 3]))
    assert means == pytest.approx(expected, rel=1e-4)
    objective = model._objective(model.task_losses({"lines": batch}, training=True))
    assert float(objective) == pytest.approx(0.5 * expected["click"] + expected["like"], rel=1e-4)


def test_whole_entities_are_looked_up_as_rows_are_encoded(make_model):
    experts = {"experts": correlations.Mmoe(experts=2, units=DIM, residual=True)}
    model = make_model({**CLICK, "next": NEXT}, experts)
    batch = model.gather(_rows(lines=[0, 5, 7]))["lines"]
    assert model.plan.whole_entities() == {"item"}
    whole, by_row = Forward(model), Forward(model, whole=frozenset())
    for embedding in ENCODERS:
        assert whole.states(embedding, batch).shape == (3, 2, DIM)
        np.testing.assert_allclose(whole.states(embedding, batch), by_row.states(embedding, batch), atol=1e-6)
    np.testing.assert_allclose(whole.outputs("click", batch), by_row.outputs("click", batch), atol=1e-6)


class Costly(encoders.Features):
    """Features of which a step can encode a few rows only."""

    @property
    def whole_limit(self):
        return ITEMS


def test_limited_encoders_are_asked_for_no_more_than_is_needed(make_model, monkeypatch):
    monkeypatch.setitem(ENCODERS, "costly", Costly(reads=("item.color",), dim=DIM))
    model = make_model({"click": _prediction("user", "costly"), "next": NEXT})
    assert model.plan.whole_embeddings() == {"item"}
    batch = model.gather(_rows(lines=[0, 5, 7]))["lines"]
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
    with pytest.raises(ValueError, match=r"has a learning rate of its own, which Adam of Keras cannot follow; compile"):
        model.compile("adam")
    model.compile(OPTIMIZERS["adam"](0.1))
    key = model.optimizer._var_key(layer.trainable_variables[0])
    assert dict(model.optimizer._factors) == {key: 0.5}


def test_tasks_read_states_of_their_own(make_model):
    model = make_model({**CLICK, "like": _prediction("user", label="liked")}, {"experts": correlations.Mmoe(units=DIM)})
    batch = model.gather(_rows(lines=[0, 5]))["lines"]
    forward = Forward(model)
    states = forward.states("user", batch)
    expected = model.heads["like"]({"user": states[:, 1]})
    np.testing.assert_allclose(forward.outputs("like", batch), expected, atol=1e-6)
    assert np.abs(states[:, 0] - states[:, 1]).max() > 0.01


def test_correlations_apply_in_order(make_model):
    """A pair joins what is there before it, and what comes after works on the result."""
    first = correlations.Mmoe(on=("user",), units=3)
    pair = correlations.Mmoe(apply="pair", on=("user", "item"), units=5)
    last = correlations.Mmoe(on=("user", "pair"), units=2)
    model = make_model({"click": _prediction("pair", "user")}, {"first": first, "pair": pair, "last": last})
    batch = model.gather(_rows(lines=[0, 5, 2]))["lines"]
    user = model.encoders["user"](
        {"user.id": batch["user"], "user.age": model.data.entities["user"].gather("age", batch["user"])}
    )
    item = model.encoders["item"](
        {"item.id": batch["item"], "item.color": model.data.entities["item"].gather("color", batch["item"])}
    )
    user = model.correlations["first"]["user"](user)
    joined = model.correlations["pair"]["pair"](tf.concat([user, item[:, None]], -1))
    forward = Forward(model)
    np.testing.assert_allclose(forward.states("pair", batch), model.correlations["last"]["pair"](joined), atol=1e-6)
    np.testing.assert_allclose(forward.states("user", batch), model.correlations["last"]["user"](user), atol=1e-6)
    np.testing.assert_allclose(forward.states("item", batch), item, atol=1e-6)


@pytest.mark.parametrize("stop", [False, True])
def test_tasks_read_predictions_of_others(make_model, stop):
    like = _prediction("visit", "task.click", label="liked", stop_gradient=stop)
    model = make_model({"click": _prediction("user"), "like": like})
    batch = model.gather(_rows(lines=[0, 5]))["lines"]
    with tf.GradientTape() as tape:
        forward = Forward(model)
        output = forward.outputs("like", batch)
    view = {"visit": forward.states("visit", batch), "task.click": tf.sigmoid(forward.outputs("click", batch))}
    np.testing.assert_allclose(output, model.heads["like"](view), atol=1e-6)
    gradient = tape.gradient(output, model.heads["click"].trainable_variables[0])
    assert (gradient is None) if stop else np.abs(gradient).max() > 0


def test_candidates_of_the_batch_are_its_rows(make_model):
    model = make_model(FORMS["batch"][0])
    _step(model, _rows(lines=[3, -1, 2]))
    seen, items = model.heads["next"].seen, _lines().ids["item"]
    np.testing.assert_array_equal(seen.ids, items[[3, 0, 2]])
    np.testing.assert_array_equal(seen.weights, [1, 0, 1])
    np.testing.assert_allclose(seen.shares, [np.mean(items == item) for item in items[[3, 0, 2]]], rtol=1e-6)


def test_the_catalog_leaves_out_the_unknown(make_model):
    model = make_model({"next": NEXT})
    candidates = Forward(model)._candidates("next", {})
    np.testing.assert_array_equal(candidates.weights, [0] + [1] * (ITEMS - 1))
    np.testing.assert_array_equal(candidates.ids, range(ITEMS))


def test_fit_and_evaluate(make_model):
    model = make_model({**CLICK, "next": NEXT}, balance=balancers.Uncertainty())
    model.compile(keras.optimizers.Adam(0.05))
    rows = tf.data.Dataset.from_tensors(_rows(lines=range(LINES), windows=range(WINDOWS))).repeat()
    history = model.fit(rows, steps_per_epoch=20, epochs=2, verbose=0).history
    measured = model.evaluate(rows, steps=2, verbose=0, return_dict=True)
    for name in ("click_loss", "next_loss"):
        assert history[name][1] < history[name][0]
        assert measured[name] < history[name][1]


def test_tables_that_no_task_of_the_step_reads_are_left_out(make_model):
    model = make_model({**CLICK, "next": NEXT})
    assert set(model.task_losses(model.gather(_rows(windows=[0])), training=False)) == {"next"}


def test_data_are_no_weights(make_model):
    model = make_model(CLICK)
    names = {variable.name for variable in model.variables}
    assert not [name for name in names if name.startswith(("lines", "user.", "item.", "events"))]


def test_losses_belong_to_heads(make_model):
    with pytest.raises(ValueError, match=r"losses belong to task heads: .* instead of compile\(loss=\.\.\.\)"):
        make_model(CLICK).compile("adam", loss="mse")


def test_small_gradients_survive_float16(make_model):
    with precision_scope("mixed_float16"):
        model = make_model({"click": _prediction("user", weight=1e-7)})
    model.compile(keras.optimizers.SGD(1e6))
    assert isinstance(model.optimizer, keras.mixed_precision.LossScaleOptimizer)
    weights = model.encoders["user"]._maps["user.age"].kernel
    before = weights.numpy()
    model.train_step(_rows(lines=[0, 2]))
    with precision_scope("float32"):
        exact = make_model({"click": _prediction("user", weight=1e-7)})
    exact.compile(keras.optimizers.SGD(1e6))
    exact.train_step(_rows(lines=[0, 2]))
    moved = exact.encoders["user"]._maps["user.age"].kernel.numpy() - before
    assert np.abs(moved).max() > 1e-3
    np.testing.assert_allclose(weights.numpy() - before, moved, rtol=0.02, atol=1e-4)


def test_xla_compiles_rows_without_lists(make_model):
    losses = {}
    rows = tf.data.Dataset.from_tensors(_rows(lines=range(LINES))).repeat()
    for compiled in (False, True):
        model = make_model(CLICK)
        model.compile(keras.optimizers.SGD(0.1), jit_compile=compiled)
        losses[compiled] = model.fit(rows, steps_per_epoch=3, epochs=2, verbose=0).history["click_loss"]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-5)


def test_xla_is_refused_where_it_does_not_work(make_model, two_replicas):
    model = make_model({**CLICK, "next": NEXT})
    with pytest.raises(
        StrategyError, match=r"train\.jit_compile: .* but rows of windows have lists; set jit_compile = "
    ):
        model.compile(jit_compile=True)
    with two_replicas.scope():
        model = make_model(CLICK)
        with pytest.raises(StrategyError, match=r"train\.jit_compile: .* but this strategy has 2; "):
            model.compile(jit_compile=True)
