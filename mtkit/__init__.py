"""mtkit: a multi-task recommender toolkit for TensorFlow and Keras, assembled from plugins."""

__version__ = "0.1.0"
