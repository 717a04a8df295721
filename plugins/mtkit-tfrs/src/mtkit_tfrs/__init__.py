"""TensorFlow Recommenders tasks and layers for mtkit."""
