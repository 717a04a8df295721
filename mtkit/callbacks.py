"""Keras callbacks for models of recipes."""

from mtkit.training.callbacks import EpochMetric

__all__ = ["EpochMetric"]
