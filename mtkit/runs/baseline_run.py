"""Baselines alone: tuned on validation and judged on the test as beside a model, without one and without TensorFlow.

Those of self-supervised tasks are the exception: their heads measure them in the pass that measures the model.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtkit.data.build_context import cache_directory, class_names, make_context
from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.data.leakage import find_leaks, refuse
from mtkit.data.row_tables import make_tables, populations
from mtkit.errors import MtkitError, RecipeError
from mtkit.evaluation.baseline_tuning import Comparison, as_tuned
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.significance import interval_results
from mtkit.evaluation.slices import check_new
from mtkit.evaluation.user_sums import Measured, named, to_table
from mtkit.recipe.loader import Recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.model_graph import Plan
from mtkit.runs.console import Reporter
from mtkit.runs.directory import RunDirectory, fingerprint, write_json, write_table
from mtkit.runs.replicates import combined, runs_of, split_record
from mtkit.spec import Cut, SelfSupervisedTask
from mtkit.types import Dataset


def run_baselines(recipe: Recipe, directory: Path) -> dict[str, Any]:
    """Runs the baselines of a recipe, on all folds of its split, and prints the results.

    Args:
        recipe: the resolved recipe.
        directory: where results go; of several folds each has its own, `fold-N`, below it.

    Returns:
        What `metrics.json` holds, as of a run, but without a model.

    Raises:
        MtkitError: something that was given is wrong.
    """
    if not recipe.evaluate.baselines and not _self_supervised(recipe):
        message = 'names none, and nothing else is run here; list some, or set baselines = "auto"'
        raise RecipeError([recipe.problem(("evaluate", "baselines"), message)])
    report, target = Reporter(), RunDirectory(directory)
    with target.claimed(resume=False, resumable=False):
        runs = runs_of(recipe, seeds=1)
        report.start(recipe, None, directory, len(runs))
        dataset = load(recipe.data.source)
        findings = find_leaks(recipe, dataset, *make_cuts(dataset, recipe.data.split))
        refuse(findings)
        report.leaks(findings)
        several = []
        for name, one in runs.items():
            report.run(name)
            several.append(_execute(one, dataset, RunDirectory(directory / name), report))
        results = several[0]
        if len(runs) > 1:
            results = combined(several, [RunDirectory(directory / name).read_sums() for name in runs])
            write_json(target.metrics, results)
        report.baselines(results)
    return results


def _execute(recipe: Recipe, dataset: Dataset, directory: RunDirectory, report: Reporter) -> dict[str, Any]:
    begin = time.perf_counter()
    (valid, test), baselines = make_cuts(dataset, recipe.data.split), recipe.evaluate.baselines
    directory.begin(lock(recipe), fingerprint(dataset), resume=False)
    record = split_record(recipe, dataset, valid, test)
    report.protocol(record)
    try:
        comparison = _comparison(recipe, dataset, valid, report)
        on_valid = comparison.results(baselines)
        on_valid["baselines"] |= _beside(recipe, dataset, valid, comparison.protocol)
        comparison = _comparison(recipe, dataset, test, report)
        on_test = comparison.results(baselines, as_tuned(baselines, on_valid["tuned"]))
        on_test["baselines"] |= _beside(recipe, dataset, test, comparison.protocol)
    except MtkitError:
        directory.withdraw()
        raise
    sums = named(on_test["baselines"], comparison.fold.entities)
    write_table(directory.per_user, to_table(sums))
    results = {
        "protocol": record,
        "baselines": on_test["baselines"],
        "counts": {part: rows for measured in on_test["baselines"].values() for part, rows in measured.counts.items()},
        "intervals": interval_results(sums),
        "valid": on_valid,
        "timing": {"total_seconds": time.perf_counter() - begin},
    }
    write_json(directory.metrics, results)
    return results


def _comparison(recipe: Recipe, dataset: Dataset, cut: Cut, report: Reporter) -> Comparison:
    report.phase(cut)
    plan = Plan(recipe.encoder, recipe.correlation, recipe.task)
    fold, tables = make_tables(recipe, plan, dataset, cut)
    check_new(recipe, plan, fold, tables)
    report.rows(populations(tables), fold.dropped)
    context = make_context(recipe, plan, fold, class_names(plan, tables), {}, cache_directory(), {})
    return Comparison(plan, fold, tables, recipe.evaluate, RankingProtocol.of(recipe.evaluate, fold, context))


def _self_supervised(recipe: Recipe) -> dict[str, SelfSupervisedTask]:
    return {name: head for name, head in recipe.task.items() if isinstance(head, SelfSupervisedTask)}


def _beside(recipe: Recipe, dataset: Dataset, cut: Cut, protocol: RankingProtocol) -> Mapping[str, Measured]:
    """The baselines that self-supervised heads measure beside the model, which here is what training begins with."""
    tasks = _self_supervised(recipe)
    if not tasks:
        return {}
    from mtkit.backend import tf
    from mtkit.model.assembly import build_pipeline
    from mtkit.model.model_evaluation import evaluate

    encoders = {name: recipe.encoder[name] for name in dict.fromkeys(head.encoder for head in tasks.values())}
    rows = {name: recipe.rows[name] for name in dict.fromkeys(head.rows for head in tasks.values())}
    alone = recipe.model_copy(update={"task": tasks, "encoder": encoders, "correlation": {}, "rows": rows})
    pipeline = build_pipeline(alone, dataset, cut, tf.distribute.get_strategy(), cache_directory(), {})
    return evaluate(pipeline, protocol).beside
