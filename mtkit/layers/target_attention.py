"""An encoder of the past as a candidate sees it: each event counts by what it has to do with the item of the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.dense_stack import DenseStack
from mtkit.layers.initializers import Isometry
from mtkit.schema import AGE, Address

_PREPARED = "prepared"


@keras.saving.register_keras_serializable(package="mtkit")
class TargetAttention(keras.layers.Layer):
    """Sums the embeddings of past events by weights that a network gives them, for the candidate of the row.

    state = Σ_j a_j h_j,  a_j = unit([h_j, c, h_j ⊙ c, h_j - c, log(1 + age_j)])

    h_j is the embedding of the item of event j, plus what its columns say, which begins at 0; c is that of the row's item, of
    the same table. To both, a map of the output of another encoder (of text, say) is added. The unit is dense layers and one
    number; a_j are not normalized, so that a past with more of what the candidate is says so by its length, unless `softmax`
    makes them shares. The first layer needs no memory for c and h_j - c, which are linear in what it has.

    Source: Zhou et al., Deep Interest Network for Click-Through Rate Prediction, KDD 2018, equation 3 and figure 2; the
    difference is that of its published code. Deviations: columns and ages of events.

    Args:
        entity: what the events are about; inputs are `history.<entity>` and `<entity>.id`.
        size: number of rows of the entity's table.
        dim: width of the embedding.
        hidden: widths of the layers of the unit, at least one.
        activation: of these layers.
        softmax: whether weights are shares, whose sum over the events of a row is 1.
        content: name of an encoder of the entity, whose output is mapped to `dim` and added.
        dropout: share of events dropped from each past in training.
        sizes: address of a column of categories of the events -> number of its values.
        widths: address of a column of numbers of the events -> length of its last axis.
        recency: whether the unit sees the age of an event.

    Call: a dictionary with `history.<entity>` int `[rows, length]` (0 = padding), `<entity>.id` int `[rows]`, the columns, int
    `[rows, length]` or float `[rows, length, width]`, `history.age` float `[rows, length]` for `recency`, and
    `catalog.<content>` `[size, width]`, or what `prepare` made of it. Returns `[rows, dim]`; 0 where there is no past.
    """

    def __init__(
        self,
        entity: str,
        size: int,
        dim: int,
        hidden: Sequence[int] = (64, 32),
        activation: str = "relu",
        softmax: bool = False,
        content: str | None = None,
        dropout: float = 0.0,
        sizes: Mapping[str, int] | None = None,
        widths: Mapping[str, int] | None = None,
        recency: bool = False,
        **options: Any,
    ) -> None:
        # Ages and masks are of their own types, also where states are of half precision.
        super().__init__(**{"autocast": False, **options})
        self.entity, self.size, self.dim, self.hidden = entity, size, dim, tuple(hidden)
        self.activation, self.softmax, self.content, self.dropout = activation, softmax, content, dropout
        self.sizes, self.widths, self.recency = dict(sizes or {}), dict(widths or {}), recency
        small = keras.initializers.RandomNormal(stddev=0.01)
        self.items = self.add_weight("items", (size, dim), initializer=small)
        columns = {**self.sizes, **self.widths}
        self._columns = {
            c: self.add_weight(c.replace(".", "_"), (n, dim), initializer="zeros") for c, n in columns.items()
        }
        self._map = (
            keras.layers.Dense(dim, use_bias=False, kernel_initializer=Isometry(), name="content") if content else None
        )
        self.kernel = self.add_weight("kernel", (4 * dim + recency, self.hidden[0]), initializer="glorot_uniform")
        self.bias = self.add_weight("bias", (self.hidden[0],), initializer="zeros")
        self._first = keras.activations.get(activation)
        # Shares do not see what all scores have in common.
        self._unit = DenseStack(self.hidden[1:], activation, units=1, use_bias=not softmax, name="unit")
        self._dropout = keras.layers.Dropout(dropout, rng_type="stateful")

    def prepare(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What does not depend on rows, to be computed once for several calls.

        Args:
            inputs: `catalog.<content>` `[size, width]`, if there is content.

        Returns:
            The content of all items, `[size, dim]`; nothing without content.
        """
        if self._map is None:
            return {}
        with tf.name_scope(self.name):
            return {_PREPARED: self._map(inputs[f"catalog.{self.content}"])}

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """What the past of each row says of its candidate."""
        ids = inputs[Address.of("history", self.entity)]
        prepared = inputs if _PREPARED in inputs else self.prepare(inputs)
        events = tf.add_n([self._embedded(ids, prepared), *self._of_columns(inputs)])
        candidate = self._embedded(inputs[Address.of(self.entity, "id")], prepared)
        weights = self._weights(events, candidate, inputs.get(AGE), ids > 0)
        return tf.linalg.matvec(events, self._dropout(weights, training=training), transpose_a=True)

    def _embedded(self, ids: tf.Tensor, prepared: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Embeddings of items, `[*ids.shape, dim]`."""
        own = tf.cast(tf.gather(self.items, ids), self.compute_dtype)
        return own if self._map is None else own + tf.gather(prepared[_PREPARED], ids)

    def _of_columns(self, inputs: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        """What each column says of the events, `[rows, length, dim]`."""
        found = [tf.gather(self._columns[address], inputs[address]) for address in self.sizes]
        found += [tf.matmul(tf.cast(inputs[address], tf.float32), self._columns[address]) for address in self.widths]
        return [tf.cast(values, self.compute_dtype) for values in found]

    def _weights(self, events: tf.Tensor, candidate: tf.Tensor, age: tf.Tensor | None, there: tf.Tensor) -> tf.Tensor:
        """What each event counts for the candidate, `[rows, length]`; 0 where there is none."""
        kernel = tf.cast(self.kernel, self.compute_dtype)
        of_event, of_candidate, of_product, of_difference = tf.split(kernel[: 4 * self.dim], 4)
        state = tf.matmul(events, of_event + of_difference) + tf.matmul(events * candidate[:, None], of_product)
        state += (tf.matmul(candidate, of_candidate - of_difference) + tf.cast(self.bias, state.dtype))[:, None]
        if self.recency:
            assert age is not None, "it comes with the past"
            days = tf.math.log1p(tf.maximum(tf.cast(age, tf.float32), 0.0))
            state += tf.cast(days, state.dtype)[..., None] * kernel[-1]
        scores = tf.cast(self._unit(self._first(state))[..., 0], tf.float32)
        if self.softmax:
            scores = tf.nn.softmax(tf.where(there, scores, scores.dtype.min))
        return tf.cast(tf.where(there, scores, 0.0), self.compute_dtype)

    def axes(self) -> list[Axis]:
        """The rows of the items' embeddings, and of the categories of their events."""
        categories = [Axis(self._columns[address], 0, address) for address in self.sizes]
        return [Axis(self.items, 0, f"{self.entity}.id"), *categories]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "entity": self.entity,
            "size": self.size,
            "dim": self.dim,
            "hidden": list(self.hidden),
            "activation": self.activation,
            "softmax": self.softmax,
            "content": self.content,
            "dropout": self.dropout,
            "sizes": dict(self.sizes),
            "widths": dict(self.widths),
            "recency": self.recency,
        }
