"""Runs in MLflow: parameters, figures by step, the recipe as an artifact, and the export as a model."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtkit.errors import PluginError, RunError
from mtkit.files import versions
from mtkit.recipe.loader import Recipe
from mtkit.recipe.resolved import leaves, resolved
from mtkit.recipe.toml_positions import dotted
from mtkit.runs.directory import RunDirectory
from mtkit.runs.tracked import Noted, epoch_figures, final_figures, runs_in
from mtkit.shown import shown

#: The file of a run directory that says which run of MLflow it is.
FILE = "mlflow.json"
#: Parameters in one request, and characters of a value.
_PARAMETERS, _LONGEST = 100, 500
#: What MLflow does not take in names.
_NOT_A_NAME = re.compile(r"[^\w\-. :/]")


def metric_name(key: str) -> str:
    """A metric key as MLflow takes it: `next/ndcg_at_10`."""
    return _NOT_A_NAME.sub("_", key.replace("@", "_at_"))


class MLflowTracking:
    """Notes runs in an experiment.

    Args:
        uri: where runs are tracked; None = where MLflow does by itself.
        experiment: its name; made where there is none.

    Raises:
        PluginError: MLflow is not there, or does not answer.
    """

    def __init__(self, uri: str | None, experiment: str) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise PluginError(f"hook 'mlflow' needs MLflow ({error}); run: pip install 'mtkit[mlflow]'") from error
        self._client, self._experiment = _asked(lambda: MlflowClient(tracking_uri=uri)), experiment
        _asked(lambda: self._client.search_experiments(max_results=1))

    def epoch(self, directory: Path, phase: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """The figures of an epoch as `PHASE/NAME`, unless they are there from before a run was stopped."""
        noted = Noted(directory / FILE)
        if not noted.is_new(phase, epoch):
            return
        figures = {f"{phase}/{name}": value for name, value in epoch_figures(metrics).items()}
        self._log(self._run(directory), figures, epoch)
        noted.note(phase, epoch)

    def end(self, directory: Path, signature: str | None, *, model: bool) -> None:
        """What the runs in a directory end with, as `test/KEY`."""
        for run in runs_in(directory):
            run_id = self._run(run.path)
            self._log(run_id, {f"test/{key}": value for key, value in final_figures(run).items()}, 0)
            if model and (export := versions(run.export)):
                self._model(run_id, run.export / str(export[-1]), signature)
            self._client.set_terminated(run_id)

    def _run(self, directory: Path) -> str:
        """The run of a directory: the one that it began, or a new one."""
        noted, run = Noted(directory / FILE), RunDirectory(directory)
        if run_id := noted.read().get("run_id"):
            _asked(lambda: self._client.update_run(run_id, status="RUNNING"))
            return str(run_id)
        made = _asked(lambda: self._client.create_run(self._experiment_id(), run_name=directory.name))
        noted.write(run_id=made.info.run_id)
        self._begin(made.info.run_id, run)
        return str(made.info.run_id)

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        return str(found.experiment_id if found else self._client.create_experiment(self._experiment))

    def _begin(self, run_id: str, run: RunDirectory) -> None:
        from mlflow.entities import Param

        values = list(parameters(run.read_recipe()))
        for at in range(0, len(values), _PARAMETERS):
            some = [Param(name, value) for name, value in values[at : at + _PARAMETERS]]
            self._client.log_batch(run_id, params=some)
        self._client.log_text(run_id, shown(run.lock.read_text(encoding="utf-8")), run.lock.name)

    def _log(self, run_id: str, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(metric_name(key), value, now, step) for key, value in figures.items()]
        for at in range(0, len(metrics), _PARAMETERS):
            self._client.log_batch(run_id, metrics=metrics[at : at + _PARAMETERS])

    def _model(self, run_id: str, export: Path, signature: str | None) -> None:
        """Keeps an export as a model that `mlflow.pyfunc.load_model` loads."""
        import mlflow.pyfunc

        from mtkit.runs.mlflow_model import signature_of

        found = signature_of(export, signature)
        if found is None:
            return  # an exporter of another form, whose files MLflow cannot ask
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            name, described = found
            mlflow.pyfunc.save_model(
                path=str(path),
                loader_module="mtkit.runs.mlflow_model",
                data_path=str(export),
                signature=described,
                model_config={"signature": name},
                pip_requirements=["mtkit"],
            )
            self._client.log_artifacts(run_id, str(path), "model")


def parameters(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Names and values of all that a resolved recipe says, references in the place of values from the environment."""
    values = {key: value for key, value in resolved(recipe).items() if key != "hook"}
    for path, value in leaves(_short(values)):
        yield _NOT_A_NAME.sub("_", dotted(path)), shown(value)[:_LONGEST]


def _short(value: Any) -> Any:
    """Values with lists of plain ones as one text."""
    if isinstance(value, Mapping):
        return {key: _short(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        if any(isinstance(each, Mapping) for each in value):
            return [_short(each) for each in value]
        return ", ".join(map(str, value))
    return value


def _asked(ask: Any) -> Any:
    """What MLflow answers.

    Raises:
        RunError: it does not.
    """
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        raise RunError(f"MLflow: {str(error).splitlines()[0]}") from error
