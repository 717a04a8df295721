"""Keras layers of mtkit, usable alone in any tf_keras model."""
