"""One run of a recipe, with a model or with baselines alone: what is measured on validation, and then on the test."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mtkit.data.catalogs import make_cuts
from mtkit.data.fingerprint import checksums, fingerprint
from mtkit.data.free_memory import peak_memory
from mtkit.data.row_tables import Tables, left_out, populations
from mtkit.errors import ModelWarning, MtkitError, shortage
from mtkit.evaluation.baseline_tuning import Comparison, as_tuned, at_edges
from mtkit.evaluation.constants import below_chance, below_popularity, constant_metrics
from mtkit.evaluation.metrics import RankingProtocol
from mtkit.evaluation.significance import interval_results
from mtkit.evaluation.user_sums import MODEL, Measured, Sums, named, to_table
from mtkit.evaluation.verdicts import verdicts
from mtkit.recipe.loader import Recipe
from mtkit.recipe.lock import lock
from mtkit.runs.console import Reporter
from mtkit.runs.directory import RunDirectory, write_json, write_table
from mtkit.runs.evidence import LookedOver
from mtkit.runs.model_card import write_card
from mtkit.runs.replicates import split_record
from mtkit.runs.results import PhaseResults, RunResults
from mtkit.shown import shown_values
from mtkit.spec import Cut
from mtkit.training.interrupt import Interrupted
from mtkit.types import Dataset, Fold


class Clock:
    """Seconds between laps, by name; and how much memory the process had taken at most when each ended, in MiB."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.laps, self.peaks = prefix, dict[str, float](), dict[str, float]()
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Ends a lap."""
        now = time.perf_counter()
        self.laps[f"{self.prefix}_{name}_seconds"] = now - self._last
        self.peaks[f"{self.prefix}_{name}"] = peak_memory()
        self._last = now


@dataclass(frozen=True)
class Contest:
    """What was measured on one cut, and where baselines are tried.

    Attributes:
        fold: what was known, and what was to be predicted.
        tables: row table -> part -> its rows.
        protocol: how rankings are judged.
        model: what the model reached; None where there is none.
        beside: baselines that were measured in the same pass.
        finish: what remains to be done after the test; None = nothing.
        init: what the model began with, where that was another run's.
        calibration: task -> what there is to say of its probabilities; None where none are calibrated.
        training: how long the model trained.
        unknown: task -> group of rows of unknown users or items -> figures; None where there are none.
    """

    fold: Fold
    tables: Tables
    protocol: RankingProtocol
    model: Measured | None
    beside: Mapping[str, Measured] = field(default_factory=dict)
    finish: Callable[[], None] | None = None
    init: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    unknown: Mapping[str, Any] | None = None


class Contestant(Protocol):
    """What takes part in a run beside the baselines."""

    #: Whether a phase that is complete is not repeated.
    resumable: bool

    def agreed(self, done: bool) -> bool:
        """Whether all processes of the run have done something."""

    def checksums(self, run: Run, cuts: Sequence[Cut]) -> Mapping[str, str]:
        """Key of the recipe -> a hash of what it reads beside the data and what encoders read."""

    def measured(self, run: Run, cut: Cut, timing: Clock) -> Contest:
        """What is reached on a cut."""


@dataclass
class Run:
    """One run of a recipe with one seed in one directory.

    Attributes:
        recipe: the resolved recipe.
        dataset: the raw tables.
        directory: where results go.
        report: what the user sees meanwhile.
        contestant: what takes part beside the baselines.
        looked: what was found in the data, which is kept; None = nothing is.
        keeps: the phase of which is kept what users add to its figures.
        phase: the phase that is at work.
        warnings: what was not as it should be in it so far, before a resume too.
    """

    recipe: Recipe
    dataset: Dataset
    directory: RunDirectory
    report: Reporter
    contestant: Contestant
    looked: LookedOver | None = None
    keeps: str = "test"
    phase: str = ""
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        """Says what is not as it should be, and keeps it for the record, even if the phase is only resumed to its end."""
        if message not in self.warnings:
            self.report.warn(message)
            self.warnings.append(message)
            self.directory.write_warnings(self.phase, self.warnings)

    @contextlib.contextmanager
    def _warned(self) -> Iterator[None]:
        """Takes over what is warned of a model meanwhile."""
        with warnings.catch_warnings():
            show = warnings.showwarning
            warnings.simplefilter("always", ModelWarning)

            def keep(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
                if issubclass(category, ModelWarning):
                    self.warn(str(message))
                else:
                    show(message, category, *place, **more)

            warnings.showwarning = keep
            yield

    def execute(self, resume: bool = False) -> RunResults:
        """Runs what is not done yet, and returns what `metrics.json` holds.

        Raises:
            RunError: the directory cannot be used as asked, or training failed.
        """
        begin = time.perf_counter()
        with self._begun(resume) as (locked, cuts):
            protocol = split_record(self.recipe, self.dataset, *cuts)
            self.report.protocol(protocol)
            if self.looked is not None:
                self.looked.write(self.directory, *cuts)
            results = self._results(protocol, *cuts, begin)
        self.directory.write_metrics(results)
        if results.test is not None:
            write_card(self.directory, results, self.recipe)
        self.directory.check_kept(locked)
        return results

    def validate(self, resume: bool = False) -> PhaseResults:
        """Runs the phase of validation alone, if it is not done yet.

        Raises:
            RunError: as `execute`.
        """
        with self._begun(resume) as (_, (valid, _)):
            return self._phase(valid, None)

    @contextlib.contextmanager
    def _begun(self, resume: bool) -> Iterator[tuple[str, tuple[Cut, Cut]]]:
        """Says whose directory it is, and takes that back where nothing followed; the lock and the cuts."""
        cuts = make_cuts(self.dataset, self.recipe.data.split)
        locked = lock(self.recipe, self.directory.path)
        self.directory.begin(locked, fingerprint(self.dataset), resume, self.checksums(cuts))
        try:
            yield locked, cuts
        except BaseException as error:
            lost = isinstance(error, Interrupted) and not self.contestant.resumable
            if lost or isinstance(error, MtkitError) or shortage(error):
                self.directory.withdraw()
            raise

    def checksums(self, cuts: Sequence[Cut]) -> dict[str, str]:
        """What is read beside the data -> a hash of it."""
        return {**checksums(self.recipe.encoder, self.recipe.correlation), **self.contestant.checksums(self, cuts)}

    def _results(self, protocol: Mapping[str, Any], valid: Cut, test: Cut, begin: float) -> RunResults:
        tuned = self._phase(valid, None)
        final = self._phase(test, tuned)
        total = {"total_seconds": time.perf_counter() - begin, "console_seconds": self.report.seconds}
        looked = self.looked or LookedOver(self.dataset)
        phases = {"valid": tuned, "test": final}
        told = [f"{name}: {text}" for name, of in phases.items() for text in of.warnings or ()]
        below = [f"{name}: {text}" for name, of in phases.items() for text in self._below_chance(of)]
        self.report.alarm(below)
        return RunResults(
            protocol=protocol,
            test=final.model,
            baselines=final.baselines,
            counts=final.counts or {},
            intervals=final.intervals or {},
            verdicts=final.verdicts,
            constants={name: of.constants for name, of in phases.items() if of.constants} or None,
            valid=PhaseResults(tuned.model, tuned.baselines, tuned.tuned, edges=tuned.edges),
            timing={
                **looked.timing,
                **(tuned.timing or {}),
                **(final.timing or {}),
                **total,
                **self.directory.read_counters(),
            },
            memory={**looked.memory, **(tuned.memory or {}), **(final.memory or {})} or None,
            warnings=[*told, *below] or None,
            init={name: of.init for name, of in phases.items() if of.init} or None,
            calibration={name: of.calibration for name, of in phases.items() if of.calibration} or None,
            left_out={"valid": tuned.left_out or {}, "test": final.left_out or {}},
            training={name: of.training for name, of in phases.items() if of.training} or None,
            unknown={name: of.unknown for name, of in phases.items() if of.unknown} or None,
        )

    def _below_chance(self, of: PhaseResults) -> list[str]:
        """What is said of heads that are worse than a constant, or rank worse than one order for everyone."""
        plan, settings, model = self.recipe.plan, self.recipe.evaluate, of.model or {}
        chance = below_chance(plan, settings, model, of.constants or {})
        return chance + below_popularity(plan, settings, model, of.baselines)

    def _phase(self, cut: Cut, valid: PhaseResults | None) -> PhaseResults:
        """Measures on one cut, unless that was done before; exports after the test.

        Baselines are tuned here where there is no phase before this one, and else chosen as it says.
        """
        done = self.directory.read_phase(cut.name)
        if self.contestant.agreed(done is not None) and done is not None:
            return done
        timing = Clock(cut.name)
        self.phase, self.warnings = cut.name, self.directory.read_warnings(cut.name)
        self.report.phase(cut)
        with self._warned():
            results = self._measured(cut, valid, timing)
        if self.contestant.resumable:
            self.directory.write_phase(cut.name, results)
        return results

    def _measured(self, cut: Cut, valid: PhaseResults | None, timing: Clock) -> PhaseResults:
        contest = self.contestant.measured(self, cut, timing)
        settings, plan = self.recipe.evaluate, self.recipe.plan
        comparison = Comparison(
            plan, contest.fold, contest.tables, settings, contest.protocol, self.recipe.rows, self.report.working
        )
        for message in comparison.falling_back(settings.baselines):
            self.warn(message)
        tuned = None if valid is None else as_tuned(settings.baselines, valid.tuned)
        tuned = comparison.tune(settings.baselines) if tuned is None else tuned
        edges = at_edges(settings.baselines, tuned) if valid is None else {}
        self.report.edges(edges, tuned)
        plain, judged = comparison.results(settings.baselines, tuned)
        baselines = judged | dict(contest.beside)
        with self.report.working("constants"):
            constants = constant_metrics(plan, contest.tables, settings) if contest.model is not None else None
        timing.lap("baselines")
        certainty: dict[str, Any] = {}
        sums = self._sums(contest, baselines) if cut.name == self.keeps else {}
        if valid is not None:
            with self.report.working("intervals and tests"):
                certainty = self._certainty(contest, baselines, valid, sums)
            timing.lap("intervals")
            if contest.finish is not None:
                contest.finish()
                timing.lap("export")
        return PhaseResults(
            contest.model,
            baselines,
            plain,
            constants,
            **certainty,
            timing=timing.laps,
            memory=timing.peaks,
            warnings=self.warnings.copy() or None,
            init=contest.init,
            calibration=contest.calibration,
            left_out=left_out(contest.fold, contest.tables),
            training=contest.training,
            unknown=contest.unknown,
            edges=edges or None,
        )

    def _sums(self, contest: Contest, baselines: Mapping[str, Measured]) -> Sums:
        """What each user adds to the figures, which is kept."""
        models = {**({MODEL: contest.model} if contest.model is not None else {}), **baselines}
        sums = named(models, contest.fold)
        write_table(self.directory.per_user, to_table(sums))
        return sums

    def _certainty(
        self, contest: Contest, baselines: Mapping[str, Measured], valid: PhaseResults, sums: Sums
    ) -> dict[str, Any]:
        """How many rows there are, and how certain the values are."""
        of_model = [contest.model] if contest.model is not None else []
        counts = {group: rows for of in (*of_model, *baselines.values()) for group, rows in of.counts.items()}
        lines = verdicts(self.recipe.plan, self.recipe.evaluate, contest.model or {}, baselines, valid.baselines, sums)
        return {
            "counts": counts,
            "intervals": interval_results(sums, self.recipe.evaluate.limits),
            "verdicts": lines or None,
        }

    def write_rows(self, fold: Fold, tables: Tables) -> None:
        """Notes on every row table's population, for the user and for the record."""
        notes, without = populations(tables), left_out(fold, tables)
        record = shown_values({"tables": notes, "left_out": without})
        write_json(self.directory.rows / f"{fold.name}.json", record)
        self.report.rows(notes, without)
