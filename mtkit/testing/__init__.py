"""The conformance kit: what every component of a kind must do, as plain functions for the tests of plugins.

Each function raises AssertionError with what was expected. Nothing here needs pytest, and TensorFlow is imported only
by the functions that take layers.
"""

from mtkit.testing.cleaning import check_cleaner
from mtkit.testing.data import check_data_source, check_rows, check_split, sample_data
from mtkit.testing.layers import (
    check_balancer,
    check_correlation,
    check_encoder,
    check_layer_config,
    check_prediction_head,
    check_preprocessor,
    check_retrieval_head,
)
from mtkit.testing.measures import check_baseline, check_prediction_metric, check_ranking_metric
from mtkit.testing.options import check_derivation, check_options
from mtkit.testing.replicas import check_replicas
from mtkit.testing.self_supervised import check_self_supervised_head
from mtkit.testing.specs import HEAVY, check_exporter, check_hooks, check_import_is_light, check_spec
from mtkit.testing.statistics import check_row_statistics
from mtkit.testing.training_steps import check_training_step
from mtkit.testing.weightings import check_weighting

__all__ = [
    "HEAVY",
    "check_balancer",
    "check_baseline",
    "check_cleaner",
    "check_correlation",
    "check_data_source",
    "check_derivation",
    "check_encoder",
    "check_exporter",
    "check_hooks",
    "check_import_is_light",
    "check_layer_config",
    "check_options",
    "check_prediction_head",
    "check_prediction_metric",
    "check_preprocessor",
    "check_ranking_metric",
    "check_replicas",
    "check_retrieval_head",
    "check_row_statistics",
    "check_rows",
    "check_self_supervised_head",
    "check_spec",
    "check_split",
    "check_training_step",
    "check_weighting",
    "sample_data",
]
