"""Models of recipes in user code: what `mtkit.build` gives works with Keras' own `compile`, `fit` and `predict`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.model.assembly import Pipeline, assemble
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.runs.directory import RunDirectory
from mtkit.runs.origins import origin_of
from mtkit.runs.trainer import trained_pipeline
from mtkit.runtime.unused_gpu import unseen_gpu
from mtkit.training.warm_start import begin_with


def build(
    recipe: str | Path | Recipe,
    sets: Sequence[str] = (),
    unsets: Sequence[str] = (),
    fold: Literal["valid", "test"] = "valid",
) -> Pipeline:
    """A recipe's model on its data, built and not trained.

    With `train.init_from` it has the weights of that run, where they fit; what begins anew is said in warnings.
    `pipeline.model` is a `keras.Model`. Its `fit`, `evaluate` and `predict` take `train_data()` and `eval_data()`.

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
    dataset = load(recipe.data.source)
    cuts = {cut.name: cut for cut in make_cuts(dataset, recipe.data.split)}
    origin = origin_of(recipe, dataset, cuts[fold])
    pipeline = assemble(recipe, dataset, cuts[fold])
    if anew := begin_with(pipeline, origin).warnings() if origin else []:
        warnings.warn("\n".join(anew), stacklevel=2)
    return pipeline


def load_run(directory: str | Path) -> Pipeline:
    """The pipeline of a finished run, with the weights that it was tested with.

    Args:
        directory: the run directory.

    Raises:
        RunError: there is no such run, it was not trained to the end, or its data have changed.
    """
    return trained_pipeline(RunDirectory(Path(directory)))
