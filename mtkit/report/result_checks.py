"""Checks of what a run is worth: beside baselines, by users, seeds and slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mtkit.evaluation.constants import below_chance
from mtkit.report.findings import Found, finds
from mtkit.report.kept import KeptRun
from mtkit.report.markup import slug
from mtkit.report.numbers import bounds, figure, signed_percent, value_of
from mtkit.types import MetricKey

#: Slices that are another question, and whose figures are lower by nature.
_OTHER_QUESTIONS = ("new", "list", "candidates")
_TREES = "gradient_boosting"
#: Users for a test, rows for a slice.
_USERS, _SLICE = 30, 50


@finds("R001")
def worse_than_a_constant(run: KeptRun) -> Iterator[Found]:
    """By the metrics that have a chance, or a constant."""
    constants = (run.metrics.get("constants") or {}).get("test") or {}
    model, chance = ({key: value_of(value) for key, value in of.items()} for of in (run.test, constants))
    for line in below_chance(run.recipe.plan, run.recipe.evaluate, model, chance):
        head, _, rest = line.partition(": ")
        yield Found(head.removeprefix("task "), rest.partition("; try")[0], "good")


def _by_verdict(run: KeptRun, word: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for line in run.verdicts:
        if line["verdict"] == word:
            yield line["task"], line


@finds("R002")
def worse_than_a_baseline(run: KeptRun) -> Iterator[Found]:
    """By the verdicts of the run."""
    for task, line in _by_verdict(run, "worse"):
        beside = f"{figure(line['model'])}, {line['baseline']} {figure(line['value'])}"
        yield Found(task, f"{line['metric']} {beside} ({signed_percent(line['relative'])})", "good")


@finds("R003")
def not_told_apart(run: KeptRun) -> Iterator[Found]:
    """By the verdicts of the run."""
    for task, line in _by_verdict(run, "not told apart"):
        seen = f"would be seen from {figure(line['detectable'])} on"
        beside = f"{figure(line['model'])}, {line['baseline']} {figure(line['value'])}"
        yield Found(task, f"{line['metric']} {beside}; {seen}", "good")


@finds("R004")
def worse_than_trees(run: KeptRun) -> Iterator[Found]:
    """By intervals, on the figures that judge a task."""
    for line in run.verdicts:
        key = f"{line['task']}/{line['metric']}"
        other = value_of(run.baselines.get(_TREES, {}).get(key))
        if other is not None and _below(run, key, _TREES):
            yield Found(line["task"], f"{line['metric']} {figure(line['model'])}, {_TREES} {figure(other)}", "good")


def _below(run: KeptRun, key: str, baseline: str) -> bool:
    """Whether the model is worse than a baseline and the intervals do not overlap."""
    own, other = run.interval(key), run.interval(key, baseline)
    if own is None or other is None:
        return False
    return own[0] > other[1] if run.recipe.lower_is_better(key) else own[1] < other[0]


@finds("R005")
def no_baseline(run: KeptRun) -> Iterator[Found]:
    """By the verdicts of the run."""
    for task, line in _by_verdict(run, "no baseline"):
        yield Found(task, f"{line['metric']} {figure(line['model'])}", "good")


@finds("R006")
def few_users(run: KeptRun) -> Iterator[Found]:
    """Of the figures that judge a task; users where there are sums by user, else rows."""
    users = run.users
    for task in dict.fromkeys(line["task"] for line in run.verdicts):
        count, what = (users[task], "users") if task in users else (run.rows(task), "rows")
        if count is not None and count < _USERS:
            yield Found(task, f"{count:,} {what}", "good")


@finds("R007")
def wide_interval(run: KeptRun) -> Iterator[Found]:
    """Of the figures that judge a task."""
    for line in run.verdicts:
        pair, value = run.interval(f"{line['task']}/{line['metric']}"), value_of(line["model"])
        if pair is not None and value and max(value - pair[0], pair[1] - value) > abs(value) / 3:
            yield Found(line["task"], f"{line['metric']} {figure(value)}, {bounds(pair)}", "good")


@finds("R008")
def validation_promised_more(run: KeptRun) -> Iterator[Found]:
    """Of the figures that judge a task."""
    for line in run.verdicts:
        key = f"{line['task']}/{line['metric']}"
        before, now, pair = value_of(run.valid.get(key)), value_of(line["model"]), run.interval(key)
        if before is None or now is None or pair is None or not before:
            continue
        lower = run.recipe.lower_is_better(key)
        loss = (now - before if lower else before - now) / abs(before)
        if loss > 0.25 and not pair[0] <= before <= pair[1]:
            yield Found(
                line["task"], f"{line['metric']} {figure(before)} on validation, {figure(now)} on the test", "good"
            )


@finds("R009")
def seeds_disagree(run: KeptRun) -> Iterator[Found]:
    """Of the figures that judge a task, in several runs."""
    for line in run.verdicts:
        key = f"{line['task']}/{line['metric']}"
        values = run.seeds(key)
        if len(values) < 2:
            continue
        spread, mean = float(np.std(values, ddof=1)), float(np.mean(values))
        other = value_of(line["value"])
        wins = {value > other for value in values} if other is not None else set()
        if spread > 0.05 * abs(mean) or (len(wins) == 2 and spread > 0.01 * abs(mean)):
            yield Found(line["task"], f"{line['metric']} from {figure(min(values))} to {figure(max(values))}", "good")


@finds("R010")
def too_good(run: KeptRun) -> Iterator[Found]:
    """Of orders and accuracies of predictions."""
    for key, value in run.test.items():
        parsed, found = MetricKey.parse(key), value_of(value)
        names = parsed.task in run.recipe.plan.predictions() and not parsed.slice
        enough = (run.rows(parsed.task) or 0) >= _SLICE
        if names and enough and parsed.metric in ("auc", "accuracy", "pr_auc") and found is not None and found >= 0.995:
            yield Found(parsed.task, f"{parsed.label} {figure(found)}", slug("weak", parsed.task))


@finds("R029")
def slice_fails(run: KeptRun) -> Iterator[Found]:
    """Of the figures that judge a task, in slices of its rows or items."""
    for key, parsed, whole in _sliced(run):
        value, pair, around = value_of(run.test[key]), run.interval(key), run.interval(str(parsed._replace(slice="")))
        count = run.rows(parsed.group) or 0
        if value is None or pair is None or around is None or count < _SLICE:
            continue
        lower = run.recipe.lower_is_better(key)
        apart = pair[0] > around[1] if lower else pair[1] < around[0]
        chance = _chance(run, parsed)
        fails = value > 2 * whole if lower else value - chance < (whole - chance) / 2
        if apart and fails:
            detail = f"{parsed.label} {figure(value)} on {count:,} rows, {figure(whole)} on the whole"
            yield Found(f"{parsed.task}, {parsed.slice}", detail, slug("weak", parsed.task))


def _sliced(run: KeptRun) -> Iterator[tuple[str, MetricKey, float]]:
    """Keys of slices by the figures that judge their task, with the value of the whole."""
    judged = {f"{line['task']}/{line['metric']}" for line in run.verdicts}
    for key in run.test:
        parsed = MetricKey.parse(key)
        of_whole = str(parsed._replace(slice=""))
        whole = value_of(run.test.get(of_whole))
        if parsed.slice and parsed.slice not in _OTHER_QUESTIONS and of_whole in judged and whole is not None:
            yield key, parsed, whole


def _chance(run: KeptRun, key: MetricKey) -> float:
    """What an order by chance has; 0 where a metric has no such value."""
    metric = run.recipe.evaluate.prediction_metrics.get(key.metric)
    ranks = key.task not in run.recipe.plan.predictions()
    return 0.0 if ranks or metric is None or metric.chance is None else metric.chance


@finds("R030")
def baseline_better_in_a_slice(run: KeptRun) -> Iterator[Found]:
    """Of the figures that judge a task, where the whole is not worse."""
    worse = {line["task"] for line in run.verdicts if line["verdict"] == "worse"}
    for key, parsed, _ in _sliced(run):
        if parsed.task in worse or (run.rows(parsed.group) or 0) < _SLICE:
            continue
        for name, values in run.baselines.items():
            if key in values and _below(run, key, name):
                beside = f"{parsed.label} {figure(run.test[key])}, {name} {figure(values[key])}"
                yield Found(f"{parsed.task}, {parsed.slice}", beside, slug("weak", parsed.task))
                break


@finds("R028")
def unknown_rows_are_off(run: KeptRun) -> Iterator[Found]:
    """By what the run says of rows of unknown users and items."""
    from mtkit.evaluation.unknown_rows import UnknownRows

    for task, groups in ((run.metrics.get("unknown") or {}).get("test") or {}).items():
        for group, figures in groups.items():
            of = UnknownRows(**figures)
            if group != "known" and of.off:
                detail = f"says {figure(of.mean_prediction)}, rate {figure(of.rate)}, {of.rows:,} rows"
                yield Found(f"{task}, {group.replace('_', ' ')}", detail, "weak")


@finds("R040")
def undefined(run: KeptRun) -> Iterator[Found]:
    """Figures of the whole."""
    for key, value in run.test.items():
        parsed = MetricKey.parse(key)
        if value_of(value) is None and not parsed.slice:
            yield Found(parsed.task, f"{parsed.label}, on {run.rows(parsed.task) or 0:,} rows", "good")
