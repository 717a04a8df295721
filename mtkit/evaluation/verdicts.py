"""At the end of a run: each task beside its best baseline, and whether chance could make the difference; no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from mtkit.evaluation.significance import LEVEL, Difference, holm, paired
from mtkit.evaluation.user_sums import MODEL, Sums
from mtkit.recipe.plan import Plan
from mtkit.recipe.settings import Evaluate
from mtkit.types import MetricKey

Word = Literal["better", "not told apart", "worse", "not tested", "no baseline"]


@dataclass(frozen=True)
class Verdict:
    """One metric of a task on the test, beside the baseline that is best by it on validation.

    Attributes:
        task: the task.
        metric: `[slice/]metric[@k]`.
        model: the model's value.
        baseline: name of the baseline; None where none has the metric on validation.
        value: the baseline's value; of several runs the mean, as the model's.
        difference: the model's value less the baseline's.
        relative: the difference as a share of the baseline's value; None where that is 0.
        interval: bounds of the difference, with 95 %, by drawing users anew; None where it was not tested.
        effect: the difference in standard deviations of the users' differences (Cohen's d_z).
        detectable: the smallest difference that the test finds with a power of 80 %, uncorrected.
        p: of a paired test over users.
        p_holm: as adjusted for all lines of the run.
        verdict: `better` or `worse` where `p_holm` is below 0.05, `not tested` where the metric has no sums by user.
    """

    task: str
    metric: str
    model: float
    baseline: str | None = None
    value: float | None = None
    difference: float | None = None
    relative: float | None = None
    interval: tuple[float, float] | None = None
    effect: float | None = None
    detectable: float | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: Word = "no baseline"


def verdicts(
    plan: Plan,
    settings: Evaluate,
    model: Mapping[str, Any],
    baselines: Mapping[str, Mapping[str, Any]],
    valid: Mapping[str, Mapping[str, Any]],
    sums: Sums,
) -> list[dict[str, Any]]:
    """What stands under `verdicts` in `metrics.json`: a `Verdict` for each task and each metric that judges it.

    Args:
        plan: the tasks.
        settings: the metrics.
        model: metric key -> value on the test, or `{"mean", ...}` of several runs; None is undefined.
        baselines: name -> the same.
        valid: name -> the same on validation, which chooses the baseline.
        sums: what each user adds to the figures of the test.
    """
    found = [
        _line(key, lower, model, baselines, valid, sums)
        for task, head in plan.tasks.items()
        for key in settings.judged(task, head, [key for key, value in model.items() if _defined(value) is not None])
        for lower in [head.lower_is_better(MetricKey.parse(key).metric, settings)]
    ]
    return [asdict(line) for line in _adjusted(found)]


_Line = tuple[Verdict, bool]
"""A verdict without a word, and whether less is better."""


def _line(
    key: str,
    lower: bool,
    model: Mapping[str, Any],
    baselines: Mapping[str, Mapping[str, Any]],
    valid: Mapping[str, Mapping[str, Any]],
    sums: Sums,
) -> _Line:
    group, _, label = key.rpartition("/")
    task, _, part = group.partition("/")
    line = Verdict(task, f"{part}/{label}" if part else label, _defined(model[key]) or 0.0)
    name = _best({name: values.get(key) for name, values in valid.items() if name in baselines}, lower)
    value = _defined(baselines[name].get(key)) if name else None
    if value is None:
        return line, lower
    of_value = (line.model - value) / abs(value) if value else None
    line = replace(
        line, baseline=name, value=value, difference=line.model - value, relative=of_value, verdict="not tested"
    )
    tested = _tested(sums, name, f"{group}/", key)
    if tested is None:
        return line, lower
    measured = {
        name: getattr(tested, name) for name in ("difference", "relative", "interval", "effect", "detectable", "p")
    }
    return replace(line, **measured), lower


def _tested(sums: Sums, baseline: str | None, path: str, key: str) -> Difference | None:
    """The paired test of the model against a baseline; None where they have no sums of the metric over the same users."""
    first, second = (sums.get(name or "", {}).get(path) for name in (baseline, MODEL))
    label = key.removeprefix(path)
    if first is None or second is None or not np.array_equal(first.users, second.users):
        return None
    first, second = (replace(s, totals={k: v for k, v in s.totals.items() if k == label}) for s in (first, second))
    return next(iter(paired(path, first, second)), None)


def _best(values: Mapping[str, Any], lower: bool) -> str | None:
    """The name with the best value; None where none has one."""
    known = {name: number for name, value in values.items() if (number := _defined(value)) is not None}
    return (min if lower else max)(known, key=known.__getitem__, default=None)


def _adjusted(lines: list[_Line]) -> Iterator[Verdict]:
    """The verdicts with p as adjusted for all lines together, and the word for it."""
    adjusted = iter(holm([line.p for line, _ in lines if line.p is not None]))
    for line, lower in lines:
        if line.p is None:
            yield line
            continue
        p, gain = next(adjusted), (line.difference or 0.0) * (-1 if lower else 1)
        told: Word = "better" if gain > 0 else "worse"
        yield replace(line, p_holm=p, verdict=told if p < 1 - LEVEL else "not told apart")


def _defined(value: Any) -> float | None:
    """A figure, or the mean of several runs; None where it is undefined."""
    mean = value["mean"] if isinstance(value, Mapping) else value
    return None if mean is None or math.isnan(mean) else float(mean)
