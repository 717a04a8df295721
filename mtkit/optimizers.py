"""Optimizers that update large tables by rows, and the precision of computation."""

from mtkit.runtime.optimizers import OPTIMIZERS, Adagrad, Adam, AdamW, Sgd, learning_rate_factors
from mtkit.runtime.precision import precision_scope

__all__ = ["OPTIMIZERS", "Adagrad", "Adam", "AdamW", "Sgd", "learning_rate_factors", "precision_scope"]
