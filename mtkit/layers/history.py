"""An encoder of the past: a bag of items, and of what is known of their events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.initializers import Isometry
from mtkit.schema import AGE

GATHERED = 32
"""How many times longer than the past a table is from which on embeddings of the past are gathered."""

BOUND = 10.0
"""What the logarithm of an event's weight can be at most, up or down."""

_PREPARED = "prepared"


@keras.saving.register_keras_serializable(package="mtkit")
class History(keras.layers.Layer):
    """Sums the embeddings of past items, weighted by how often they occur, and what is known of their events.

    state = Σ_j d_j log(1 + n_j) e_j / sqrt(number of distinct items) + Σ_c b_c + Σ_c M_c m_c

    n_j is the sum of the weights w of the last events of item j, and d drops whole items in training. e_j is the item's own
    embedding, to which a map of the output of another encoder (of text, say) is added. An event's weight is

    log w = Σ_c s_c[value in column c] + Σ_c s_c · (numbers of column c) - r log(1 + age in days), within ±10,

    where s and r (with `recency`) are learned; without columns and recency it is 1, and n_j a count. For a column c of
    categories, b_c = Σ_t log(1 + n_t) v_t / sqrt(number of distinct t), where n_t is the sum of the weights of the events of
    category t and v_t its embedding; for one of numbers, m_c is their mean by these weights, and M_c a linear map. s, r, v
    and M begin at 0: before it is trained, the state is that of the counts of items.

    Args:
        entity: what the events are about; the call's input is `history.<entity>`.
        size: number of rows of the entity's table.
        dim: width of the embedding.
        length: events that are read, the last ones.
        content: name of an encoder of the entity, whose output is mapped to `dim` and added.
        dropout: share of items dropped from each past in training.
        sizes: address of a column of categories of the events -> number of its values.
        widths: address of a column of numbers of the events -> length of its last axis.
        recency: whether the weight of an event depends on its age.

    Call: a dictionary with `history.<entity>` int `[rows, length]` (0 = padding), the columns, int `[rows, length]` or float
    `[rows, length, width]`, `history.age` float `[rows, length]` for `recency`, and `catalog.<content>` `[size, width]`, or
    what `prepare` made of it. Returns `[rows, dim]`. Time and memory are those of a `[rows, size]` matrix, or of one of
    `[rows, length, dim]` where the table is more than 32 times as long as the past; so, too, for each column of categories.
    """

    def __init__(
        self,
        entity: str,
        size: int,
        dim: int,
        length: int,
        content: str | None = None,
        dropout: float = 0.0,
        sizes: Mapping[str, int] | None = None,
        widths: Mapping[str, int] | None = None,
        recency: bool = False,
        **options: Any,
    ) -> None:
        # What an event counts is computed in float32, also where states are not.
        super().__init__(**{"autocast": False, **options})
        self.entity, self.size, self.dim, self.length = entity, size, dim, length
        self.content, self.dropout = content, dropout
        self.sizes, self.widths, self.recency = dict(sizes or {}), dict(widths or {}), recency
        small = keras.initializers.RandomNormal(stddev=0.01)
        self._map = (
            keras.layers.Dense(dim, use_bias=False, kernel_initializer=Isometry(), name="content") if content else None
        )
        self._dropout = keras.layers.Dropout(dropout, rng_type="stateful")
        self.items = self.add_weight("items", (size, dim), initializer=small)
        columns = {**self.sizes, **self.widths}
        self._scores = {c: self._exact(f"{_name(c)}_score", (n,)) for c, n in columns.items()}
        self._columns = {c: self.add_weight(_name(c), (n, dim), initializer="zeros") for c, n in columns.items()}
        self._rate = self._exact("recency", ()) if recency else None

    def _exact(self, name: str, shape: tuple[int, ...]) -> tf.Variable:
        return self.add_weight(name, shape, initializer="zeros", experimental_autocast=False)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The embedding of each row's past."""
        ids = inputs[f"history.{self.entity}"]
        prepared = inputs if _PREPARED in inputs else self.prepare(inputs)
        weights = self._weights(ids, inputs)
        items, counts = self._summed(ids, weights, self.size)
        bag = self._dropout(tf.math.log1p(counts), training=training)
        scale = tf.cast(_root(counts), bag.dtype)
        if items is None:
            state = tf.matmul(bag, prepared[_PREPARED]) * scale
        else:
            state = tf.linalg.matvec(self._gathered(items, prepared[_PREPARED]), bag, transpose_a=True) * scale
        parts = [self._categories(address, inputs[address], weights) for address in self.sizes]
        parts += [self._numbers(address, inputs[address], weights) for address in self.widths]
        return tf.add_n([state, *parts]) if parts else state

    def prepare(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What does not depend on rows, to be computed once for several calls.

        This saves time, and keeps gradients reproducible: calls that each added content to the items would give both
        of them the same gradient tensors, and TensorFlow's AddN begins a sum with the first of its tensors that no
        other operation still holds, even where determinism was asked for.

        Args:
            inputs: `catalog.<content>` `[size, width]`, if there is content.

        Returns:
            One tensor `[size, dim]`, the embeddings; of the content alone where the items' own are gathered.
        """
        with tf.name_scope(self.name):
            content = self._map(inputs[f"catalog.{self.content}"]) if self._map else tf.zeros([], self.compute_dtype)
            whole = not self._by_rows(self.size)
            return {_PREPARED: tf.cast(self.items, self.compute_dtype) + content if whole else content}

    def _by_rows(self, size: int) -> bool:
        return size > GATHERED * self.length

    def _gathered(self, items: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        """The embeddings of `items`, `[rows, length, dim]`."""
        own = tf.cast(tf.gather(self.items, items), self.compute_dtype)
        return own + tf.gather(content, items) if self._map else own

    def _weights(self, ids: tf.Tensor, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """What each event counts, float32 `[rows, length]`; 0 where there is none."""
        there = tf.cast(ids > 0, tf.float32)
        scores = [tf.gather(self._scores[address], inputs[address]) for address in self.sizes]
        scores += [
            tf.linalg.matvec(tf.cast(inputs[address], tf.float32), self._scores[address]) for address in self.widths
        ]
        if self._rate is not None:
            scores.append(-self._rate * tf.math.log1p(tf.maximum(tf.cast(inputs[AGE], tf.float32), 0.0)))
        return there * tf.exp(tf.clip_by_value(tf.add_n(scores), -BOUND, BOUND)) if scores else there

    def _categories(self, address: str, values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The bag of the categories of the events, `[rows, dim]`."""
        table = tf.cast(self._columns[address], self.compute_dtype)
        found, sums = self._summed(values, weights, self.sizes[address])
        bag = tf.cast(tf.math.log1p(sums) * _root(sums), self.compute_dtype)
        if found is None:
            return tf.matmul(bag, table)
        return tf.linalg.matvec(tf.gather(table, found), bag, transpose_a=True)

    def _numbers(self, address: str, values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The map of the mean of the numbers of the events, `[rows, dim]`."""
        total = tf.linalg.matvec(tf.cast(values, tf.float32), weights, transpose_a=True)
        mean = tf.math.divide_no_nan(total, tf.reduce_sum(weights, 1, keepdims=True))
        return tf.matmul(tf.cast(mean, self.compute_dtype), tf.cast(self._columns[address], self.compute_dtype))

    def _summed(self, values: tf.Tensor, weights: tf.Tensor, size: int) -> tuple[tf.Tensor | None, tf.Tensor]:
        """Sums of the weights of each value: of all of them, `[rows, size]`; or which there are, and theirs, `[rows, length]`."""
        if self._by_rows(size):
            return _distinct(values, weights)
        rows = tf.shape(values)[0]
        flat = tf.reshape(values + size * tf.range(rows)[:, None], [-1])
        sums = tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), flat, rows * size)
        return None, tf.reshape(sums, [rows, size])

    def axes(self) -> list[Axis]:
        """The rows of the items' own embeddings, and those of the categories of their events."""
        held = (self._scores, self._columns)
        categories = [Axis(weights[address], 0, address) for address in self.sizes for weights in held]
        return [Axis(self.items, 0, f"{self.entity}.id"), *categories]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "entity": self.entity,
            "size": self.size,
            "dim": self.dim,
            "length": self.length,
            "content": self.content,
            "dropout": self.dropout,
            "sizes": dict(self.sizes),
            "widths": dict(self.widths),
            "recency": self.recency,
        }


def _distinct(values: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each row's distinct values, filled up with 0, and the sums of their weights, float32; both `[rows, length]`."""
    order = tf.argsort(values, 1, stable=True)
    values, weights = (tf.gather(each, order, batch_dims=1) for each in (values, weights))
    begins = tf.cast(values[:, 1:] != values[:, :-1], tf.int32)
    rank = tf.pad(tf.cumsum(begins, 1), [[0, 0], [1, 0]])
    rows, length = tf.unstack(tf.shape(values))
    flat = tf.reshape(rank + length * tf.range(rows)[:, None], [-1])
    found = tf.maximum(tf.math.unsorted_segment_max(tf.reshape(values, [-1]), flat, rows * length), 0)
    sums = tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), flat, rows * length)
    return tf.reshape(found, [rows, length]), tf.reshape(sums, [rows, length])


def _root(sums: tf.Tensor) -> tf.Tensor:
    """One over the root of how many sums are not 0, at least 1; float32 `[rows, 1]`."""
    number = tf.reduce_sum(tf.cast(sums > 0, tf.float32), 1, keepdims=True)
    return tf.math.rsqrt(tf.maximum(number, 1.0))


def _name(address: str) -> str:
    return address.replace(".", "_")
