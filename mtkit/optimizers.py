"""Optimizers by name, and their learning rate over the steps of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mtkit.backend import keras

if TYPE_CHECKING:
    from mtkit.sections import Train

OPTIMIZERS: Mapping[str, Callable[..., Any]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adagrad": keras.optimizers.Adagrad,
    "sgd": keras.optimizers.SGD,
}

FINAL_RATE = 0.02
"""Where a cosine schedule ends, as a share of the learning rate."""


def make_optimizer(settings: Train, steps: int) -> Any:
    """The recipe's optimizer, its learning rate scheduled over `steps`."""
    rate: Any = settings.learning_rate
    if settings.schedule == "cosine":
        warm = min(settings.warmup_steps, steps - 1)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warm else rate, steps - warm, FINAL_RATE, warmup_target=rate if warm else None, warmup_steps=warm
        )
    return OPTIMIZERS[settings.optimizer](learning_rate=rate, global_clipnorm=settings.clip_norm)
