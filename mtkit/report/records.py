"""What the files of `evidence/`, and a task report, hold, as far as a report reads them; all else is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import TypedDict


class Leak(TypedDict):
    """What training could know, as of `mtkit.data.leakage.Finding`."""

    level: str
    where: str
    what: str
    advice: str


class Suspicion(TypedDict):
    """What a check of data found, as of `mtkit.profile.findings.Finding`."""

    code: str
    severity: str
    title: str
    where: str
    count: int
    of: int
    unit: str
    detail: str


class TimeLine(TypedDict):
    """As of `mtkit.evaluation.evidence.time_line`."""

    edges: Sequence[float]
    counts: dict[str, Sequence[float]]


class DataEvidence(TypedDict, total=False):
    """`data.json`."""

    leaks: Sequence[Leak]
    findings: Sequence[Suspicion]
    time_line: TimeLine | None


class Predicted(TypedDict):
    """As of `mtkit.evaluation.evidence.TaskEvidence`."""

    form: str
    rows: int
    kept: int
    classes: Sequence[str]


class Items(TypedDict):
    """The catalog that is ranked."""

    entity: str
    catalog: int
    popular: list[int]


class ModelEvidence(TypedDict, total=False):
    """`test.json`."""

    predictions: dict[str, Predicted]
    labels: dict[str, dict[str, dict[str, float]]]
    columns: dict[str, dict[str, float]]
    items: Items | None
    parameters: dict[str, int]
    weights: dict[str, float] | None


class TaskVerdict(TypedDict):
    """As of `mtkit.evaluation.task_relations.Verdict`."""

    task: str
    verdict: str
    told: str
    evidence: Sequence[str]


class Affinity(TypedDict):
    """What tasks do for one another."""

    matrix: Sequence[Sequence[float | None]]


class _Judged(TypedDict):
    tasks: Sequence[str]
    verdicts: Sequence[TaskVerdict]
    affinity: Affinity


class TaskRecord(_Judged, total=False):
    """`tasks.json`."""

    gradients: Sequence[dict[str, Any]]
    gates: dict[str, dict[str, Any]]


#: Columns of kept predictions, of which the last two are there for classes alone; of lists; and of vectors.
PREDICTIONS, OF_CLASSES = ("label", "weight", "prediction"), ("confidence", "true")
LISTS = ("user", "past", "past_size", "targets", "items", "hits", "relevant")
VECTORS = ("item", "vector")
