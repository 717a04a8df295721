"""Encoders, correlations and heads as one Keras model, assembled, trained by steps, and evaluated."""
