"""Checks of data: what is suspicious about tables, declared columns, labels and parts; no TensorFlow."""
