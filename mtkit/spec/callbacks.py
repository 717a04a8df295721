"""What acts within the training of a model: Keras callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from mtkit.spec.base import Spec
from mtkit.spec.model import BuildContext


class Callback(Spec):
    """A Keras callback that recipes name, `[callback.NAME]`.

    It is built anew for each training, of the phases `valid` and `test`, and again where a run is resumed: what it has to
    remember it writes into its directory. `self.model` is the model whose `fit` is at work; `logs` of an epoch hold the loss of
    each task, `TASK_loss`. How long is trained is for the recipe to say (`train.epochs`, `train.patience`), since the test
    repeats what the validation found: `stop_training` is taken back, with a warning. `mtkit.errors.StopRun` ends the run.
    """

    kind: ClassVar[str] = "callback"

    def build(self, context: BuildContext, directory: Path) -> Any:
        """A `keras.callbacks.Callback`, of `mtkit.backend.keras`.

        Args:
            context: what components are told; `context.name` is that of its table.
            directory: `callbacks/NAME/PHASE` of the run directory, where it may write; need not exist.
        """
        raise NotImplementedError
