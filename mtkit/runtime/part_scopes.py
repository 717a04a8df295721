"""Names under which a training step computes, so that a trace of it says which component an operation is of."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from mtkit.backend import tf

PREFIX = "mtkit."
"""What the names begin with: layers, whose names are scopes, too, are not called so."""
DATA, BALANCE, OPTIMIZER, BETWEEN = "data", "balance", "optimizer", "between"
"""What a step has beside encoders, correlations and tasks; the last is what lies between all of them."""


def computing(part: str) -> AbstractContextManager[Any]:
    """Operations that are made meanwhile are of a part: `encoder.user`.

    The scope is no part of the one around it, and has the same name each time. For steps alone: variables that are made
    within would be called so.
    """
    scope: AbstractContextManager[Any] = tf.name_scope(f"{PREFIX}{part}/")
    return scope
