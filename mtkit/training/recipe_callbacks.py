"""The Keras callbacks that a recipe names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtkit.backend import keras
from mtkit.errors import WiringError
from mtkit.model.assembly import Pipeline


def recipe_callbacks(pipeline: Pipeline, directory: Path, warn: Callable[[str], None]) -> list[Any]:
    """The callbacks of a training, in the recipe's order.

    Args:
        pipeline: what is trained.
        directory: of the run.
        warn: is told what has no effect.

    Raises:
        WiringError: a component gives something else than a callback.
    """
    made, phase = dict[str, Any](), pipeline.fold.name
    for name, spec in pipeline.recipe.callback.items():
        callback = spec.build(replace(pipeline.context, name=name), directory / "callbacks" / name / phase)
        if not isinstance(callback, keras.callbacks.Callback):
            got = f"{type(callback).__module__}.{type(callback).__qualname__}"
            raise WiringError(
                f"callback.{name}: expected a callback of Keras 2 (mtkit.backend.keras.callbacks), got {got}"
            )
        made[name] = callback
    if not made:
        return []
    begun = _Asked()
    return [begun, *made.values(), _NotStopped(begun, tuple(made), warn)]


class _Asked(keras.callbacks.Callback):
    """Notes whether the end of training was asked for before the recipe's callbacks were called."""

    asked = False

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self.asked = self.model.stop_training

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.asked = self.model.stop_training


class _NotStopped(keras.callbacks.Callback):
    """Takes back that one of the recipe's callbacks ends the training."""

    def __init__(self, begun: _Asked, names: tuple[str, ...], warn: Callable[[str], None]) -> None:
        super().__init__()
        self._begun, self._names, self._warn = begun, names, warn

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._take_back()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._take_back()

    def _take_back(self) -> None:
        if self.model.stop_training and not self._begun.asked:
            self.model.stop_training = False
            which = ", ".join(f"callback.{name}" for name in self._names)
            self._warn(
                f"{which}: stop_training has no effect, since the test repeats what the validation found; set train.epochs or "
                "train.patience, or raise mtkit.errors.StopRun to end the run"
            )
