"""A past that comes with a request: what `known_as_of` says of users in the data, as TensorFlow operations."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mtkit.backend import tf
from mtkit.data.known_as_of import ACTIVITY_SHIFTS
from mtkit.feed.batch import Lists


def known_age(age: tf.Tensor) -> tf.Tensor:
    """Days since purchases; infinite where they are not known, which is where they are nan, negative or infinite."""
    return tf.where((age >= 0) & tf.math.is_finite(age), age, np.inf)


def given_past(
    ids: tf.Tensor, age: tf.Tensor, columns: Collection[str] = ("own", "activity")
) -> tuple[Lists, dict[str, tf.Tensor]]:
    """Own past items with their channels, and the activity, of rows that bring their purchases along.

    Purchases of a row at the same moment are one basket, in which an item counts once. One of an unknown moment is a basket
    of its own: it counts, but is in no recent days, and what follows from ages leaves it out. Memory grows with the number
    of purchases.

    Args:
        ids: int32 `[rows, n]`, items in any order; 0 = nothing.
        age: float32 `[rows, n]`, days since the purchase; `known_age` says which are unknown.
        columns: those that are read; without `own`, the items have no channels.

    Returns:
        The lists `own`, with values `id` int32 `[m]` and `channels` `[m, c]` (`OWN_CHANNELS`), and the dense columns, of which
        `activity` is `[rows, a]` (`ACTIVITY_CHANNELS`), as a `Batch` has them.
    """
    ids, age = _by_age(ids, known_age(age))
    basket = (ids > 0) & ~(_repeats(age) & tf.math.is_finite(age))
    baskets, order = _sum(basket), tf.argsort(ids, stable=True)
    # From here on in the order of items; purchases of an item stay in the order of their ages.
    item, age_of_item = tf.gather(ids, order, batch_dims=1), tf.gather(age, order, batch_dims=1)
    begins = (item > 0) & ~_repeats(item)
    row, own = tf.where(begins)[:, 0], {"id": tf.boolean_mask(item, begins)}
    if "own" in columns:
        counted = (item > 0) & (begins | ~_repeats(age_of_item) | tf.math.is_inf(age_of_item))
        run = tf.cumsum(tf.cast(tf.boolean_mask(begins, counted), tf.int32)) - 1
        own["channels"] = _channels(run, tf.boolean_mask(age_of_item, counted), tf.gather(baskets, row))
    dense = {"activity": _activity(basket, age, _sum(begins), baskets)} if "activity" in columns else {}
    return Lists(row, own), dense


def _by_age(ids: tf.Tensor, age: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The purchases of each row, the latest first, those of unknown moments and what is nothing last."""
    age = tf.where(ids > 0, age, np.inf)
    order = tf.argsort(age, stable=True)
    return tf.gather(ids, order, batch_dims=1), tf.gather(age, order, batch_dims=1)


def _repeats(values: tf.Tensor) -> tf.Tensor:
    """Which of `[rows, n]` are the same as the one before."""
    return tf.pad(values[:, 1:] == values[:, :-1], [[0, 0], [1, 0]])[:, : tf.shape(values)[1]]


def _sum(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(values, tf.float32), -1)


def _channels(item: tf.Tensor, age: tf.Tensor, baskets: tf.Tensor) -> tf.Tensor:
    """Channels `[m, c]` of own past items.

    Args:
        item: int32 `[purchases]`, ascending, which of the items was purchased.
        age: `[purchases]`.
        baskets: `[m]`, of each item's row.
    """

    def total(values: tf.Tensor) -> tf.Tensor:
        return tf.math.segment_sum(tf.cast(values, tf.float32), item)

    known = tf.math.is_finite(age)
    count, dated = total(tf.ones_like(age)), total(known)
    since = tf.math.segment_min(age, item)
    first = tf.math.segment_max(tf.where(known, age, 0.0), item)
    interval = tf.maximum((first - since) / tf.maximum(dated - 1.0, 1.0), 1.0)
    lateness = tf.clip_by_value(tf.math.log((since + 3.0) / (interval + 3.0)), -2.0, 2.0)

    def within(days: float) -> tf.Tensor:
        return tf.math.log1p(total(age <= days))

    def decayed(days: float) -> tf.Tensor:
        return tf.math.log1p(total(tf.exp(-age * (tf.math.log(2.0) / days))))

    channels = [
        tf.math.log1p(count),
        within(30.0),
        within(90.0),
        tf.exp(-since / 30.0),
        tf.exp(-since / 120.0),
        decayed(120.0),
        decayed(30.0),
        tf.sqrt(count / tf.maximum(baskets, 1.0)),
        tf.where(dated > 1, lateness, 0.0),
        tf.cast(count > 1, tf.float32),
        within(10.0),
        tf.exp(-since / 7.0),
    ]
    return tf.stack(channels, 1)


def _activity(basket: tf.Tensor, age: tf.Tensor, distinct: tf.Tensor, baskets: tf.Tensor) -> tf.Tensor:
    recent = [_sum(basket & (age <= days)) for days in (30.0, 90.0)]
    return tf.math.log1p(tf.stack([*recent, distinct, baskets], 1)) / 2.0 - tf.constant(ACTIVITY_SHIFTS)
