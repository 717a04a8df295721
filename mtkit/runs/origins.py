"""The earlier run with whose weights training begins: which of its models a phase may take, and what is noted for others."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mtkit
from mtkit.data.fingerprint import fingerprint
from mtkit.data.kept_weights import KeptWeights, Labels, Origin
from mtkit.errors import RecipeError, RunError
from mtkit.recipe.loader import Recipe
from mtkit.recipe.lock import MODEL_TABLES, model_tables
from mtkit.runs.damage import read_json, reading
from mtkit.runs.directory import RunDirectory
from mtkit.spec import Cut
from mtkit.training.checkpoints import directory_of
from mtkit.types import Dataset

FOLDS = ("valid", "test")
_REMEDY = "restore it, or leave train.init_from out"
_OTHER_PARTS = (
    "its split is not by time, or this one is not, so the same data and split are needed: else it may have learned from what "
    "is evaluated here"
)

_NO_TIME = (
    "its split is not by time, or this one is not, so there is no telling which rows are new; leave train.replay out"
)


@dataclass(frozen=True)
class _Version:
    mtkit: str


def origin_of(recipe: Recipe, dataset: Dataset, cut: Cut) -> Origin | None:
    """The newest model of the run that `train.init_from` names that has not seen what is evaluated after a cut.

    Args:
        recipe: the resolved recipe.
        dataset: its data.
        cut: of the phase.

    Returns:
        None where the recipe names no run.

    Raises:
        RecipeError: there is no such run, it is not finished, or all its models have seen what is evaluated.
        RunError: a file of it is damaged.
    """
    path = recipe.train.init_from
    if path is None:
        return None
    directory = _directory(recipe, path)
    kept = _kept(recipe, directory)
    tables = _tables(directory, kept)
    clocked = cut.clock is not None or any(one.clocked for one in kept)
    if clocked and not _same_parts(recipe, dataset, directory, tables):
        raise _refusal(recipe, f"{path}: {_OTHER_PARTS}")
    if clocked and recipe.train.replay is not None:
        raise _refusal(recipe, f"{path}: {_NO_TIME}")
    may = [one for one in kept if _precedes(one, cut)]
    if not may:
        raise _refusal(recipe, f"{path}: {_seen(kept, cut)}")
    if recipe.train.replay is not None:
        # Who goes on needs rows that are new.
        may = [one for one in may if one.fit < _fit(cut)] or may
    newest = max(may, key=lambda one: FOLDS.index(one.fold))
    checkpoint = directory_of(directory.checkpoints / newest.fold, newest.step)
    if not checkpoint.is_dir():
        raise RunError(f"{checkpoint}: is missing; {_REMEDY}")
    return Origin(path, newest, tables, _labels(directory, newest), checkpoint)


def _refusal(recipe: Recipe, message: str) -> RecipeError:
    return RecipeError([recipe.problem(("train", "init_from"), message)])


def _directory(recipe: Recipe, path: Path) -> RunDirectory:
    try:
        directory = RunDirectory(path)
        directory.check_run()
    except RunError as error:
        raise _refusal(recipe, str(error)) from error
    return directory


def _kept(recipe: Recipe, directory: RunDirectory) -> list[KeptWeights]:
    """What a run notes of the models that it has trained to the end."""
    paths = [directory.kept_weights(fold) for fold in FOLDS if _trained(directory, fold)]
    if not paths:
        message = (
            f"{directory.path}: it was not trained to the end; finish it with mtkit run --resume, or name another run"
        )
        raise _refusal(recipe, message)
    for path in paths:
        version: _Version = read_json(path, _Version, _REMEDY)
        if version.mtkit != mtkit.__version__:
            message = (
                f"{directory.path}: was trained by mtkit {version.mtkit}, and this is {mtkit.__version__}; run it anew"
            )
            raise _refusal(recipe, message)
    return [_checked(path) for path in paths]


def _trained(directory: RunDirectory, fold: str) -> bool:
    """Whether a model was trained to the end on a fold, also where the notes on it are lost since."""
    complete = (directory.checkpoints / fold).is_dir() and directory.read_phase(fold) is not None
    return directory.kept_weights(fold).is_file() or complete


def _checked(path: Path) -> KeptWeights:
    kept: KeptWeights = read_json(path, KeptWeights, _REMEDY)
    named = {*kept.labels, *(f"{entity}.id" for entity in kept.entities)}
    used = {of for axes in kept.weights.values() for of in axes.values() if isinstance(of, str)}
    with reading(path, _REMEDY):
        if kept.fold != path.stem or not used <= named:
            raise ValueError(f"expected notes on {path.stem}, and labels for {sorted(used - named)}")
    return kept


def _tables(directory: RunDirectory, kept: Sequence[KeptWeights]) -> dict[str, Any]:
    """The tables of the run's lock, as they are written there."""
    with reading(directory.lock, _REMEDY):
        lock = tomllib.loads(directory.lock.read_text(encoding="utf-8"))
        for place in {place for one in kept for place in one.parts}:
            section, _, name = place.partition(".")
            (lock[section][name] if name else lock[section])["use"]
        return {"data": {"split": lock["data"]["split"]}} | {name: lock.get(name, {}) for name in MODEL_TABLES}


def _precedes(kept: KeptWeights, cut: Cut) -> bool:
    """Whether a model has learned from nothing that lies after what the phase trains on."""
    if cut.clock is not None or kept.clocked:
        return FOLDS.index(kept.fold) <= FOLDS.index(cut.trained)
    return kept.fit <= _fit(cut)


def _fit(cut: Cut) -> int:
    return cut.cut if cut.fit is None else cut.fit


def _same_parts(recipe: Recipe, dataset: Dataset, directory: RunDirectory, tables: dict[str, Any]) -> bool:
    """Whether the data, and their division, are those of the run."""
    here, there = model_tables(recipe, directory.path)["data"]["split"], tables["data"]["split"]
    return {**here, "refit": None} == {**there, "refit": None} and directory.read_fingerprint() == fingerprint(dataset)


def _seen(kept: Sequence[KeptWeights], cut: Cut) -> str:
    ends = " and ".join(f"{_moment(one.fit)} ({one.fold})" for one in kept)
    return (
        f"its models were trained until {ends}, and phase {cut.name} trains until {_moment(_fit(cut))}: they have seen what it "
        "evaluates on; name a run that ends before, or cut later in data.split"
    )


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}".removesuffix(" 00:00")


def _labels(directory: RunDirectory, kept: KeptWeights) -> dict[str, Labels]:
    ids = {
        f"{entity}.id": directory.read_catalog(kept.fold, entity, ("id",))["id"].to_pylist() for entity in kept.entities
    }
    return {**kept.labels, **{name: [None, *known[1:]] for name, known in ids.items()}}


def checksum(origins: Sequence[Origin]) -> str:
    """A hash of all files that weights are taken from."""
    digest = hashlib.blake2b(digest_size=16)
    for path in (path for origin in origins for path in _files(origin)):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _files(origin: Origin) -> Iterator[Path]:
    directory = RunDirectory(origin.directory)
    yield directory.lock
    yield directory.kept_weights(origin.kept.fold)
    yield from (directory.catalog(origin.kept.fold, entity) for entity in origin.kept.entities)
    yield from sorted(path for path in origin.checkpoint.iterdir() if path.is_file())
