"""A run: tune on validation, refit on everything before the test, test once, export."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy
import pyarrow as pa

from mtkit.backend import keras, tf
from mtkit.data.build_context import cache_directory
from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.data.leakage import find_leaks, refuse
from mtkit.data.row_tables import populations
from mtkit.errors import MtkitError, RunError
from mtkit.evaluation.baseline_tuning import Comparison, Tuned, as_tuned
from mtkit.evaluation.significance import interval_results
from mtkit.evaluation.user_sums import MODEL, Measured, named, to_table
from mtkit.model.assembly import Pipeline, build_pipeline
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.recipe.lock import lock
from mtkit.runs.console import Reporter
from mtkit.runs.directory import RunDirectory, fingerprint, write_json, write_table
from mtkit.runs.hooks import hook_relay
from mtkit.runs.replicates import combined, runs_of, split_record
from mtkit.runtime.distribute import least
from mtkit.runtime.strategies import prepare, worker_number
from mtkit.runtime.unused_gpu import unseen_gpu
from mtkit.spec import Cut
from mtkit.training.checkpoints import writing_tensors
from mtkit.training.fit import Training
from mtkit.training.interrupt import Signals
from mtkit.types import Dataset, RowTable


@dataclass
class Run:
    """One run of a recipe with one seed in one directory.

    Attributes:
        recipe: the resolved recipe.
        dataset: the raw tables.
        directory: where results go.
        report: what the user sees meanwhile.
        strategy: where the model's variables live.
        cache_dir: where frozen encoders keep their vectors.
        hooks: calls the hooks that the recipe names.
        signals: where a wish to stop comes from.
    """

    recipe: Recipe
    dataset: Dataset
    directory: RunDirectory
    report: Reporter
    strategy: tf.distribute.Strategy
    cache_dir: Path
    hooks: pluggy.HookRelay
    signals: Signals

    def execute(self, resume: bool = False) -> dict[str, Any]:
        """Runs what is not done yet, and returns what `metrics.json` holds.

        Raises:
            RunError: the directory cannot be used as asked, or training failed.
        """
        begin = time.perf_counter()
        valid, test = make_cuts(self.dataset, self.recipe.data.split)
        self.directory.begin(lock(self.recipe), fingerprint(self.dataset), resume)
        protocol = split_record(self.recipe, self.dataset, valid, test)
        self.report.protocol(protocol)
        tuned = self._phase(valid, None)
        final = self._phase(test, as_tuned(self.recipe.evaluate.baselines, tuned["tuned"]))
        total = {"total_seconds": time.perf_counter() - begin}
        results = {
            "protocol": protocol,
            "test": final["model"],
            "baselines": final["baselines"],
            "counts": final["counts"],
            "intervals": final["intervals"],
            "valid": {"model": tuned["model"], "baselines": tuned["baselines"], "tuned": tuned["tuned"]},
            "timing": {**tuned["timing"], **final["timing"], **total, **self.directory.count({})},
        }
        write_json(self.directory.metrics, results)
        return results

    def _phase(self, cut: Cut, tuned: Tuned | None) -> dict[str, Any]:
        """Trains and evaluates on one cut, unless that was done before; exports after the test.

        Baselines that are not tuned yet are tuned here.
        """
        done = self.directory.read_phase(cut.name)
        if least(done is not None, self.strategy) and done is not None:
            return done
        timing = _Clock(cut.name)
        self.report.phase(cut)
        pipeline = self._build(cut)
        timing.lap("build")
        self._fit(pipeline)
        timing.lap("fit")
        settings = self.recipe.evaluate
        protocol = pipeline.protocol()
        model = evaluate(pipeline, protocol)
        timing.lap("evaluate")
        comparison = Comparison(pipeline.plan, pipeline.fold, pipeline.tables, settings, protocol)
        results = {"model": model, **comparison.results(settings.baselines, tuned)}
        results["baselines"] |= model.beside
        timing.lap("baselines")
        if cut.name == "test":
            results |= self._certainty(pipeline, results["model"], results["baselines"])
            timing.lap("intervals")
            self._export(pipeline)
            timing.lap("export")
        results["timing"] = timing.laps
        self.directory.write_phase(cut.name, results)
        return results

    def _certainty(self, pipeline: Pipeline, model: Measured, baselines: Mapping[str, Measured]) -> dict[str, Any]:
        """How many rows there are, and how certain the values are; keeps what each user adds to them."""
        sums = named({MODEL: model, **baselines}, pipeline.fold.entities)
        write_table(self.directory.per_user, to_table(sums))
        return {"counts": model.counts, "intervals": interval_results(sums)}

    def _build(self, cut: Cut) -> Pipeline:
        keras.backend.clear_session()
        counters: dict[str, int] = {}
        try:
            pipeline = build_pipeline(self.recipe, self.dataset, cut, self.strategy, self.cache_dir, counters)
        except MtkitError:
            self.directory.withdraw()
            raise
        self.directory.count(counters)
        self._write_rows(pipeline)
        self._write_state(pipeline)
        return pipeline

    def _fit(self, pipeline: Pipeline) -> None:
        name = pipeline.fold.name
        training = Training(pipeline, self.directory.checkpoints / pipeline.fold.trained, self.report.warn)
        if training.restore() == training.steps:
            return

        def done(numbers: Mapping[str, float]) -> None:
            self.directory.append_history({"phase": name, **numbers})
            self.hooks.epoch_end(phase=name, epoch=int(numbers["epoch"]), metrics=numbers)

        with self.report.progress(name, training, done) as callbacks:
            training.fit(callbacks, self.signals)

    def _export(self, pipeline: Pipeline) -> None:
        # Saving sums up what replicas count, so either all workers export or none does.
        if least(self.directory.exported(), self.strategy):
            return  # by a run that was stopped after it
        with writing_tensors(self.directory.export):
            self.report.exported(self.recipe.export.export(pipeline, self.directory.export))
        least(0, self.strategy)  # a worker that ends takes the others down

    def _write_rows(self, pipeline: Pipeline) -> None:
        """Notes on every row table's population, and sampled rows themselves: what was drawn is part of the result."""
        notes = populations(pipeline.tables)
        for name, parts in pipeline.tables.items():
            if self.recipe.rows[name].drawn:
                for part, table in parts.items():
                    self._write_table(pipeline, f"{pipeline.fold.name}-{name}-{part}", table)
        dropped = dict(pipeline.fold.dropped)
        write_json(
            self.directory.rows / f"{pipeline.fold.name}.json", {"tables": notes, "dropped_interactions": dropped}
        )
        self.report.rows(notes, dropped)

    def _write_table(self, pipeline: Pipeline, name: str, table: RowTable) -> None:
        columns = {entity: pipeline.fold.entities[entity].ids[rows].tolist() for entity, rows in table.ids.items()}
        write_table(self.directory.rows / f"{name}.parquet", pa.table(columns | {"time": table.time, **table.labels}))

    def _write_state(self, pipeline: Pipeline) -> None:
        """Vocabularies: what preprocessors learned, and the catalogs, row i = id i."""
        write_json(self.directory.features / f"{pipeline.fold.name}.json", {"features": pipeline.features.states})
        for name, entity in pipeline.fold.entities.items():
            columns = {"id": entity.ids.tolist()} | {c: entity.columns[c] for c in entity.columns.column_names}
            write_table(self.directory.entities / f"{pipeline.fold.name}-{name}.parquet", pa.table(columns))


