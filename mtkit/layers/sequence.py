"""An encoder of the past: a network over the sequence of its events."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from mtkit.backend import keras, tf
from mtkit.layers.axes import Axis
from mtkit.layers.initializers import Isometry
from mtkit.layers.past_augmentation import HIDDEN
from mtkit.layers.past_augmentation import augmented as changed
from mtkit.layers.sequence_blocks import BUCKETS, Events, GruBlock, HstuBlock, LigrBlock, SasrecBlock, bucket
from mtkit.schema import AGE

_PREPARED = "prepared"


@keras.saving.register_keras_serializable(package="mtkit")
class Sequence(keras.layers.Layer):
    """Reads past events in their order: the state of the last one, which knows those before it.

    x_j = drop(sqrt(dim) (e_j + p_j + Σ_c v_c[value of event j in column c] + Σ_c M_c (numbers of column c))), where e_j is the
    embedding of the event's item, and p_j that of its place, counted from the oldest event that is read. Then come the blocks,
    and a layer normalization; `gru` has neither places nor the normalization. With `time`, x_j gets an embedding of the span
    since the event before, and what comes out one of the span until the row; `hstu` has time in its attention instead.

    Where the rows of a call are places in sequences, `at` reads each sequence once: a state depends on no later event.

    Args:
        entity: what the events are about; the call's input is `history.<entity>`.
        size: number of rows of the entity's table.
        dim: width of the embedding.
        length: events that are read, the last ones.
        block: `sasrec`, `ligr`, `hstu` or `gru`.
        blocks: how many, one upon another.
        heads: of the attention of each.
        content: name of an encoder of the entity, whose output is mapped to `dim` and added to the items' own embeddings.
        tied: whether the output of `content`, of width `dim`, is all that there is of an item.
        dropout: share of the numbers dropped in training.
        sizes: address of a column of categories of the events -> number of its values.
        widths: address of a column of numbers of the events -> length of its last axis.
        time: whether spans of time are read.
        crop: of `past_augmentation.augmented`, which training calls by `augment`; so are the next.
        mask: an item that is hidden has an embedding of its own.
        reorder: see there.
        augmented: the share of training rows whose past is changed.

    Call: a dictionary with `history.<entity>` int `[rows, length]` (0 = padding, in front), the columns, int `[rows, length]` or
    float `[rows, length, width]`, `history.age` float `[rows, length]` for `time`, and `catalog.<content>` `[size, width]`, or
    what `prepare` made of it. Returns `[rows, dim]`, 0 for a row without a past.
    """

    compilable = False

    def __init__(
        self,
        entity: str,
        size: int,
        dim: int,
        length: int,
        block: str = "sasrec",
        blocks: int = 2,
        heads: int = 1,
        content: str | None = None,
        tied: bool = False,
        dropout: float = 0.0,
        sizes: Mapping[str, int] | None = None,
        widths: Mapping[str, int] | None = None,
        time: bool = False,
        crop: float | None = None,
        mask: float | None = None,
        reorder: float | None = None,
        augmented: float = 0.5,
        **options: Any,
    ) -> None:
        # Ages are in float32, also where states are not.
        super().__init__(**{"autocast": False, **options})
        self.entity, self.size, self.dim, self.length = entity, size, dim, length
        self.block, self.blocks, self.heads, self.content, self.tied = block, blocks, heads, content, tied
        self.dropout, self.sizes, self.widths, self.time = dropout, dict(sizes or {}), dict(widths or {}), time
        self.crop, self.mask, self.reorder, self.augmented = crop, mask, reorder, augmented
        mapped = content is not None and not tied
        self._map = (
            keras.layers.Dense(dim, use_bias=False, kernel_initializer=Isometry(), name="content") if mapped else None
        )
        self._dropout = keras.layers.Dropout(dropout, rng_type="stateful")
        self.items = None if tied else self._table("items", size)
        self._hidden = None if mask is None else self._table("hidden", 1)
        self._columns = {c: self._table(_name(c), n) for c, n in {**self.sizes, **self.widths}.items()}
        self._places = None if block == "gru" else self._table("places", length)
        spans = time and block != "hstu"
        self._since = self._table("since", BUCKETS + 1) if spans else None
        self._until = self._table("until", BUCKETS) if spans else None
        self._blocks = [self._make(number) for number in range(blocks)]
        self._norm = None if block == "gru" else keras.layers.LayerNormalization(epsilon=1e-6, name="norm")

    def _table(self, name: str, rows: int) -> tf.Variable:
        return self.add_weight(name, (rows, self.dim), initializer=keras.initializers.RandomNormal(stddev=0.01))

    def _make(self, number: int) -> Any:
        name = f"block{number}"
        if self.block == "gru":
            return GruBlock(self.dim, self.dropout, name=name)
        if self.block == "hstu":
            return HstuBlock(self.dim, self.heads, self.dropout, self.length, time=self.time, name=name)
        kind = {"sasrec": SasrecBlock, "ligr": LigrBlock}[self.block]
        return kind(self.dim, self.heads, self.dropout, name=name)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The embedding of each row's past."""
        rows = tf.shape(inputs[f"history.{self.entity}"], tf.int64)[0]
        return self.at(
            inputs, tf.range(rows), tf.fill([rows], tf.constant(self.length - 1, tf.int64)), training=training
        )

    def at(
        self, inputs: Mapping[str, tf.Tensor], sequence: tf.Tensor, place: tf.Tensor, *, training: bool = False
    ) -> tf.Tensor:
        """The embeddings of the parts of sequences that end at a place: what a call would give for each part as a row.

        Args:
            inputs: as in a call, of whole sequences.
            sequence: int64 `[rows]`, the number of the sequence.
            place: int64 `[rows]`, where the last event of the part is, from 0 to `length` - 1.
            training: whether dropout is on.

        Returns:
            `[rows, dim]`, 0 where a part has no event.
        """
        there = inputs[f"history.{self.entity}"] != 0
        before = tf.cumsum(tf.cast(there, tf.int64), 1)  # and the event itself
        events, flat = self._events(inputs, there, before)
        states = self._states(inputs, events, flat, training)
        number = tf.cumsum(before[:, -1], exclusive=True)
        count = tf.gather_nd(before, tf.stack([sequence, place], 1))
        # Behind the last event are the zeros of those that have none.
        states = tf.pad(states, [[0, 1], [0, 0]])
        nothing = tf.shape(states, tf.int64)[0] - 1
        return tf.gather(states, tf.where(count > 0, tf.gather(number, sequence) + count - 1, nothing))

    def augment(
        self, inputs: Mapping[str, tf.Tensor], draw: Callable[[str, tf.Tensor], tf.Tensor]
    ) -> Mapping[str, tf.Tensor]:
        """The inputs of a call in training, with the pasts of some rows changed; those of others stay as they are.

        Args:
            inputs: as in a call.
            draw: numbers in [0, 1), float32, by a name and a shape, int32 `[n]`.
        """
        if self.crop is None and self.mask is None and self.reorder is None:
            return inputs
        return changed(
            inputs,
            f"history.{self.entity}",
            [*self.sizes, *self.widths],
            draw,
            crop=self.crop,
            mask=self.mask,
            reorder=self.reorder,
            share=self.augmented,
        )

    def prepare(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What content says of the items, `[size, dim]`: computed once for several calls, which keeps gradients reproducible.

        Args:
            inputs: `catalog.<content>` `[size, width]`, if there is content.
        """
        if self.content is None:
            return {}
        with tf.name_scope(self.name):
            content = tf.cast(inputs[f"catalog.{self.content}"], self.compute_dtype)
            return {_PREPARED: content if self._map is None else self._map(content)}

    def _events(self, inputs: Mapping[str, tf.Tensor], there: tf.Tensor, before: tf.Tensor) -> tuple[Events, tf.Tensor]:
        """The events that there are, and where each is in the inputs, int64 `[events, 2]`."""
        flat = tf.where(there)
        index = tf.stack([flat[:, 0], tf.gather_nd(before, flat) - 1], 1)
        events = Events(index, tf.shape(there, tf.int64)[0], tf.reduce_max(tf.concat([before[:, -1], [1]], 0)))
        if not self.time:
            return events, flat
        age = tf.gather_nd(tf.cast(inputs[AGE], tf.float32), flat)
        again = tf.concat([index[1:, 0] == index[:-1, 0], tf.zeros_like(index[:1, 0], tf.bool)], 0)
        following = tf.where(again, tf.concat([age[1:], age[:1]], 0), 0.0)
        return events._replace(age=age, until=age - following), flat

    def _states(self, inputs: Mapping[str, tf.Tensor], events: Events, flat: tf.Tensor, training: bool) -> tf.Tensor:
        """What is known after each event, `[events, dim]`."""
        states = self._dropout(self._embedded(inputs, events, flat) * math.sqrt(self.dim), training=training)
        for block in self._blocks:
            states = block(states, events, training=training)
        if self._until is not None:
            states += self._rows(self._until, bucket(events.until))
        return states if self._norm is None else self._norm(states)

    def _embedded(self, inputs: Mapping[str, tf.Tensor], events: Events, flat: tf.Tensor) -> tf.Tensor:
        """The sum of what is known of each event, `[events, dim]`."""
        ids = tf.gather_nd(inputs[f"history.{self.entity}"], flat)
        parts = self._of_items(inputs, ids) if self._hidden is None else [self._of_some(inputs, ids, self._hidden)]
        parts += [self._rows(self._columns[c], tf.gather_nd(inputs[c], flat)) for c in self.sizes]
        for column in self.widths:
            numbers = tf.cast(tf.gather_nd(inputs[column], flat), self.compute_dtype)
            parts.append(tf.matmul(numbers, tf.cast(self._columns[column], self.compute_dtype)))
        if self._places is not None:
            parts.append(self._rows(self._places, events.index[:, 1]))
        if self._since is not None:
            # The span before an event is the one until it; the oldest has none.
            since = tf.where(events.index[:, 1] > 0, tf.roll(bucket(events.until), 1, 0), BUCKETS)
            parts.append(self._rows(self._since, since))
        return tf.add_n(parts)

    def _of_items(self, inputs: Mapping[str, tf.Tensor], ids: tf.Tensor) -> list[tf.Tensor]:
        """What is known of items, each `[events, dim]`: their own embeddings, and what content says of them."""
        parts = [] if self.items is None else [self._rows(self.items, ids)]
        if self.content is not None:
            prepared = inputs if _PREPARED in inputs else self.prepare(inputs)
            parts.append(tf.gather(prepared[_PREPARED], ids))
        return parts

    def _of_some(self, inputs: Mapping[str, tf.Tensor], ids: tf.Tensor, hidden: tf.Variable) -> tf.Tensor:
        """The same as one sum, where some items are hidden."""
        known = tf.add_n(self._of_items(inputs, tf.maximum(ids, 0)))
        return tf.where((ids == HIDDEN)[:, None], self._rows(hidden, tf.zeros_like(ids)), known)

    def _rows(self, table: tf.Variable, ids: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.gather(table, ids), self.compute_dtype)

    def axes(self) -> list[Axis]:
        """The rows of the items' own embeddings, and those of the categories of their events."""
        own = [] if self.items is None else [Axis(self.items, 0, f"{self.entity}.id")]
        return [*own, *(Axis(self._columns[address], 0, address) for address in self.sizes)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "entity": self.entity,
            "size": self.size,
            "dim": self.dim,
            "length": self.length,
            "block": self.block,
            "blocks": self.blocks,
            "heads": self.heads,
            "content": self.content,
            "tied": self.tied,
            "dropout": self.dropout,
            "sizes": dict(self.sizes),
            "widths": dict(self.widths),
            "time": self.time,
            "crop": self.crop,
            "mask": self.mask,
            "reorder": self.reorder,
            "augmented": self.augmented,
        }


def _name(address: str) -> str:
    return address.replace(".", "_")
