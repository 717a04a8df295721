"""What is known of past events that come with a request: columns that encoders read, and that conditions look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mtkit.backend import tf
from mtkit.conditions import Where
from mtkit.feed.batch import Batch
from mtkit.feed.conditions import holding
from mtkit.heads.base import Tensors
from mtkit.schema import HISTORY, Address, Column
from mtkit.serving.request_checks import same_shape
from mtkit.serving.request_features import Given, bounded
from mtkit.spec import Encoder, ServingInput


def past_events(
    encoders: Iterable[Encoder],
    conditions: Iterable[Where],
    declared: Mapping[str, Column],
    layers: Mapping[Address, Any],
    ids: str,
) -> Given:
    """Columns of the past events of a request (`history_<column>`), each of the shape of the ids.

    Args:
        encoders: what they read, and by which condition they choose, is given.
        conditions: others that are asked, too.
        declared: columns of the interactions.
        layers: address -> the layer that preprocesses it.
        ids: name of the input of the ids, strings `[rows, n]`, empty where there is no event.
    """
    encoders = list(encoders)
    read = dict.fromkeys(address for spec in encoders for address in map(Address, spec.reads) if address in layers)
    addresses = [address for address in read if address.scope == HISTORY]
    asked = dict.fromkeys((*conditions, *(where for spec in encoders for where in spec.past_conditions)))
    columns = dict.fromkeys((*(a.column for a in addresses), *(name for where in asked for name in where.columns)))
    names = {column: f"{HISTORY}_{column}" for column in columns}

    def batch(given: Tensors) -> Batch:
        known = {column: same_shape(given[ids], given[name], (ids, name)) for column, name in names.items()}
        there = given[ids] != ""
        return Batch(
            {},
            given={address: bounded(_each(layers[address], known[address.column])) for address in addresses},
            holding={where: there & holding(where, known) for where in asked},
        )

    return Given({name: _input(column, declared[column]) for column, name in names.items()}, batch)


def _input(column: str, declared: Column) -> ServingInput:
    numeric = declared.kind == "numeric" or (declared.kind == "label" and not declared.classes)
    about = f"`{column}` of each of them, as in the data; {'nan' if numeric else 'empty'} if missing"
    return ServingInput("float32" if numeric else "string", (None,), about)


def _each(layer: Any, values: tf.Tensor) -> tf.Tensor:
    """What a layer, which takes `[rows]`, makes of each of `[rows, n]`."""
    made = layer(tf.reshape(values, [-1]))
    return tf.reshape(made, tf.concat([tf.shape(values), tf.shape(made)[1:]], 0))
