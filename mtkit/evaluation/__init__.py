"""Scores to metrics: rankings, slices, sums by user, tuned baselines, tests of significance (no TensorFlow)."""
