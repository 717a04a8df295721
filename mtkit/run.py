"""A run: tune on validation, refit on everything before the test, test once, export."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mtkit.backend import keras, tf
from mtkit.build import Pipeline, build_pipeline
from mtkit.compare import judge, tune
from mtkit.data.columns import seconds
from mtkit.evaluate import RankingProtocol, evaluate
from mtkit.errors import RunError
from mtkit.lock import lock
from mtkit.recipe import Recipe, load_recipe
from mtkit.registry import Registry
from mtkit.report import Reporter
from mtkit.rundir import RunDirectory, fingerprint, write_json, write_table
from mtkit.spec import Baseline, Cut
from mtkit.train import Training
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
        counters: counts such as `texts_encoded`.
        timing: phase -> seconds.
    """

    recipe: Recipe
    dataset: Dataset
    directory: RunDirectory
    report: Reporter
    strategy: tf.distribute.Strategy
    cache_dir: Path
    counters: dict[str, int] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)

    def execute(self, resume: bool = False) -> dict[str, Any]:
        """Runs what is not done yet, and returns what `metrics.json` holds.

        Raises:
            RunError: the directory cannot be used as asked.
        """
        begin = time.perf_counter()
        self.directory.begin(lock(self.recipe), fingerprint(self.dataset), resume)
        valid, test = self.recipe.data.split.cuts(seconds(self.dataset.interactions[self.dataset.schema.time]))
        tuned = self._phase(valid, self.recipe.evaluate.baselines)
        baselines = {name: type(spec).model_validate(tuned["tuned"][name]) for name, spec in self.recipe.evaluate.baselines.items()}
        final = self._phase(test, baselines)
        self.timing["total_seconds"] = time.perf_counter() - begin
        results = {
            "test": final["model"],
            "baselines": final["baselines"],
            "valid": {"model": tuned["model"], "baselines": tuned["baselines"], "tuned": tuned["tuned"]},
            "timing": {**tuned["timing"], **final["timing"], **self.timing, **self.counters},
        }
        write_json(self.directory.metrics, results)
        return results

    def _phase(self, cut: Cut, baselines: Mapping[str, Baseline]) -> dict[str, Any]:
        """Trains and evaluates on one cut, unless that was done before; exports after the test."""
        if (done := self.directory.read_phase(cut.name)) is not None:
            return done
        timing = _Clock(cut.name)
        self.report.phase(cut)
        keras.backend.clear_session()
        pipeline = build_pipeline(self.recipe, self.dataset, cut, self.strategy, self.cache_dir, self.counters)
        self._write_rows(pipeline)
        self._write_state(pipeline)
        timing.lap("build")
        self._fit(pipeline)
        timing.lap("fit")
        protocol = RankingProtocol.of(self.recipe.evaluate)
        results = {"model": evaluate(pipeline, protocol, self.recipe.evaluate.prediction_metrics)}
        timing.lap("evaluate")
        if cut.name == "valid":
            baselines = self._tuned(pipeline, baselines, protocol)
        results["tuned"] = {name: spec.model_dump(mode="json") for name, spec in baselines.items()}
        results["baselines"] = judge(
            baselines, pipeline.plan, pipeline.fold, pipeline.tables, protocol, self.recipe.evaluate.prediction_metrics
        )
        timing.lap("baselines")
        if cut.name == "test" and self.recipe.export is not None:
            self.report.exported(self.recipe.export.export(pipeline, self.directory.export))
            timing.lap("export")
        results["timing"] = timing.laps
        self.directory.write_phase(cut.name, results)
        return results

    def _fit(self, pipeline: Pipeline) -> None:
        training = Training(pipeline, self.directory.checkpoints / pipeline.fold.name)
        training.restore()
        name = pipeline.fold.name

        def log(numbers: Mapping[str, float]) -> None:
            self.directory.append_history({"phase": name, **numbers})

        training.fit(self.report.callbacks(name, training, log))

    def _tuned(self, pipeline: Pipeline, baselines: Mapping[str, Baseline], protocol: RankingProtocol) -> dict[str, Baseline]:
        task = self.recipe.evaluate.main_task
        table = pipeline.tables[pipeline.plan.rows_of(task)]["eval"]
        return tune(baselines, task, pipeline.fold, table, protocol, self.recipe.evaluate.main)

    def _write_rows(self, pipeline: Pipeline) -> None:
        """Notes on every row table's population, and sampled rows themselves: what was drawn is part of the result."""
        notes = {}
        for name, parts in pipeline.tables.items():
            notes[name] = {part: {"rows": len(table), "population": table.note} for part, table in parts.items()}
            if self.recipe.rows[name].drawn:
                for part, table in parts.items():
                    self._write_table(pipeline, f"{pipeline.fold.name}-{name}-{part}", table)
        dropped = dict(pipeline.fold.dropped)
        write_json(self.directory.rows / f"{pipeline.fold.name}.json", {"tables": notes, "dropped_interactions": dropped})
        self.report.rows(notes, dropped)

    def _write_table(self, pipeline: Pipeline, name: str, table: RowTable) -> None:
        columns = {entity: pipeline.fold.entities[entity].ids[rows].tolist() for entity, rows in table.ids.items()}
        write_table(self.directory.rows / f"{name}.parquet", pa.table(columns | {"time": table.time, **table.labels}))

    def _write_state(self, pipeline: Pipeline) -> None:
        """Vocabularies: what preprocessors learned, and the catalogs, row i = id i."""
        write_json(self.directory.features / f"{pipeline.fold.name}.json", {"features": pipeline.features.states})
        for name, entity in pipeline.fold.entities.items():
            table = entity.columns.append_column("id", pa.array(entity.ids.tolist()))
            write_table(self.directory.entities / f"{pipeline.fold.name}-{name}.parquet", table)


