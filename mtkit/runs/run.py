"""Runs of a recipe: with a model, or its baselines alone; with several seeds, or on all folds of its split.

Both are one procedure, `mtkit.runs.procedure`; what needs TensorFlow is in `mtkit.runs.trainer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mtkit.data.build_context import make_context
from mtkit.data.catalogs import make_cuts
from mtkit.data.cleaners import late
from mtkit.data.columns import load
from mtkit.data.label_counts import check_labels
from mtkit.data.leakage import Finding as Leak
from mtkit.data.leakage import find_leaks, refuse
from mtkit.data.prepared import check_fits, kept_record
from mtkit.data.row_tables import left_out, make_tables, populations
from mtkit.errors import RecipeError
from mtkit.evaluation.baseline_budget import within_budget
from mtkit.evaluation.baseline_tuning import weight_notes
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.slices import check_slices
from mtkit.evaluation.user_sums import Measured
from mtkit.files import cache_directory
from mtkit.profile.findings import Finding
from mtkit.profile.survey import glance
from mtkit.recipe.blame import of_recipe
from mtkit.recipe.loader import Recipe
from mtkit.runs.console import Reporter
from mtkit.runs.costs import costs
from mtkit.runs.directory import RunDirectory, write_json
from mtkit.runs.evidence import LookedOver
from mtkit.runs.hooks import forgiving, hook_relay
from mtkit.runs.procedure import Clock, Contest, Contestant, Run
from mtkit.runs.replicates import combined, runs_of
from mtkit.runs.results import RunResults
from mtkit.spec import Cut
from mtkit.training.interrupt import Signals
from mtkit.types import Dataset

if TYPE_CHECKING:
    from mtkit.runs.trainer import Trainer
    from mtkit.training.step_trace import StepTrace


class Nobody:
    """Baselines alone: no model takes part, and no TensorFlow, but for what self-supervised heads measure beside them."""

    resumable = False

    def agreed(self, done: bool) -> bool:
        """Nothing was done before."""
        return False

    def checksums(self, run: Run, cuts: Sequence[Cut]) -> Mapping[str, str]:
        """Nothing else is read."""
        return {}

    def measured(self, run: Run, cut: Cut, timing: Clock) -> Contest:
        """The rows, and what heads measure beside their model, which here is what training begins with."""
        recipe = run.recipe
        with run.report.working("catalogs and rows"):
            fold, tables = make_tables(recipe, run.dataset, cut)
            check_slices(recipe, fold, tables)
        run.report.rows(populations(tables), left_out(fold, tables))
        context = make_context(recipe, recipe.plan, fold, tables, {}, cache_directory(), {})
        protocol = RankingProtocol.of(recipe.evaluate, fold, context)
        return Contest(fold, tables, protocol, None, self._beside(run, cut, protocol))

    def _beside(self, run: Run, cut: Cut, protocol: RankingProtocol) -> Mapping[str, Measured]:
        alone = _measuring_beside(run.recipe)
        if alone is None:
            return {}
        from mtkit.runs.trainer import measured_beside

        return measured_beside(alone, run.dataset, cut, protocol)


def _measuring_beside(recipe: Recipe) -> Recipe | None:
    """The recipe with those tasks alone that bring baselines of their own, and what they read; None if there are none."""
    plan = recipe.plan
    tasks = plan.with_read([name for name, head in recipe.task.items() if head.brings_baselines])
    if not tasks:
        return None
    embeddings = {name for task in tasks for name in plan.within(task)}
    rows = {table for task in tasks for table in (recipe.task[task].rows, recipe.task[task].evaluated_on)}
    kept = {
        "task": {name: head for name, head in recipe.task.items() if name in tasks},
        "encoder": {name: spec for name, spec in recipe.encoder.items() if name in embeddings},
        "rows": {name: spec for name, spec in recipe.rows.items() if name in rows},
        "correlation": {name: spec for name, spec in recipe.correlation.items() if name in embeddings},
        # What is measured is told by a protocol of the whole recipe.
        "evaluate": recipe.evaluate.model_copy(update={"slices": ()}),
    }
    return recipe.model_copy(update=kept)


@of_recipe
def run_recipe(
    recipe: Recipe,
    directory: Path,
    seeds: int = 1,
    resume: bool = False,
    signals: Signals | None = None,
    report: Reporter | None = None,
    dataset: Dataset | None = None,
    *,
    profile: bool = False,
) -> RunResults:
    """Runs a recipe, once, with several seeds from its own on, or on all folds of its split, and prints the results.

    Args:
        recipe: the resolved recipe.
        directory: the run directory; with several seeds or folds each has its own, `seed-N` or `fold-N`, below it. Of
            several workers, all but the first keep theirs beside it, `NAME-worker-N`.
        seeds: how many.
        resume: whether to continue what is there.
        signals: where a wish to stop comes from.
        report: what the user sees; default: a course in words on standard output.
        dataset: its data, where they have been read; default: they are read.
        profile: whether to trace some training steps, and to tell what phases and components cost, in `costs.json`.

    Returns:
        What `metrics.json` holds; with several runs every value is `{"mean", "std", "values"}`.

    Raises:
        MtkitError: something that was given is wrong.
        Interrupted: it was asked to stop.
    """
    report = report or Reporter()
    from mtkit.runs.trainer import Trainer, own_directory

    hooks, directory = hook_relay(recipe), own_directory(recipe, directory)
    with RunDirectory(directory).claimed(resume):
        hooks.run_start(recipe=recipe, directory=directory)
        trainer = Trainer.of(recipe, hooks, signals or Signals())
        trainer.warn(report)
        runs = runs_of(recipe, seeds)
        RunDirectory(directory).check_replicates([name for name in runs if name])
        report.start(recipe, trainer.strategy, directory, len(runs))
        with trainer.together(), _traced(trainer, RunDirectory(directory)) if profile else nullcontext() as trace:
            results = _each(runs, directory, report, trainer, resume, dataset)
        told = {"directory": directory, "metrics": results.plain()}
        forgiving(hooks.run_end, report.warn, **told)
        report.results(results, forgiving(hooks.report_section, report.warn, **told))
        if trace:
            _tell_costs(results, trace, RunDirectory(directory), report)
    return results


@contextmanager
def _traced(trainer: Trainer, directory: RunDirectory) -> Iterator[StepTrace]:
    """Traces some steps of the first training."""
    from mtkit.training.step_trace import StepTrace

    with StepTrace(directory.trace) as trace:
        trainer.watching = lambda _training, _directory: [trace]
        yield trace


def _tell_costs(results: RunResults, trace: StepTrace, directory: RunDirectory, report: Reporter) -> None:
    record = costs(results, trace.costs)
    write_json(directory.costs, record)
    report.costs(record, directory.trace if trace.costs else None)


@of_recipe
def run_baselines(recipe: Recipe, directory: Path, report: Reporter | None = None) -> RunResults:
    """Runs the baselines of a recipe, on all folds of its split, and prints the results.

    Args:
        recipe: the resolved recipe.
        directory: where results go; of several folds each has its own, `fold-N`, below it.
        report: what the user sees, as of `run_recipe`.

    Returns:
        What `metrics.json` holds, as of a run, but without a model.

    Raises:
        MtkitError: something that was given is wrong.
    """
    if not recipe.evaluate.baselines and _measuring_beside(recipe) is None:
        message = 'names none, and nothing else is run here; list some, or set baselines = "auto"'
        raise RecipeError([recipe.problem(("evaluate", "baselines"), message)])
    report = report or Reporter()
    with RunDirectory(directory).claimed(resume=False, resumable=False):
        runs = runs_of(recipe, seeds=1)
        report.start(recipe, None, directory, len(runs))
        results = _each(runs, directory, report, Nobody(), resume=False)
        report.baselines(results)
    return results


def checked_data(recipe: Recipe, report: Reporter) -> Dataset:
    """The data of a recipe, with what is said of them; refused where training would know what is evaluated."""
    return looked_over(recipe, report).dataset


def looked_over(recipe: Recipe, report: Reporter, dataset: Dataset | None = None) -> LookedOver:
    """As `checked_data`, with what was found, and what that took; of data that have been read, if they are given."""
    clock = Clock("data")
    with report.working("reading the data"):
        dataset = load(recipe.data.source) if dataset is None else dataset
        cuts = make_cuts(dataset, recipe.data.split)
    notes = weight_notes(recipe.plan, recipe.evaluate.baselines, dataset.schema)
    told = dict.fromkeys((*dataset.notes, *late(recipe.clean, cuts[0]), *notes))
    dataset = replace(dataset, notes=tuple(told))
    report.data(dataset.notes)
    findings, suspicious = found_in(recipe, dataset, cuts, report)
    report.leaks(findings)
    report.profile(recipe, suspicious)
    clock.lap("load")
    return LookedOver(dataset, findings, suspicious, clock.laps, clock.peaks)


def found_in(
    recipe: Recipe, dataset: Dataset, cuts: tuple[Cut, Cut], report: Reporter
) -> tuple[list[Leak], list[Finding]]:
    """Leaks, none of which is to be refused, and what is suspicious; of prepared data, what was found when they were prepared.

    Raises:
        DataError: training would know what is evaluated, or data were prepared of another recipe.
    """
    if kept := kept_record(dataset):
        assert dataset.prepared is not None
        check_fits(recipe, dataset.prepared)
        leaks, findings = (kept.found[name] for name in ("leaks", "findings"))
        return [Leak(**one) for one in leaks], [
            Finding(**{**one, "examples": tuple(one["examples"])}) for one in findings
        ]
    with report.working("looking for leaks"):
        leaks = find_leaks(recipe, dataset, *cuts)
    refuse(leaks)
    with report.working("looking at the data"):
        return leaks, list(glance(recipe, dataset, *cuts))


def _each(
    runs: Mapping[str, Recipe],
    directory: Path,
    report: Reporter,
    contestant: Contestant,
    resume: bool,
    dataset: Dataset | None = None,
) -> RunResults:
    """The results of one run, or of several together."""
    recipe = next(iter(runs.values()))
    data = looked_over(recipe, report, dataset)
    _, too_dear = within_budget(recipe, data.dataset)
    for line in too_dear:
        report.note(line)
    data = replace(data, dataset=replace(data.dataset, notes=(*data.dataset.notes, *too_dear)))
    runs = {name: within_budget(one, data.dataset)[0] for name, one in runs.items()}
    recipe = next(iter(runs.values()))
    for one in runs.values() if data.dataset.prepared is None else ():
        check_labels(one, data.dataset, *make_cuts(data.dataset, one.data.split))
    several = []
    for name, one in runs.items():
        report.run(name)
        run = Run(one, data.dataset, RunDirectory(directory / name), report, contestant, looked=data)
        several.append(run.execute(resume))
    if len(several) == 1:
        return several[0]
    results = combined(recipe, several, [RunDirectory(directory / name).read_sums() for name in runs])
    RunDirectory(directory).write_metrics(results)
    return results
