"""A model of two tables of made-up rows, with any tasks and correlations."""

import numpy as np
import pyarrow as pa

from mtkit.backend import keras, tf
from mtkit.data.known_as_of import ACTIVITY_CHANNELS, OWN_CHANNELS, POPULARITY_CHANNELS
from mtkit.feed.device_tables import DeviceTables, RowStore
from mtkit.feed.features import EntityTable, EventLog
from mtkit.model.multi_task import Layers, MultiTaskModel
from mtkit.optimizers import precision_scope
from mtkit.recipe.plan import Plan
from mtkit.spec import BuildContext, FeatureInfo
from mtkit.standard import balancers, encoders, heads, past_encoders
from mtkit.standard.retrieval import GatedRetrieval
from mtkit.types import Events, Ragged, RowTable, Shared

DIM, USERS, ITEMS, LINES, WINDOWS = 4, 5, 6, 12, 4
FEATURES = {
    "user.id": FeatureInfo(size=USERS),
    "user.age": FeatureInfo(width=1),
    "item.id": FeatureInfo(size=ITEMS),
    "item.color": FeatureInfo(size=3),
    "context.hour": FeatureInfo(width=1),
}


def features(*reads):
    return encoders.Features(reads=reads, dim=DIM, id_dropout=0)


def prediction(*inputs, label="clicked", **options):
    head = heads.Recommendation if any(name.startswith("task.") for name in inputs) else heads.UserPreference
    return head(rows="lines", inputs=inputs, label=label, **options)


ENCODERS = {
    "user": features("user.id", "user.age"),
    "item": features("item.id", "item.color"),
    "past": past_encoders.History(reads=("history.item",), dim=DIM, length=4, dropout=0, items="item"),
    "visit": features("context.hour"),
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
        known=np.full(rows, 30 * 86400),
        history=np.stack([4 * users, end], 1).astype(np.int64),
        **options,
    )


def made_lines():
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
        lists={
            "target": Ragged(offsets, {"item": items}),
            "own": Ragged(offsets, {"id": items[::-1].copy(), "channels": channels}),
        },
        dense={"activity": rng.normal(size=(WINDOWS, len(ACTIVITY_CHANNELS))).astype(np.float32)},
        shared={
            "popularity": Shared(
                np.array([0, 1, 0, 1], np.int32),
                rng.normal(size=(2, ITEMS, len(POPULARITY_CHANNELS))).astype(np.float32),
            )
        },
    )


def numbered(**rows):
    return {name: tf.constant(numbers, tf.int64) for name, numbers in rows.items()}


def answers_of(forward, task, batch):
    return forward.model.heads[task].answers(forward.task(task, batch))


def model_maker(tmp_path):
    """`model_maker(path)(tasks, correlations={}, balance=Fixed())` makes a model with random weights on made-up rows."""

    def make(tasks, correlations=None, balance=None):
        correlations = correlations or {}
        plan = Plan(ENCODERS, correlations, tasks)

        def context(name, of=tuple(tasks)):
            return BuildContext(
                name=name,
                tasks=of,
                features=FEATURES,
                sizes={"user": USERS, "item": ITEMS},
                classes=dict.fromkeys(tasks, 2),
                candidates=dict.fromkeys(plan.rankings(), ITEMS),
                cache_dir=tmp_path,
                column=lambda _entity, _column: np.array([]),
            )

        def of(name, spec):
            return {e: spec.build(context(f"{name}_{e}", plan.tasks_of(name, e))) for e in plan.targets(name)}

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
        sizes = {"user": USERS, "item": ITEMS}
        rows = {"lines": RowStore(made_lines(), sizes), "windows": RowStore(_windows(), sizes)}
        model = MultiTaskModel(plan, layers, DeviceTables(entities, EventLog(_events(), "item"), rows))
        model({spec.rows: tf.zeros([2], tf.int64) for spec in tasks.values()})
        for variable in model.trainable_variables:
            variable.assign(rng.normal(size=variable.shape) / 2)
        return model

    return make
