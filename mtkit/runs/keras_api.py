"""Models of recipes in user code: what `mtkit.build` gives works with Keras' own `compile`, `fit` and `predict`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load as load_data
from mtkit.model.assembly import Pipeline, assemble
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.runs.answers import Answering, Signatures, TrainablePipeline, of_saved
from mtkit.runs.continuing import earlier_of
from mtkit.runs.directory import RunDirectory
from mtkit.runs.origins import origin_of
from mtkit.runs.recommend import open_export
from mtkit.runs.trainer import trained_pipeline
from mtkit.runtime.unused_gpu import unseen_gpu
from mtkit.training.warm_start import begin_with


def build(
    recipe: str | Path | Recipe,
    sets: Sequence[str] = (),
    unsets: Sequence[str] = (),
    fold: Literal["valid", "test"] = "valid",
) -> TrainablePipeline:
    """A recipe's model on its data, built and not trained.

    With `train.init_from` it has the weights of that run, where they fit; what begins anew is said in warnings.
    `pipeline.model` is a `keras.Model`. Its `fit`, `evaluate` and `predict` take `train_data()` and `eval_data()`. The pipeline
    itself predicts rows of data frames, and recommends, by the model as it is.

    Args:
        recipe: a recipe's file, or what `mtkit.compose` made.
        sets: `KEY=VALUE` to set by dotted key, as `--set` does; for files only.
        unsets: keys to remove first, as `--unset` does; for files only.
        fold: `valid` holds what lies before validation and evaluates on validation; `test` goes on to the test.

    Raises:
        MtkitError: the recipe or the data are wrong.
        ValueError: `sets` or `unsets` were given with a composed recipe.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, sets, unsets)
    elif sets or unsets:
        raise ValueError("sets and unsets change a recipe's file; change the arguments of mtkit.compose instead")
    if message := unseen_gpu(recipe.train.strategy):
        warnings.warn(message, stacklevel=2)
    with recipe.blaming():
        return _built(recipe, fold)


def _built(recipe: Recipe, fold: Literal["valid", "test"]) -> TrainablePipeline:
    dataset = load_data(recipe.data.source)
    cuts = {cut.name: cut for cut in make_cuts(dataset, recipe.data.split)}
    origin = origin_of(recipe, dataset, cuts[fold])
    earlier = earlier_of(recipe, dataset, cuts[fold])
    pipeline = _trainable(assemble(recipe, dataset, cuts[fold], earlier=earlier))
    if anew := begin_with(pipeline, origin).warnings() if origin else []:
        warnings.warn("\n".join(anew), stacklevel=3)
    return pipeline


def load_run(directory: str | Path) -> TrainablePipeline:
    """The pipeline of a finished run, with the weights that it was tested with.

    Args:
        directory: the run directory.

    Raises:
        RunError: there is no such run, it was not trained to the end, or its data have changed.
    """
    return _trainable(trained_pipeline(RunDirectory(Path(directory))))


class LoadedRun(Answering):
    """A finished run: its latest export answers, without the data that it was trained on.

    Args:
        directory: the run directory.

    Attributes:
        recipe: the resolved recipe.

    Raises:
        RunError: this is no run, nothing was exported, or a file is damaged.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        _, loaded = open_export(directory)
        self.recipe = directory.read_recipe()
        self._saved = of_saved(loaded, self._ids)

    @cached_property
    def pipeline(self) -> TrainablePipeline:
        """The model on its data, with the weights that it was tested with, to go on training it.

        Raises:
            RunError: the run was not trained to the end, or its data have changed.
        """
        return _trainable(trained_pipeline(self._directory))

    def _signatures(self) -> Signatures:
        return self._saved

    def _ids(self, entity: str) -> np.ndarray:
        ids: np.ndarray = self._directory.read_catalog("test", entity, ("id",))["id"].to_numpy()[1:]
        return ids


def load(directory: str | Path) -> LoadedRun:
    """A finished run, to ask its exported model for predictions and recommendations.

    Args:
        directory: the run directory.

    Raises:
        RunError: this is no run, nothing was exported, or a file is damaged.
    """
    return LoadedRun(RunDirectory(Path(directory)))


def _trainable(pipeline: Pipeline) -> TrainablePipeline:
    return TrainablePipeline(**vars(pipeline))
