"""The model of a run: assembled on a cut, trained, evaluated, exported; and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pluggy
import pyarrow as pa

from mtkit.backend import keras, tf
from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.data.fingerprint import checksums, fingerprint
from mtkit.data.kept_weights import Beginning, Origin
from mtkit.errors import Problem, RecipeError, RunError
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.unknown_rows import unknown_results, warnings_of
from mtkit.evaluation.user_sums import Measured
from mtkit.files import cache_directory
from mtkit.heads.retrieval import RetrievalHead
from mtkit.model.assembly import Pipeline, assemble
from mtkit.model.auxiliary import weight_of
from mtkit.model.component_probe import check_components
from mtkit.model.model_evaluation import evaluate, item_vectors
from mtkit.model.named_weights import kept_weights, named_weights, part_of
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.recipe.lock import model_tables
from mtkit.recipe.toml_positions import split_key
from mtkit.runs.calibrating import calibration_results, take_calibration
from mtkit.runs.console import Reporter
from mtkit.runs.continuing import check_beginning, earlier_of, measure_before, read_before
from mtkit.runs.directory import INIT_FROM, RunDirectory, write_json, write_table
from mtkit.runs.evidence import Said
from mtkit.runs.hooks import forgiving
from mtkit.runs.origins import checksum, origin_of
from mtkit.runs.procedure import Clock, Contest, Run
from mtkit.runtime.collectives import least
from mtkit.runtime.strategies import prepare
from mtkit.runtime.unused_gpu import unseen_gpu
from mtkit.runtime.workers import together, worker_number
from mtkit.serving.list_evaluation import evaluate_lists
from mtkit.spec import Cut
from mtkit.training.checkpoints import writing_tensors
from mtkit.training.fit import Training
from mtkit.training.interrupt import Signals
from mtkit.training.recipe_callbacks import recipe_callbacks
from mtkit.training.schedule import Rules, Schedule
from mtkit.training.warm_start import begin_with
from mtkit.types import Dataset, RowTable


def own_directory(recipe: Recipe, directory: Path) -> Path:
    """The run directory of this process: of several workers, all but the first keep theirs beside it."""
    worker = worker_number(recipe.train.strategy)
    return directory.with_name(f"{directory.name}-worker-{worker}") if worker else directory


@dataclass
class Trainer:
    """Trains the model of a run.

    Attributes:
        strategy: where the model's variables live.
        gpu_warning: what to say of a GPU that is not used; empty if there is none.
        hooks: calls the hooks that the recipe names.
        signals: where a wish to stop comes from.
        cache_dir: where frozen encoders keep their vectors.
        watching: makes more Keras callbacks of a training in a directory.
    """

    strategy: tf.distribute.Strategy
    gpu_warning: str
    hooks: pluggy.HookRelay
    signals: Signals
    cache_dir: Path
    watching: Callable[[Training, RunDirectory], Sequence[Any]] = lambda _training, _directory: ()
    resumable = True

    @classmethod
    def of(cls, recipe: Recipe, hooks: pluggy.HookRelay, signals: Signals) -> Trainer:
        """A trainer for a recipe; sets TensorFlow up for it."""
        return cls(prepare(recipe), unseen_gpu(recipe.train.strategy), hooks, signals, cache_directory())

    def warn(self, report: Reporter) -> None:
        """Says what is not as it should be, and does no harm."""
        if self.gpu_warning:
            report.warn(self.gpu_warning)

    def together(self) -> AbstractContextManager[None]:
        """While workers compute together, the end of one of them is one message in the others."""
        return together(self.strategy)

    def agreed(self, done: bool) -> bool:
        """Whether all processes of the strategy have done something."""
        return bool(least(int(done), self.strategy))

    def checksums(self, run: Run, cuts: Sequence[Cut]) -> Mapping[str, str]:
        """Of the files of the run with whose weights training begins."""
        found = [origin_of(run.recipe, run.dataset, cut) for cut in cuts]
        origins = [origin for origin in found if origin is not None]
        return {INIT_FROM: checksum(origins)} if origins else {}

    def measured(self, run: Run, cut: Cut, timing: Clock) -> Contest:
        """What the model reaches on a cut, after it was trained; exports when it is finished."""
        pipeline = self._build(run, cut)
        timing.lap("build")
        training = self._fit(run, pipeline, cut)
        timing.lap("fit")
        take_calibration(run.directory, pipeline)
        if cut.name == "test" and not run.directory.exported():
            run.recipe.export.prepare()
        protocol, answers = pipeline.protocol(), dict[str, np.ndarray]()
        model = evaluate(pipeline, protocol, answers=answers, watch=run.report.working)
        with run.report.working("evaluation, lists"):
            model |= evaluate_lists(pipeline, protocol)
        timing.lap("evaluate")
        with run.report.working("calibration"):
            calibration = calibration_results(run, pipeline, answers)
        unknown = unknown_results(pipeline.plan, pipeline.tables, pipeline.fold, answers)
        for message in warnings_of(unknown):
            run.warn(message)
        timing.lap("calibrate")
        if cut.name == "test":
            said(pipeline, protocol, model, answers).write(run.directory)
            timing.lap("evidence")
        init = run.directory.read_init(cut.trained)
        return Contest(
            pipeline.fold,
            pipeline.tables,
            protocol,
            model,
            model.beside,
            lambda: self._export(run, pipeline),
            _began(run.directory, init, cut),
            calibration or None,
            training.course.schedule(training.epoch).told(training.passes()) | _beside_tasks(pipeline),
            unknown or None,
        )

    def _build(self, run: Run, cut: Cut) -> Pipeline:
        keras.backend.clear_session()
        counters: dict[str, int] = {}
        pipeline = assemble(
            run.recipe,
            run.dataset,
            cut,
            strategy=self.strategy,
            cache_dir=self.cache_dir,
            counters=counters,
            numbered=run.directory.read_numbers(cut.trained),
            earlier=earlier_of(run.recipe, run.dataset, cut, run.directory),
            watch=run.report.working,
        )
        check_components(pipeline)
        run.directory.count(counters)
        run.write_rows(pipeline.fold, pipeline.tables)
        _write_drawn(run.directory, pipeline)
        _write_state(run.directory, pipeline)
        return pipeline

    def _fit(self, run: Run, pipeline: Pipeline, cut: Cut) -> Training:
        if cut.name == "test" and run.recipe.train.replay is not None:
            self._measure_before(run, pipeline, cut)
        training = _training(pipeline, run.directory, cut, run.warn)
        if training.restore() == 0 and (origin := origin_of(run.recipe, run.dataset, cut)):
            self._begin(run, pipeline, origin)
        if training.step < training.steps:
            self._train(run, training)
        if cut.trained == cut.name:
            _write_weights(run, training, cut)
        if cut.name == "valid":
            run.directory.write_scores(training.course.schedule(training.epoch).plain())
        return training

    def _measure_before(self, run: Run, pipeline: Pipeline, cut: Cut) -> None:
        if run.directory.before.is_file():
            return
        origin = origin_of(run.recipe, run.dataset, cut)
        assert origin is not None, "settings refuse a replay without a run to go on with"
        with run.report.working("evaluation of the earlier run"):
            measure_before(run.directory, pipeline, origin)

    def _begin(self, run: Run, pipeline: Pipeline, origin: Origin) -> None:
        beginning = begin_with(pipeline, origin)
        if run.recipe.train.replay is not None:
            check_beginning(run.recipe, origin, beginning)
            beginning = replace(beginning, sizes=pipeline.fold.earlier)
        write_json(run.directory.init / f"{pipeline.fold.trained}.json", beginning.plain())
        run.report.begins(origin.directory, beginning.lines())
        for message in beginning.warnings():
            run.warn(message)

    def _train(self, run: Run, training: Training) -> None:
        name = training.pipeline.fold.name
        run.report.training(training.passes(), training.validation.sizes() if training.validation else {})
        for message in training.too_few():
            run.warn(message)

        def done(numbers: Mapping[str, float]) -> None:
            run.directory.append_history({"phase": name, **numbers})
            told = {"phase": name, "epoch": int(numbers["epoch"]), "metrics": numbers, "directory": run.directory.path}
            forgiving(self.hooks.epoch_end, run.warn, **told)

        with run.report.progress(name, training, done) as callbacks:
            own = recipe_callbacks(training.pipeline, run.directory.path, run.warn)
            training.fit([*callbacks, *own, *self.watching(training, run.directory)], self.signals)

    def _export(self, run: Run, pipeline: Pipeline) -> None:
        # Saving sums up what replicas count, so either all workers export or none does.
        if self.agreed(run.directory.exported()):
            return  # by a run that was stopped after it
        with writing_tensors(run.directory.export), run.report.working("export"):
            path = run.recipe.export.export(pipeline, run.directory.export)
        run.report.exported(path)
        self.agreed(False)  # a worker that ends takes the others down


def _began(directory: RunDirectory, init: Beginning | None, cut: Cut) -> Mapping[str, Any] | None:
    """What a phase has to say of what its model began with, and of the test what that reached before."""
    if init is None:
        return None
    before = read_before(directory) if cut.name == "test" else {}
    return {**init.plain(), **({"before": before} if before else {})}


def said(pipeline: Pipeline, protocol: RankingProtocol, measured: Measured, answers: Mapping[str, np.ndarray]) -> Said:
    """What a trained model says of its evaluation rows, and what it has learned."""
    ranks = [task for task in measured.lists if isinstance(pipeline.model.heads[task], RetrievalHead)]
    sizes: dict[str, int] = {}
    for name, weight in named_weights(pipeline.model).items():
        sizes[part_of(name)] = sizes.get(part_of(name), 0) + int(np.prod(weight.shape))
    return Said(
        pipeline.plan, pipeline.fold, pipeline.tables, protocol, measured, answers,
        vectors={task: item_vectors(pipeline, task) for task in ranks[:1]}, parameters=sizes,
        weights=_task_weights(pipeline),
    )  # fmt: skip


def _task_weights(pipeline: Pipeline) -> dict[str, float] | None:
    told = getattr(pipeline.model.balancer, "task_weights", None)
    if told is None:
        return None
    balanced = told()
    return {task: spec.weight * float(balanced[task]) for task, spec in pipeline.plan.tasks.items() if task in balanced}


def _beside_tasks(pipeline: Pipeline) -> dict[str, Any]:
    """The losses beside those of the tasks, as they were in the last epoch, and their weights."""
    found = {
        name: {"weight": weight_of(pipeline.plan, name), "loss": float(tracker.result())}
        for name, tracker in pipeline.model.trackers.items()
        if name not in pipeline.plan.tasks
    }
    return {"auxiliary": found} if found else {}


def _training(pipeline: Pipeline, directory: RunDirectory, cut: Cut, warn: Callable[[str], None]) -> Training:
    """The training of a cut's model: the validation phase decides how long, what trains for the test repeats it."""
    rules, repeats = Rules.of(pipeline.recipe), None
    validates = cut.trained == "valid" and pipeline.recipe.train.validation_rows > 0
    if cut.trained == "test" and rules.look:
        tables = {name: spec.rows for name, spec in pipeline.plan.tasks.items()}
        repeats = Schedule(rules, tables, directory.read_scores(), repeated=True)
    path = directory.checkpoints / pipeline.fold.trained
    return Training(pipeline, path, warn, validates=validates, repeats=repeats)


