"""Base classes of the specs: what a recipe's tables become, one base per kind (no TensorFlow).

A component is a frozen *spec* (its declaration: validation, defaults, documentation, JSON schema in one) in a module that
does not import TensorFlow. `spec.build(context)` imports what it needs and returns an ordinary tf_keras layer. A plugin
offers a spec class under an entry point of the group `mtkit.<kind>`.
"""

from collections.abc import Mapping

from mtkit.conditions import Where
from mtkit.durations import Duration
from mtkit.schema import Address
from mtkit.spec.base import (
    Activation,
    Contributions,
    FeatureInfo,
    Fraction,
    ItemsBy,
    Name,
    NameOrDirectory,
    OrDirectory,
    PositiveFloat,
    PositiveInt,
    Spec,
)
from mtkit.spec.callbacks import Callback
from mtkit.spec.class_heads import ClassTask
from mtkit.spec.cleaning import Cleaner, columns_of, no_column, no_table, taken, with_columns
from mtkit.spec.data import Cleaned, Cut, DataSource, GroupPreprocessor, Holds, Log, Preprocessor, Rows, Split
from mtkit.spec.evaluation import (
    Baseline,
    ContentBaseline,
    EventsBaseline,
    GroupedMetric,
    PredictionMetric,
    RankingMetric,
    UnseenMetric,
)
from mtkit.spec.heads import (
    Measures,
    Read,
    TaskHead,
    TaskMistake,
    Wiring,
    output_of,
    prediction_of,
)
from mtkit.spec.model import (
    Balancer,
    BuildContext,
    Correlation,
    Encoder,
    ServingInput,
)
from mtkit.spec.neighborhood import Branch, Neighborhood, Side
from mtkit.spec.prediction_heads import PredictionTask
from mtkit.spec.published import PublishedData, RemoteFile
from mtkit.spec.retrieval_heads import RetrievalTask
from mtkit.spec.self_supervised_heads import SelfSupervisedTask
from mtkit.spec.serving import Exporter, Trained
from mtkit.spec.statistics import Key, KeyColumn, KeyNumbers, RowStatistics

__all__ = [
    "BASES",
    "Activation",
    "Address",
    "Balancer",
    "Baseline",
    "Branch",
    "BuildContext",
    "Callback",
    "ClassTask",
    "Cleaned",
    "Cleaner",
    "ContentBaseline",
    "Contributions",
    "Correlation",
    "Cut",
    "DataSource",
    "Duration",
    "Encoder",
    "EventsBaseline",
    "Exporter",
    "FeatureInfo",
    "Fraction",
    "GroupPreprocessor",
    "GroupedMetric",
    "Holds",
    "ItemsBy",
    "Key",
    "KeyColumn",
    "KeyNumbers",
    "Log",
    "Measures",
    "Name",
    "NameOrDirectory",
    "Neighborhood",
    "OrDirectory",
    "PositiveFloat",
    "PositiveInt",
    "PredictionMetric",
    "PredictionTask",
    "Preprocessor",
    "PublishedData",
    "RankingMetric",
    "Read",
    "RemoteFile",
    "RetrievalTask",
    "RowStatistics",
    "Rows",
    "SelfSupervisedTask",
    "ServingInput",
    "Side",
    "Spec",
    "Split",
    "TaskHead",
    "TaskMistake",
    "Trained",
    "UnseenMetric",
    "Where",
    "Wiring",
    "columns_of",
    "no_column",
    "no_table",
    "output_of",
    "prediction_of",
    "taken",
    "with_columns",
]

BASES: Mapping[str, type[Spec]] = {
    base.kind: base
    for base in (
        DataSource, Cleaner, Split, Rows, Preprocessor, Encoder, Correlation, TaskHead, Balancer,
        RankingMetric, PredictionMetric, Baseline, Exporter, Callback,
    )
}  # fmt: skip