def run_recipe(recipe: Recipe, directory: Path, seeds: int = 1, resume: bool = False) -> dict[str, Any]:
    """Runs a recipe, once or with several seeds from its own on, and prints the results.

    Args:
        recipe: the resolved recipe.
        directory: the run directory; with several seeds each has its own, `seed-N`, below it.
        seeds: how many.
        resume: whether to continue what is there.

    Returns:
        What `metrics.json` holds; with several seeds every value is `{"mean", "std", "values"}`.
    """
    report = Reporter()
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = make_strategy(recipe)
    report.start(recipe, strategy, directory)
    dataset = recipe.data.source.load()

    def one(seed: int, target: Path) -> dict[str, Any]:
        seeded = recipe.model_copy(update={"seed": seed})
        return Run(seeded, dataset, RunDirectory(target), report, strategy, cache_directory()).execute(resume)

    if seeds == 1:
        results = one(recipe.seed, directory)
    else:
        several = [one(seed, directory / f"seed-{seed}") for seed in range(recipe.seed, recipe.seed + seeds)]
        results = {part: _spread([result[part] for result in several]) for part in ("test", "baselines", "timing")}
        write_json(directory / "metrics.json", results)
    report.results(results, directory)
    return results


def make_strategy(recipe: Recipe) -> tf.distribute.Strategy:
    """The strategy that the recipe names."""
    return Registry.installed().entry("strategy", recipe.train.strategy).load()()


def trained_pipeline(directory: RunDirectory) -> Pipeline:
    """The pipeline of a run's test, as it was after its last epoch.

    Raises:
        RunError: there is no such run, it was not trained to the end, or its data have changed.
    """
    if not directory.lock.exists():
        raise RunError(f"{directory.path}: no run here: there is no {directory.lock.name}")
    recipe = load_recipe(directory.lock)
    dataset = recipe.data.source.load()
    directory.check_data(fingerprint(dataset))
    _, test = recipe.data.split.cuts(seconds(dataset.interactions[dataset.schema.time]))
    pipeline = build_pipeline(recipe, dataset, test, make_strategy(recipe), cache_directory(), {})
    epochs = Training(pipeline, directory.checkpoints / test.name).restore()
    if epochs < recipe.train.epochs:
        raise RunError(
            f"{directory.path}: trained for {epochs} of {recipe.train.epochs} epochs; finish it with mtkit run --resume"
        )
    return pipeline


def cache_directory() -> Path:
    """Where results that depend on content alone are kept between runs: `MTKIT_CACHE`, or the user's cache directory."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MTKIT_CACHE") or Path(user) / "mtkit")


def _spread(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Values of several seeds by key, nested as they were: mean, standard deviation (n - 1) and the values."""
    spread: dict[str, Any] = {}
    for key, value in results[0].items():
        values = [result[key] for result in results]
        if isinstance(value, Mapping):
            spread[key] = _spread(values)
        else:
            spread[key] = {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)), "values": values}
    return spread


class _Clock:
    """Seconds between laps, by name."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.laps = prefix, dict[str, float]()
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[f"{self.prefix}_{name}_seconds"] = now - self._last
        self._last = now


