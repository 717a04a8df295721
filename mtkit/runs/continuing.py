"""A run that goes on with an earlier one (`train.replay`): what it takes over, and what that one's model reaches today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtkit.data.earlier import Earlier
from mtkit.data.kept_weights import Beginning, Origin
from mtkit.errors import RecipeError
from mtkit.model.assembly import Pipeline
from mtkit.model.model_evaluation import evaluate
from mtkit.recipe.loader import Recipe
from mtkit.recipe.lock import plain_section
from mtkit.runs.calibrating import take_calibration
from mtkit.runs.damage import read_json, reading
from mtkit.runs.directory import RunDirectory, write_json
from mtkit.runs.origins import origin_of
from mtkit.runs.results import Before
from mtkit.spec import Cut
from mtkit.training.warm_start import begin_with
from mtkit.types import Dataset

_REMEDY = "restore it, or run the recipe anew in another --run-dir"


def earlier_of(recipe: Recipe, dataset: Dataset, cut: Cut, directory: RunDirectory | None = None) -> Earlier | None:
    """What a phase of a run goes on with.

    Args:
        recipe: the resolved recipe.
        dataset: its data.
        cut: of the phase.
        directory: of the run itself, which tells it once the phase has begun, so that the earlier run may go.

    Returns:
        None where the recipe goes on with no run.

    Raises:
        RecipeError: that run does not fit.
        RunError: a file is damaged.
    """
    replay = recipe.train.replay
    if replay is None:
        return None
    if dataset.prepared is not None:
        message = "rows of prepared data are not replayed; leave data.prepared out, or train anew without train.replay"
        raise RecipeError([recipe.problem(("train", "replay"), message)])
    init = directory.read_init(cut.trained) if directory is not None else None
    if directory is not None and init is not None and init.sizes is not None:
        states = _states(directory, cut.trained)
        return Earlier(init.until, init.sizes, directory.read_numbers(cut.trained), states, replay, recipe.seed)
    origin = origin_of(recipe, dataset, cut)
    assert origin is not None, "settings refuse a replay without a run to go on with"
    parent, fold = RunDirectory(origin.directory), origin.kept.fold
    _check_preprocessors(recipe, parent)
    numbered = parent.read_numbers(fold)
    sizes = {entity: len(ids) for entity, ids in numbered.items()}
    return Earlier(origin.kept.fit, sizes, numbered, _states(parent, fold), replay, recipe.seed)


def _states(directory: RunDirectory, fold: str) -> Mapping[str, Mapping[str, Any]]:
    path = directory.features / f"{fold}.json"
    kept: dict[str, Any] = read_json(path, dict[str, Any], _REMEDY)
    with reading(path, _REMEDY):
        states: Mapping[str, Mapping[str, Any]] = kept["features"]
        return states


def _check_preprocessors(recipe: Recipe, parent: RunDirectory) -> None:
    """What a preprocessor has learned is of use to one with the same options alone."""
    here, there = plain_section(recipe, "preprocess", parent.path), parent.read_lock().get("preprocess", {})
    if changed := [name for name in {**here, **there} if here.get(name) != there.get(name)]:
        message = (
            f"{parent.path}: preprocess.{changed[0]} is set otherwise there, and what it has learned goes on; set it as it was, "
            "or leave train.replay out"
        )
        raise RecipeError([recipe.problem(("train", "replay"), message)])


def check_beginning(recipe: Recipe, origin: Origin, beginning: Beginning) -> None:
    """Refuses to go on with a model of which a part would begin anew: old rows that taught it are not seen again.

    Raises:
        RecipeError: there is such a part.
    """
    if not beginning.left:
        return
    reasons = "; ".join(f"{name} {why}" for name, why in beginning.left.items())
    message = (
        f"{origin.directory}: cannot be gone on with: {reasons}; set it as it is there, or train anew on all rows with "
        "mtkit run"
    )
    raise RecipeError([recipe.problem(("train", "replay"), message)])


def measure_before(directory: RunDirectory, pipeline: Pipeline, origin: Origin) -> None:
    """Measures the model of the earlier run, as it is, on the rows of the test, and keeps the figures.

    Ids that it does not have are what they begin with. The weights of the pipeline are its weights afterwards.
    """
    check_beginning(pipeline.recipe, origin, begin_with(pipeline, origin))
    take_calibration(RunDirectory(origin.directory), pipeline)
    metrics = dict(evaluate(pipeline, pipeline.protocol()))
    write_json(directory.before, {"metrics": metrics})


def read_before(directory: RunDirectory) -> Mapping[str, float | None]:
    """The figures that `measure_before` kept; none where there are none.

    Raises:
        RunError: they cannot be read.
    """
    if not directory.before.is_file():
        return {}
    before: Before = read_json(directory.before, Before, directory.again("test", directory.before))
    return before.metrics
