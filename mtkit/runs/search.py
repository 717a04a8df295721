"""`mtkit search`: settings of a recipe that are tried one after another, and judged by validation."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtkit.backend import keras
from mtkit.data.fingerprint import fingerprint
from mtkit.errors import MtkitError, Problem, RecipeError, RunError, shortage
from mtkit.files import write_text
from mtkit.recipe.alone import bare
from mtkit.recipe.blame import of_recipe
from mtkit.recipe.loader import Recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.search_settings import Range, Search
from mtkit.recipe.search_space import stated, tried, without_search
from mtkit.recipe.toml_positions import dotted
from mtkit.runs.directory import RunDirectory, write_json
from mtkit.runs.hooks import relay_of
from mtkit.runs.procedure import Run
from mtkit.runs.run import checked_data
from mtkit.runs.search_tables import SearchScreen, Tried
from mtkit.runs.trainer import Trainer
from mtkit.shown import shown_values
from mtkit.training.interrupt import Signals
from mtkit.training.judging import VALIDATION
from mtkit.types import Dataset

if TYPE_CHECKING:
    import optuna

RESULTS, BEST, JOURNAL, TRIALS = "search.json", "best.toml", "study.log", "trials"
_NAME = "search"
_OF, _MESSAGE, _SECONDS, _AS_IT_IS = "of", "message", "seconds", "as_it_is"
#: Trials before the first one is pruned, and epochs of each that are never judged.
_BEFORE_PRUNING, _EPOCHS_ALLOWED = 5, 1


@of_recipe
def search_recipe(
    recipe: Recipe,
    directory: Path,
    signals: Signals | None = None,
    *,
    quiet: bool = False,
    screen: SearchScreen | None = None,
) -> Mapping[str, Any]:
    """Tries what is not tried yet, and keeps the recipe with the best values; the test is not looked at.

    The recipe as it is comes first, then what Optuna's tree-structured Parzen estimator proposes (Bergstra et al., "Algorithms
    for hyper-parameter optimization", NIPS 2011). Each trial is the phase `valid` of a run.

    Args:
        recipe: read from a file, with a section `search`.
        directory: trials go to `trials/HASH` below it, what was tried to `search.json`, the best recipe to `best.toml`.
        signals: where a wish to stop comes from.
        quiet: whether nothing but warnings is printed.
        screen: what a person sees; default: standard output.

    Returns:
        What `search.json` holds.

    Raises:
        MtkitError: something that was given is wrong, Optuna is not installed, or no trial has a value.
        Interrupted: it was asked to stop.
    """
    screen = screen or SearchScreen(quiet=quiet)
    if recipe.search is None:
        message = (
            'is missing; say in [search.keys] what is tried, as in "train.learning_rate" = {low = 1e-4, high = 1e-2}'
        )
        raise RecipeError([recipe.problem(("search",), message)])
    _check_keys(recipe, recipe.search)
    _check_directory(directory)
    trainer = Trainer.of(recipe, relay_of({}), signals or Signals())
    trainer.warn(screen.trials)
    dataset = checked_data(recipe, screen.trials)
    with RunDirectory(directory).exclusive():
        searching = _Searching(recipe, recipe.search, directory, dataset, trainer, screen)
        searching.run()
        results: dict[str, Any] = shown_values(searching.plain())
        write_json(directory / RESULTS, results)
        best = searching.best()
        if best is None:
            raise RunError(f"{directory}: no trial has a value; of the first: {searching.tried()[0].message}")
        write_text(directory / BEST, lock(tried(recipe, best.values), directory))
    if not quiet:
        screen.results(searching.metric, searching.tried(), best, searching.importances(), directory / BEST)
    return results


def _check_keys(recipe: Recipe, search: Search) -> None:
    """Finds keys that the recipe cannot have, before anything is tried; all of them at once."""
    problems: list[Problem] = []
    for key, of in search.keys.items():
        try:
            tried(recipe, {key: of.example})
        except RecipeError as error:
            # What does not fit elsewhere may fit with other values, and else fails as a trial.
            keys = {dotted(path) for path in search.paths(key)}
            problems += [problem for problem in error.problems if problem.key in keys]
    if problems:
        raise RecipeError(problems)
    if recipe.train.strategy == "multi_worker":
        raise RecipeError([recipe.problem(("train", "strategy"), "is of several processes; search in one")])
    if len(recipe.data.split.each()) > 1:
        raise RecipeError([recipe.problem(("data", "split"), "has several folds; choose one with data.split.fold")])


def _check_directory(directory: Path) -> None:
    other = RunDirectory(directory)
    if other.lock.exists() or other.replicates():
        raise RunError(f"{directory}: holds a run, and not a search; choose another with --run-dir")
    if directory.is_dir() and any(directory.iterdir()) and not (directory / JOURNAL).is_file():
        raise RunError(f"{directory}: the directory is not empty; choose another with --run-dir")


class _PrunedError(Exception):
    """A trial that is not worth its further epochs."""


class _Searching:
    """A study, and the runs of its trials."""

    def __init__(
        self,
        recipe: Recipe,
        search: Search,
        directory: Path,
        dataset: Dataset,
        trainer: Trainer,
        screen: SearchScreen,
    ) -> None:
        self.recipe, self.search, self.directory = recipe, search, directory
        self._dataset, self._trainer, self._screen = dataset, trainer, screen
        self.metric = search.metric or recipe.evaluate.main or ""
        if not self.metric:
            raise RecipeError([recipe.problem(("search",), "nothing is measured; add metrics to [evaluate]")])
        self.lower = recipe.lower_is_better(self.metric)
        self._space = {key: distribution(of) for key, of in search.keys.items()}
        self._study = self._opened()

    def _opened(self) -> optuna.Study:
        """The study of the directory, made anew where there is none."""
        library = _optuna()
        backend = library.storages.journal.JournalFileBackend(str(self.directory / JOURNAL))
        study = library.create_study(
            storage=library.storages.JournalStorage(backend),
            study_name=_NAME,
            direction="minimize" if self.lower else "maximize",
            pruner=library.pruners.MedianPruner(_BEFORE_PRUNING, _EPOCHS_ALLOWED)
            if self.search.prune
            else library.pruners.NopPruner(),
            load_if_exists=True,
        )
        meant = self._meant()
        kept = study.user_attrs.get(_OF, meant)
        if other := [what for what in meant if kept[what] != meant[what]]:
            raise RunError(f"{self.directory}: holds a search with other {other[0]}; choose another with --run-dir")
        study.set_user_attr(_OF, meant)
        opened: optuna.Study = study
        return opened

    def _meant(self) -> dict[str, Any]:
        """What all trials of a study have in common; else their values could not be compared."""
        recipe = lock(without_search(self.recipe), self.recipe.document.directory)
        return {
            "data": fingerprint(self._dataset),
            "metric": self.metric,
            "settings in its recipe": hashlib.blake2b(recipe.encode(), digest_size=8).hexdigest(),
            "choices": {key: list(of.choices) for key, of in self.search.keys.items() if of.choices},
        }

    def run(self) -> None:
        """Tries until there are enough trials, or the time is over."""
        begin, limit = time.monotonic(), self.search.timeout
        with self._screen.progress(self.search.trials, self.metric) as told:
            for trial in self._trials():
                self._try(trial)
                told(self.tried(), self.best())
                if limit is not None and time.monotonic() - begin >= limit.total_seconds():
                    break

    def _trials(self) -> Iterator[optuna.Trial]:
        """What was begun and not ended, then the recipe as it is, and then what the sampler proposes."""
        optuna = _optuna()
        for kept in self._study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            yield optuna.Trial(self._study, kept._trial_id)  # noqa: SLF001 - Optuna has no other way to go on with a trial
        if not self._study.trials:
            yield self._as_it_is()
        while len(self._study.trials) < self.search.trials:
            # A sampler of its own for each trial: what is proposed then does not depend on where a search was stopped.
            self._study.sampler = optuna.samplers.TPESampler(
                seed=self.search.seed + len(self._study.trials), multivariate=True
            )
            yield self._study.ask(self._space)

    def _as_it_is(self) -> optuna.Trial:
        """The first trial, with the values that the recipe has, where they lie within the ranges."""
        values = stated(self.recipe)
        inside = all(_inside(self.search.keys[key], value) for key, value in values.items())
        if inside:
            self._study.enqueue_trial(values)
        trial = self._study.ask(self._space if inside else {})
        trial.set_user_attr(_AS_IT_IS, value=True)
        return trial

    def _try(self, trial: optuna.Trial) -> None:
        """Runs a trial, and notes what became of it."""
        states, begin = _optuna().trial.TrialState, time.perf_counter()
        value, state = None, states.COMPLETE
        try:
            value = self._validated(trial)
        except _PrunedError:
            state = states.PRUNED
        except Exception as error:  # one setting that cannot be trained does not end a search
            message = str(error) if isinstance(error, MtkitError) else shortage(error)
            if not message:
                raise
            trial.set_user_attr(_MESSAGE, message)
            state = states.FAIL
        trial.set_user_attr(_SECONDS, time.perf_counter() - begin)
        self._study.tell(trial, value, state)

    def _validated(self, trial: optuna.Trial) -> float:
        recipe = bare(tried(self.recipe, trial.params))
        directory = self._directory(recipe)
        self._trainer.watching = lambda _training, _directory: [_Judge(trial, self.metric, prune=self.search.prune)]
        with directory.claimed(resume=directory.path.exists()):
            run = Run(recipe, self._dataset, directory, self._screen.trials, self._trainer, keeps="valid")
            found = run.validate(resume=directory.lock.exists()).model or {}
        if self.metric not in found:
            raise RunError(f"{self.metric} has no value on validation")
        return float(found[self.metric])

    def _directory(self, recipe: Recipe) -> RunDirectory:
        """Where a recipe is tried: the same place for the same recipe."""
        name = hashlib.blake2b(lock(recipe, recipe.document.directory).encode(), digest_size=8).hexdigest()
        return RunDirectory(self.directory / TRIALS / name)

    def tried(self) -> list[Tried]:
        """What has ended so far."""
        states = _optuna().trial.TrialState
        words = {states.COMPLETE: "complete", states.PRUNED: "pruned", states.FAIL: "failed"}
        return [
            Tried(
                trial.number,
                words[trial.state],
                trial.value,
                trial.params,
                trial.user_attrs.get(_SECONDS),
                trial.user_attrs.get(_MESSAGE),
                bool(trial.user_attrs.get(_AS_IT_IS)),
            )
            for trial in self._study.trials
            if trial.state in words
        ]

    def best(self) -> Tried | None:
        """The best complete trial; None where there is none."""
        complete = [(one.value, one) for one in self.tried() if one.state == "complete" and one.value is not None]
        sign = 1 if self.lower else -1
        return min(complete, key=lambda pair: sign * pair[0])[1] if complete else None

    def importances(self) -> dict[str, float]:
        """Key -> share of the variance of the trials' values; empty where there are too few trials to tell.

        Source: Hutter et al., "An efficient approach for assessing hyperparameter importance", ICML 2014 (fANOVA).
        """
        complete = [one for one in self.tried() if one.state == "complete" and one.values]
        if len(complete) < _BEFORE_PRUNING or len({one.value for one in complete}) == 1:
            return {}
        optuna = _optuna()
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))

    def plain(self) -> dict[str, Any]:
        """What `search.json` holds."""
        best = self.best()
        return {
            "format": 1,
            "metric": self.metric,
            "best": None if best is None else best.number,
            "trials": [asdict(one) for one in self.tried()],
            "importances": self.importances(),
        }


class _Judge(keras.callbacks.Callback):
    """Hands the figure of each epoch to the study, and ends a trial that is not worth further ones."""

    def __init__(self, trial: optuna.Trial, metric: str, *, prune: bool) -> None:
        super().__init__()
        self._trial, self._metric, self._prune = trial, metric, prune

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Judges the epoch, if validation measured the figure after it."""
        value = (logs or {}).get(VALIDATION + self._metric)
        if value is None:
            return
        self._trial.report(float(value), epoch)
        if self._prune and self._trial.should_prune():
            raise _PrunedError


def distribution(of: Range) -> optuna.distributions.BaseDistribution:
    """A range as Optuna has it."""
    distributions = _optuna().distributions
    found: optuna.distributions.BaseDistribution
    if of.choices:
        found = distributions.CategoricalDistribution(of.choices)
    elif of.whole:
        found = distributions.IntDistribution(of.low, of.high, log=of.log, step=int(of.step or 1))
    else:
        found = distributions.FloatDistribution(of.low, of.high, log=of.log, step=of.step)
    return found


def _inside(of: Range, value: Any) -> bool:
    if of.choices:
        return value in of.choices
    if isinstance(value, bool) or not isinstance(value, int if of.whole else int | float):
        return False
    return distribution(of)._contains(value)  # noqa: SLF001 - Optuna asks itself by no other way


def _optuna() -> Any:
    """Optuna, which says nothing by itself.

    Raises:
        RunError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise RunError("mtkit search needs Optuna: pip install 'mtkit[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