def run_recipe(
    recipe: Recipe, directory: Path, seeds: int = 1, resume: bool = False, signals: Signals | None = None
) -> dict[str, Any]:
    """Runs a recipe, once, with several seeds from its own on, or on all folds of its split, and prints the results.

    Args:
        recipe: the resolved recipe.
        directory: the run directory; with several seeds or folds each has its own, `seed-N` or `fold-N`, below it. Of
            several workers, all but the first keep theirs beside it, `NAME-worker-N`.
        seeds: how many.
        resume: whether to continue what is there.
        signals: where a wish to stop comes from.

    Returns:
        What `metrics.json` holds; with several runs every value is `{"mean", "std", "values"}`.

    Raises:
        MtkitError: something that was given is wrong.
        Interrupted: it was asked to stop.
    """
    report = Reporter()
    hooks = hook_relay(recipe)
    if worker := worker_number(recipe.train.strategy):
        directory = directory.with_name(f"{directory.name}-worker-{worker}")
    with RunDirectory(directory).claimed(resume):
        hooks.run_start(recipe=recipe, directory=directory)
        strategy = prepare(recipe)
        if message := unseen_gpu(recipe.train.strategy):
            report.warn(message)
        runs = runs_of(recipe, seeds)
        RunDirectory(directory).check_parts([name for name in runs if name])
        report.start(recipe, strategy, directory, len(runs))
        dataset = load(recipe.data.source)
        findings = find_leaks(recipe, dataset, *make_cuts(dataset, recipe.data.split))
        refuse(findings)
        report.leaks(findings)

        def one(name: str) -> dict[str, Any]:
            report.run(name)
            target = RunDirectory(directory / name)
            run = Run(runs[name], dataset, target, report, strategy, cache_directory(), hooks, signals or Signals())
            return run.execute(resume)

        several = [one(name) for name in runs]
        results = several[0]
        if len(runs) > 1:
            results = combined(several, [RunDirectory(directory / name).read_sums() for name in runs])
            write_json(directory / "metrics.json", results)
        hooks.run_end(directory=directory, metrics=results)
        report.results(results, hooks.report_section(directory=directory, metrics=results))
    return results


def trained_pipeline(directory: RunDirectory) -> Pipeline:
    """The pipeline of a run's test, as it was after its last epoch.

    Raises:
        RunError: there is no such run, it was not trained to the end, or its data have changed.
    """
    if not directory.lock.exists():
        parts = ", ".join(path.name for path in directory.parts())
        hint = f"; it holds several runs: {parts}" if parts else ""
        raise RunError(f"{directory.path}: no run here: there is no {directory.lock.name}{hint}")
    recipe = load_recipe(directory.lock)
    dataset = load(recipe.data.source)
    directory.check_data(fingerprint(dataset))
    _, test = make_cuts(dataset, recipe.data.split)
    pipeline = build_pipeline(recipe, dataset, test, prepare(recipe), cache_directory(), {})
    training = Training(pipeline, directory.checkpoints / pipeline.fold.trained)
    if training.restore() < training.steps:
        raise RunError(
            f"{directory.path}: trained for {training.step} of {training.steps} steps; finish it with mtkit run "
            "--resume"
        )
    return pipeline


class _Clock:
    """Seconds between laps, by name."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.laps = prefix, dict[str, float]()
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[f"{self.prefix}_{name}_seconds"] = now - self._last
        self._last = now
