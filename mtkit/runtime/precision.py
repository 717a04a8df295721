"""The precision in which layers compute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mtkit.backend import keras


@contextlib.contextmanager
def precision_scope(precision: str) -> Iterator[None]:
    """Layers that are built inside compute in this precision: `float32`, `mixed_bfloat16` or `mixed_float16`.

    Variables are float32 in all of them. With `mixed_float16`, a model that is built inside scales its loss, so that
    small gradients do not vanish.
    """
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