def _write_drawn(directory: RunDirectory, pipeline: Pipeline) -> None:
    """Sampled rows: what was drawn is part of the result."""
    for name, parts in pipeline.tables.items():
        if pipeline.recipe.rows[name].drawn:
            for part, table in parts.items():
                _write_rows(pipeline, directory.rows / f"{pipeline.fold.name}-{name}-{part}.parquet", table)


def _write_rows(pipeline: Pipeline, path: Path, table: RowTable) -> None:
    columns = {role: pipeline.fold.catalog(role).ids[rows].tolist() for role, rows in table.ids.items()}
    write_table(path, pa.table(columns | {"time": table.time, **table.labels}))


def _write_state(directory: RunDirectory, pipeline: Pipeline) -> None:
    """Vocabularies: what preprocessors learned, and the catalogs, row i = id i."""
    write_json(directory.features / f"{pipeline.fold.name}.json", {"features": pipeline.features.states})
    for entity in pipeline.fold.entities.values():
        columns = {"id": entity.ids[: entity.known].tolist()}
        columns |= {c: entity.columns[c].slice(0, entity.known) for c in entity.columns.column_names}
        write_table(directory.catalog(pipeline.fold.name, entity.name), pa.table(columns))


def _write_weights(run: Run, training: Training, cut: Cut) -> None:
    """Notes what the weights are of, for runs that begin with them."""
    init, tables = run.directory.read_init(cut.name), model_tables(run.recipe, run.directory.path)
    kept = kept_weights(training.pipeline, training.steps, cut, tables, init.timeless if init else ())
    write_json(run.directory.kept_weights(cut.name), asdict(kept))


