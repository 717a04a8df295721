"""A past that comes with a request: what `known_as_of` says of users in the data, as TensorFlow operations."""

from __future__ import annotations

from collections.abc import Collection

from mtkit.backend import tf
from mtkit.data.known_as_of import ACTIVITY_SHIFTS
from mtkit.feed.batch import Lists


def given_past(
    ids: tf.Tensor, age: tf.Tensor, columns: Collection[str] = ("own", "activity")
) -> tuple[Lists, dict[str, tf.Tensor]]:
    """Own past items with their channels, and the activity, of rows that bring their purchases along.

    Purchases of a row at the same moment are one basket, in which an item counts once. Memory grows with the square of
    the number of purchases per row.

    Args:
        ids: int32 `[rows, n]`, items in any order; 0 = nothing.
        age: float32 `[rows, n]`, days since the purchase.
        columns: those that are read; without `own`, the items have no channels.

    Returns:
        The lists `own`, with values `id` int32 `[m]` and `channels` `[m, c]` (`OWN_CHANNELS`), and the dense columns, of which
        `activity` is `[rows, a]` (`ACTIVITY_CHANNELS`), as a `Batch` has them.
    """
    there = ids > 0
    same_item = (ids[:, :, None] == ids[:, None]) & there[:, None]
    same_moment = age[:, :, None] == age[:, None]
    counted = there & ~_repeats(same_item & same_moment)
    basket = there & ~_repeats(same_moment & there[:, None])
    baskets = _sum(basket)
    # One purchase stands for all of an item, in the order of items.
    chosen = there & ~_repeats(same_item)
    order = tf.argsort(tf.where(chosen, ids, tf.int32.max), axis=1)
    values = {"id": ids}
    if "own" in columns:
        values["channels"] = _channels(same_item & counted[:, None], age, baskets)
    chosen_in_order = tf.gather(chosen, order, batch_dims=1)
    own = {name: tf.boolean_mask(tf.gather(v, order, batch_dims=1), chosen_in_order) for name, v in values.items()}
    dense = {"activity": _activity(basket, age, _sum(chosen), baskets)} if "activity" in columns else {}
    return Lists(tf.where(chosen_in_order)[:, 0], own), dense


def _repeats(same: tf.Tensor) -> tf.Tensor:
    """Which positions `[rows, n]` are the same as an earlier one, by `same` bool `[rows, n, n]`."""
    size = tf.shape(same)[1]
    earlier = tf.range(size)[None, :] < tf.range(size)[:, None]
    return tf.reduce_any(same & earlier, 2)


def _sum(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(values, tf.float32), -1)


def _channels(purchases: tf.Tensor, age: tf.Tensor, baskets: tf.Tensor) -> tf.Tensor:
    """Channels `[rows, n, c]` of each position's item; `purchases` bool `[rows, n, n]` are the ones of that item."""
    weights, age = tf.cast(purchases, tf.float32), age[:, None]
    count = _sum(purchases)
    since = tf.reduce_min(tf.where(purchases, age, tf.float32.max), 2)
    first = tf.reduce_max(tf.where(purchases, age, 0.0), 2)
    interval = tf.maximum((first - since) / tf.maximum(count - 1.0, 1.0), 1.0)
    lateness = tf.clip_by_value(tf.math.log((since + 3.0) / (interval + 3.0)), -2.0, 2.0)

    def within(days: float) -> tf.Tensor:
        return tf.math.log1p(_sum(purchases & (age <= days)))

    def decayed(days: float) -> tf.Tensor:
        return tf.math.log1p(tf.reduce_sum(weights * tf.exp(-age * (tf.math.log(2.0) / days)), 2))

    channels = [
        tf.math.log1p(count),
        within(30.0),
        within(90.0),
        tf.exp(-since / 30.0),
        tf.exp(-since / 120.0),
        decayed(120.0),
        decayed(30.0),
        tf.sqrt(count / tf.maximum(baskets, 1.0)[:, None]),
        tf.where(count > 1, lateness, 0.0),
        tf.cast(count > 1, tf.float32),
        within(10.0),
        tf.exp(-since / 7.0),
    ]
    return tf.stack(channels, 2)


def _activity(basket: tf.Tensor, age: tf.Tensor, distinct: tf.Tensor, baskets: tf.Tensor) -> tf.Tensor:
    recent = [_sum(basket & (age <= days)) for days in (30.0, 90.0)]
    return tf.math.log1p(tf.stack([*recent, distinct, baskets], 1)) / 2.0 - tf.constant(ACTIVITY_SHIFTS)
