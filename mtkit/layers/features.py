"""An encoder of features: every feature is mapped to one width, and the results are added, or stay side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.schema import WEIGHT


@keras.saving.register_keras_serializable(package="mtkit")
class Features(keras.layers.Layer):
    """Adds one embedding per integer feature and one linear map per float feature, then applies hidden layers.

    With `combine="concat"` they are not added: each is a field of `dim` entries, and fields lie side by side, the integer
    features first, then the float ones.

    Of a feature of several values w_j is the weight of value j, or 1, and e_j its embedding: the sum is Σ w_j e_j, the mean that
    over Σ w_j, and `sqrtn` that over sqrt(Σ w_j²). A row without values has the embedding of 0.

    Args:
        sizes: address of an integer feature -> number of its values.
        widths: address of a float feature -> length of its last axis.
        dim: width of the embedding.
        hidden: widths of layers between the sum, or the fields, and the output; empty = the sum, or the fields, themselves.
        id_dropout: share of training rows whose entity id is replaced by 0, which trains the unknown's row.
        dropout: dropout rate of the output.
        listed: addresses of integer features of several values.
        combiner: how the embeddings of several values become one, `sum`, `mean` or `sqrtn`.
        feature_dropout: share of a training row's features that are left out; the others are divided by 1 - share, so that the
            expected sum is as without.
        l2: weight in the loss of the mean over rows of the squared lengths of the embeddings that they look up.
        l1: the same of the sums of absolute values.
        combine: `sum`, or `concat`, side by side.
        stddev: of the normal numbers that embeddings and maps begin with.

    Call: a dictionary address -> int `[rows]`, float `[rows, width]`, or int `[rows, n]` where a row has several values, the
    known ones first and then 0; `<address>/weight` float `[rows, n]` are their weights. Returns `[rows, dim]`, or
    `[rows, features * dim]` for `concat` without hidden layers.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        widths: Mapping[str, int],
        dim: int,
        hidden: Sequence[int] = (),
        id_dropout: float = 0.0,
        dropout: float = 0.0,
        listed: Sequence[str] = (),
        combiner: str = "mean",
        feature_dropout: float = 0.0,
        l2: float = 0.0,
        l1: float = 0.0,
        combine: str = "sum",
        stddev: float = 0.01,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.sizes, self.widths = dict(sizes), dict(widths)
        self.dim, self.hidden = dim, tuple(hidden)
        self.id_dropout, self.dropout = id_dropout, dropout
        self.listed, self.combiner = tuple(listed), combiner
        self.feature_dropout, self.l2, self.l1 = feature_dropout, l2, l1
        self.combine, self.stddev = combine, stddev
        self._tables = {
            address: keras.layers.Embedding(size, dim, self._small(), name=_variable_name(address))
            for address, size in sizes.items()
        }
        self._maps = {
            address: keras.layers.Dense(
                dim, use_bias=False, kernel_initializer=self._small(), name=_variable_name(address)
            )
            for address in widths
        }
        self._hidden = [keras.layers.Dense(width, activation="relu") for width in self.hidden]
        self._output = keras.layers.Dense(dim) if self.hidden else None
        self._id_dropout = keras.layers.Dropout(id_dropout, rng_type="stateful")
        self._dropout = keras.layers.Dropout(dropout, rng_type="stateful")
        if feature_dropout:
            self._feature_dropout = keras.layers.Dropout(feature_dropout, rng_type="stateful")

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The embedding of each row."""
        parts = [self._embedded(address, inputs, training) for address in self._tables]
        parts += [linear(inputs[address]) for address, linear in self._maps.items()]
        if training and self.feature_dropout:
            parts = self._some(parts)
        state = tf.add_n(parts) if self.combine == "sum" else tf.concat(parts, -1)
        for layer in self._hidden:
            state = layer(state)
        if self._output is not None:
            state = self._output(state)
        return self._dropout(state, training=training)

    @property
    def penalizes(self) -> bool:
        """Whether rows add something to the loss."""
        return bool(self._tables and (self.l2 or self.l1))

    def penalties(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
        """What each row adds to the loss, float32 `[rows]`, by the embeddings that it looks up; None without `l2` and `l1`.

        A row of a table is so held near 0 as often as it occurs, and one that does not occur is left where it is.
        """
        if not self.penalizes:
            return None
        return tf.add_n([self._penalty(address, inputs[address]) for address in self._tables])

    def _penalty(self, address: str, ids: tf.Tensor) -> tf.Tensor:
        looked_up = tf.cast(tf.gather(self._tables[address].embeddings, ids), tf.float32)
        of_value = self.l2 * tf.reduce_sum(tf.square(looked_up), -1) + self.l1 * tf.reduce_sum(tf.abs(looked_up), -1)
        return tf.reduce_sum(of_value * _there(ids), -1) if address in self.listed else of_value

    def _some(self, parts: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The features without those that each row leaves out."""
        kept = self._feature_dropout(tf.ones([tf.shape(parts[0])[0], len(parts)], parts[0].dtype), training=True)
        return [part * factor[:, None] for part, factor in zip(parts, tf.unstack(kept, axis=1), strict=True)]

    def _embedded(self, address: str, inputs: Mapping[str, tf.Tensor], training: bool) -> tf.Tensor:
        table, ids = self._tables[address], inputs[address]
        if address not in self.listed:
            return table(self._ids(address, ids, training))
        shares = _shares(ids, inputs.get(f"{address}{WEIGHT}"), self.combiner)
        return tf.linalg.matvec(table(ids), tf.cast(shares, self.compute_dtype), transpose_a=True)

    def _ids(self, address: str, ids: tf.Tensor, training: bool) -> tf.Tensor:
        if not (training and self.id_dropout and address.endswith(".id")):
            return ids
        kept = self._id_dropout(tf.ones_like(ids, tf.float32), training=True) > 0
        return tf.where(kept, ids, 0)

    def axes(self) -> list[Axis]:
        """The rows of the embeddings, and the fields that hidden layers read."""
        tables = [Axis(table.embeddings, 0, address) for address, table in self._tables.items()]
        beside = self._hidden[:1] if self.combine == "concat" else []
        return [*tables, *(Axis(layer.kernel, 0, [*self._tables, *self._maps]) for layer in beside)]

    def _small(self) -> keras.initializers.Initializer:
        # What is known of an item in advance should be heard over the noise of ids that have not been learned yet.
        return keras.initializers.RandomNormal(stddev=self.stddev)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "sizes": dict(self.sizes),
            "widths": dict(self.widths),
            "dim": self.dim,
            "hidden": list(self.hidden),
            "id_dropout": self.id_dropout,
            "dropout": self.dropout,
            "listed": list(self.listed),
            "combiner": self.combiner,
            "feature_dropout": self.feature_dropout,
            "l2": self.l2,
            "l1": self.l1,
            "combine": self.combine,
            "stddev": self.stddev,
        }


def _shares(ids: tf.Tensor, weights: tf.Tensor | None, combiner: str) -> tf.Tensor:
    """Factors of the embeddings of values, float32 `[rows, n]`; 1 for the 0 of a row without any."""
    weights = _there(ids) if weights is None else weights * tf.cast(ids > 0, tf.float32) + _alone(ids)
    if combiner == "mean":
        return weights / tf.reduce_sum(weights, 1, keepdims=True)
    return (
        weights if combiner == "sum" else weights * tf.math.rsqrt(tf.reduce_sum(tf.square(weights), 1, keepdims=True))
    )


def _there(ids: tf.Tensor) -> tf.Tensor:
    """1 for the values that a row has, or for the first 0 of a row without any, float32 `[rows, n]`."""
    return tf.cast(ids > 0, tf.float32) + _alone(ids)


def _alone(ids: tf.Tensor) -> tf.Tensor:
    """1 for the first 0 of a row without any value, float32 `[rows, n]`."""
    return tf.concat([tf.cast(ids[:, :1] == 0, tf.float32), tf.zeros_like(ids[:, 1:], tf.float32)], 1)


def _variable_name(address: str) -> str:
    return address.replace(".", "_").replace("/", "_")
