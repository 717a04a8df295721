"""Built-in hooks: trackers of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PrivateAttr

from mtkit.hooks import hookimpl
from mtkit.spec import Spec

if TYPE_CHECKING:
    from mtkit.recipe.loader import Recipe


class TensorBoard(Spec):
    """Shows runs in TensorBoard: figures by epoch, those of the test, the recipe, and embeddings in the projector.

    Events lie in the folder `tensorboard` of the run directory: `tensorboard --logdir runs` shows all runs beside one another.
    A run that is taken up again goes on where it was. Needs tensorboard (`pip install 'mtkit[tensorboard]'`).
    """

    embeddings: Annotated[int, Field(ge=0)] = Field(
        10_000, description="how many candidates of the main task the projector shows at most; 0 = none"
    )

    _log: Any = PrivateAttr(None)

    @hookimpl
    def run_start(self) -> None:
        """Looks whether TensorBoard is there."""
        from mtkit.runs.tensorboard_log import TensorBoardLog, require

        require()
        self._log = TensorBoardLog()

    @hookimpl
    def epoch_end(self, phase: str, epoch: int, metrics: Mapping[str, float], directory: Path) -> None:
        """Writes the figures of an epoch."""
        self._log.epoch(directory, phase, epoch, metrics)

    @hookimpl
    def run_end(self, directory: Path) -> None:
        """Writes what a run ends with."""
        self._log.end(directory, self.embeddings)


class MLflow(Spec):
    """Tracks runs in MLflow: parameters, figures by epoch and of the test, the recipe, and the export as a model.

    A run that is taken up again goes on in the MLflow run that it began, whose id is in `mlflow.json` of the run directory; of
    several seeds or folds each is a run. Metric keys have `_at_` in the place of `@`, which MLflow does not take. Needs MLflow
    (`pip install 'mtkit[mlflow]'`), and no server: runs are where MLflow keeps them, in `mlflow.db` and `mlruns`.
    """

    uri: str | None = Field(
        None,
        description="where runs are tracked: a server, or a file (`sqlite:///runs.db`); default: the variable "
        "MLFLOW_TRACKING_URI, or MLflow's own",
    )
    experiment: str | None = Field(None, description="the experiment; default: the recipe's name")
    model: bool = Field(True, description="whether the export is kept as a model, with its signature")
    signature: str | None = Field(
        None, description="which signature of the export that model answers; default: `recommend`, or the first"
    )

    _tracking: Any = PrivateAttr(None)

    @hookimpl
    def run_start(self, recipe: Recipe) -> None:
        """Looks whether MLflow is there, and answers."""
        from mtkit.runs.mlflow_log import MLflowTracking

        self._tracking = MLflowTracking(self.uri, self.experiment or recipe.name)

    @hookimpl
    def epoch_end(self, phase: str, epoch: int, metrics: Mapping[str, float], directory: Path) -> None:
        """Notes the figures of an epoch."""
        self._tracking.epoch(directory, phase, epoch, metrics)

    @hookimpl
    def run_end(self, directory: Path) -> None:
        """Notes what a run ends with."""
        self._tracking.end(directory, self.signature, model=self.model)