def measured_beside(recipe: Recipe, dataset: Dataset, cut: Cut, protocol: RankingProtocol) -> Mapping[str, Measured]:
    """Baselines that heads measure in the pass that measures their model, which is not trained here."""
    pipeline = assemble(recipe, dataset, cut, strategy=tf.distribute.get_strategy())
    return evaluate(pipeline, protocol).beside


def _exported_as(directory: RunDirectory, sets: Sequence[str], unsets: Sequence[str]) -> Recipe:
    for option, texts in (("--set", sets), ("--unset", unsets)):
        for text in texts:
            split = split_key(text)
            if not split or split[0][0] != "export":
                what = "expected a key of the export, as in export.unseen=false; what was trained stays as it is"
                raise RecipeError([Problem(option, text, what)])
    return load_recipe(directory.lock, sets, unsets)


def trained_pipeline(directory: RunDirectory, sets: Sequence[str] = (), unsets: Sequence[str] = ()) -> Pipeline:
    """The pipeline of a run's test, as it was after its last epoch.

    Args:
        directory: of the run.
        sets: `export.KEY=VALUE`, where the export is to be another one; nothing else can be, for that is what was trained.
        unsets: `export`, or keys of it.

    Raises:
        RecipeError: something else is to be changed, or the recipe is not right with the changes.
        RunError: there is no such run, it was not trained to the end, a file of it is damaged, or its data have changed.
    """
    directory.check_run()
    recipe = directory.read_recipe()
    if sets or unsets:
        recipe = _exported_as(directory, sets, unsets)
    with recipe.blaming():
        return _trained(recipe, directory)


def _trained(recipe: Recipe, directory: RunDirectory) -> Pipeline:
    dataset = load(recipe.data.source)
    directory.check_data(fingerprint(dataset), checksums(recipe.encoder, recipe.correlation))
    _, test = make_cuts(dataset, recipe.data.split)
    numbered, earlier = directory.read_numbers(test.trained), earlier_of(recipe, dataset, test, directory)
    pipeline = assemble(recipe, dataset, test, strategy=prepare(recipe), numbered=numbered, earlier=earlier)
    damages: list[str] = []
    training = _training(pipeline, directory, test, damages.append)
    if training.restore() < training.steps:
        found = f"{directory.path}: trained for {training.step} of {training.steps} steps"
        raise RunError("; ".join((*damages, found, directory.again("test"))))
    take_calibration(directory, pipeline)
    return pipeline
