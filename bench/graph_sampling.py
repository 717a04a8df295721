"""Neighborhoods at two distances of the users of a batch, as of their moments, and those of the in-memory sampler of TF-GNN.

The log is made up, with popular and rare items. The sampler of TF-GNN knows no moments: it draws from all edges, which it looks
at one by one, so that memory ends where items are popular; `--tfgnn` measures it, too. All sample alone, in turn, in one
process, from compiled functions. Prints one JSON line: milliseconds per batch, medians.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from mtkit.backend import tf
from mtkit.feed.batch import Batch
from mtkit.feed.interface import Draw
from mtkit.feed.neighborhoods import Neighborhoods
from mtkit.schema import Column, Schema
from mtkit.spec import Neighborhood
from mtkit.types import Entity, Events, Fold

# isort: split
# TF-GNN looks at the version of Keras when it is imported, so the backend has to come first.
import tensorflow_gnn as tfgnn
from tensorflow_gnn.experimental import sampler as tfgnn_sampler

DAYS = 365 * 86400


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--users", type=int, default=100_000)
    arguments.add_argument("--items", type=int, default=50_000)
    arguments.add_argument("--batch-size", type=int, default=4096)
    arguments.add_argument("--neighbors", type=int, nargs=2, default=(20, 10))
    arguments.add_argument("--tfgnn", action="store_true")
    arguments.add_argument("--repeat", type=int, default=15)
    options = arguments.parse_args()
    fold = _fold(options)
    runs = {
        "last_ms": _sampling(fold, options),
        "drawn_ms": _sampling(fold, options, drawn=True),
        "degrees_ms": _sampling(fold, options, degrees=True),
        **({"tfgnn_ms": _stock(fold, options)} if options.tfgnn else {}),
    }
    seconds = [[_timed(run) for run in runs.values()] for _ in range(options.repeat + 1)][1:]
    found = {name: 1e3 * median(times) for name, times in zip(runs, zip(*seconds, strict=True), strict=True)}
    print(json.dumps(found))


def _fold(options: argparse.Namespace) -> Fold:
    rng = np.random.default_rng(0)
    user = np.sort(rng.integers(1, options.users, options.events)).astype(np.int32)
    item = (1 + (rng.pareto(1.0, options.events) * 20).astype(np.int64) % (options.items - 1)).astype(np.int32)
    moment = rng.integers(0, DAYS, options.events)
    order = np.lexsort((moment, user))
    offsets = np.searchsorted(user, np.arange(options.users + 1))
    events = Events({"user": user, "item": item}, moment[order], np.arange(len(user)), pa.table({}), offsets)
    sizes = {"user": options.users, "item": options.items}
    entities = {name: Entity(name, np.arange(size), pa.table({})) for name, size in sizes.items()}
    interactions = {name: Column(kind="id", entity=name) for name in sizes}
    schema = Schema(interactions=interactions, entities={name: {} for name in sizes})
    return Fold("test", DAYS, DAYS, DAYS, entities, events, schema)


def _rows(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    users = rng.integers(1, options.users, options.batch_size).astype(np.int32)
    return users, rng.integers(DAYS // 2, DAYS, options.batch_size)


def _sampling(
    fold: Fold, options: argparse.Namespace, *, drawn: bool = False, degrees: bool = False
) -> Callable[[], Any]:
    asked = Neighborhood("acting", tuple(options.neighbors), drawn=drawn, degrees=degrees)
    graph = Neighborhoods.of(fold, [asked])
    users, known = map(tf.constant, _rows(options))
    draw: Draw | None = (lambda _, shape: tf.random.stateless_uniform(shape, [1, 2])) if drawn else None

    @tf.function
    def sample() -> dict[str, tf.Tensor]:
        return graph.around(Batch({"user": users}, known=known), asked, draw)

    return sample


def _stock(fold: Fold, options: argparse.Namespace) -> Callable[[], Any]:
    """The sampler of TF-GNN, as its documentation builds it."""
    sides = {"has": ("user", "item"), "had_by": ("item", "user")}
    schema = tfgnn.GraphSchema()
    for node in fold.entities:
        schema.node_sets[node].description = node
    for edge, (source, target) in sides.items():
        schema.edge_sets[edge].source, schema.edge_sets[edge].target = source, target
    spec = tfgnn.sampler.SamplingSpecBuilder(schema).seed("user").sample(options.neighbors[0], "has")
    spec = spec.sample(options.neighbors[1], "had_by").build()

    def edges(op: Any) -> Any:
        source, target = sides[op.edge_set_name]
        own, other = (fold.events.ids[name] for name in (source, target))
        order = np.argsort(own, kind="stable")
        return tfgnn_sampler.InMemUniformEdgesSampler(
            num_source_nodes=len(fold.entities[source]),
            source=own[order],
            target=other[order],
            sample_size=op.sample_size,
            seed=1,
            name=op.op_name,
        )

    model = tfgnn_sampler.create_sampling_model_from_spec(
        schema, spec, edge_sampler_factory=edges, seed_node_dtype=tf.int32
    )
    seeds = tf.RaggedTensor.from_row_lengths(tf.constant(_rows(options)[0]), tf.ones([options.batch_size], tf.int64))
    return tf.function(lambda: model(seeds))


def _timed(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
