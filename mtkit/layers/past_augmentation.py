"""Changed pasts for training: pieces of them, with events hidden, or in another order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from mtkit.backend import tf

HIDDEN = -1
"""What stands for the item of an event that is hidden."""


def augmented(
    inputs: Mapping[str, tf.Tensor],
    item: str,
    columns: Collection[str],
    draw: Callable[[str, tf.Tensor], tf.Tensor],
    *,
    crop: float | None,
    mask: float | None,
    reorder: float | None,
    share: float,
) -> dict[str, tf.Tensor]:
    """Inputs of an encoder with the pasts of some rows changed, each in one of the ways that are asked for.

    Source: Xie et al., Contrastive Learning for Sequential Recommendation, ICDE 2022 (CL4SRec), whose changes are here those of
    training rows, without a contrastive loss. Unlike there, each event is hidden for itself, so that how many are varies.

    Args:
        inputs: address -> values; `item` int `[rows, length]`, 0 = padding.
        item: the address of the items.
        columns: addresses of what belongs to the events, `[rows, length, ...]`, and goes with them; times stay where they are.
        draw: numbers in [0, 1), float32, by a name and a shape.
        crop: the share of its events of which a past keeps as many in a row, from anywhere; at least one.
        mask: how often an event is hidden: its item becomes `HIDDEN`.
        reorder: the share of its events of which as many in a row, from anywhere, are put in another order.
        share: of the rows whose past is changed.
    """
    ways = [way for way, of in (("crop", crop), ("mask", mask), ("reorder", reorder)) if of is not None]
    ids = inputs[item]
    there, shape = ids != 0, tf.shape(ids)
    chosen = tf.cast(draw("way", shape[:1]) * (len(ways) / share), tf.int32)[:, None]
    begin, of_event = draw("begin", shape[:1])[:, None], draw("event", shape)
    found = dict(inputs)
    if reorder is not None:
        key = _order(there, begin, of_event, reorder)
        kept = tf.cast(tf.range(shape[1])[None], tf.float32)
        order = tf.argsort(tf.where(chosen == ways.index("reorder"), key, kept), 1, stable=True)
        found |= {name: tf.gather(found[name], order, batch_dims=1) for name in (item, *columns)}
    if crop is not None:
        inside, _, _ = _piece(there, begin, crop)
        found[item] = tf.where((chosen == ways.index("crop")) & ~inside, 0, found[item])
    if mask is not None:
        hidden = (chosen == ways.index("mask")) & there & (of_event < mask)
        found[item] = tf.where(hidden, HIDDEN, found[item])
    return found


def _piece(there: tf.Tensor, begin: tf.Tensor, share: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Which events are in a piece of each past, bool `[rows, length]`; their numbers, from 0 on; and the first of the piece."""
    number = tf.cast(tf.cumsum(tf.cast(there, tf.int32), 1), tf.float32) - 1
    count = number[:, -1:] + 1
    size = tf.maximum(tf.floor(share * count), 1)
    first = tf.floor(begin * (count - size + 1))
    return there & (number >= first) & (number < first + size), number, first


def _order(there: tf.Tensor, begin: tf.Tensor, of_event: tf.Tensor, share: float) -> tf.Tensor:
    """Numbers by which events stand in an order that is another one in a piece; padding comes first."""
    inside, number, first = _piece(there, begin, share)
    # Between the event before the piece and the one behind it, for no piece is longer than its events.
    moved = first + of_event * tf.reduce_sum(tf.cast(inside, tf.float32), 1, keepdims=True) - 0.5
    return tf.where(there, tf.where(inside, moved, number), -1.0)
