"""What TensorFlow runs on: strategies, collective operations, optimizers, precision."""
