"""`mtkit update`: the recipe of a run that goes on with another one on newer data, and whether there is anything new."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load, seconds
from mtkit.data.fingerprint import fingerprint
from mtkit.errors import RunError
from mtkit.evaluation.slices import EARLIER
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.recipe.toml_positions import split_key
from mtkit.recipe.toml_writer import toml_value
from mtkit.runs.directory import RunDirectory
from mtkit.runs.origins import origin_of
from mtkit.spec import Cleaned, DataSource
from mtkit.types import DAY, Dataset

#: Keys by which it is said where a split by time cuts.
_DAYS = {("data", "split"), *(("data", "split", key) for key in ("use", "valid", "test", "end"))}


@dataclass(frozen=True)
class Update:
    """What is asked for.

    Attributes:
        run: the run to go on with.
        data: a folder with newer files; None = the data source reads them where it read the older ones.
        replay: share of the rows that the run has learned from to train on again.
        new_ids: what new ids begin with, as of `train.new_ids`.
        sets: `KEY=VALUE` of the recipe, which go before what follows from the others.
        unsets: keys to remove first.
    """

    run: Path
    data: Path | None = None
    replay: float = 0.1
    new_ids: str = "content"
    sets: Sequence[str] = ()
    unsets: Sequence[str] = ()

    def prepared(self) -> tuple[Recipe, Dataset]:
        """The recipe of the run that goes on, and its data.

        Raises:
            RecipeError: a setting is wrong, or does not fit the run.
            DataError: the newer files do not fit.
            RunError: there is no such run, or nothing that it has not learned from.
        """
        directory = RunDirectory(self.run)
        tables = directory.read_lock()
        sets = [*self._settings(directory, tables), *self.sets]
        recipe = load_recipe(directory.lock, sets, self.unsets)
        with recipe.blaming():
            dataset = load(recipe.data.source)
        if fingerprint(dataset) == directory.read_fingerprint():
            raise RunError(
                f"{self.run}: nothing is new: the data are those that it has learned from; say where newer ones are by --data, "
                "or by --set data.KEY=VALUE"
            )
        split = tables["data"]["split"]
        if moved := self._moved(split, dataset):
            ends = ["data.split.end"] if "end" in split else []
            recipe = load_recipe(directory.lock, [*sets, *moved], [*self.unsets, *ends])
        self._check_new(recipe, dataset)
        return recipe, dataset

    def _settings(self, directory: RunDirectory, tables: Mapping[str, Any]) -> list[str]:
        """What follows from the run, and from the options."""
        slices = list(tables.get("evaluate", {}).get("slices", ()))
        roles = _roles(directory)
        slices += [name for name in EARLIER[: 2 * len(roles)] if name not in slices]
        values = {
            "train.init_from": str(self.run) if self.run.is_absolute() else ".",
            "train.replay": self.replay,
            "train.new_ids": self.new_ids,
            "evaluate.slices": slices,
        }
        if self.data is not None:
            if "newer" not in type(_source_of(directory.read_recipe())).model_fields:
                raise RunError(
                    f"--data: the data source {tables['data']['use']!r} reads no folder of newer files; say where its newer "
                    "data are by --set data.KEY=VALUE"
                )
            # Paths of a lock begin at the lock.
            data = self.data if self.data.is_absolute() else os.path.relpath(self.data, self.run)
            values["data.newer"] = [*tables["data"].get("newer", ()), str(data)]
        return [f"{key}={toml_value(value)}" for key, value in values.items()]

    def _moved(self, split: Mapping[str, Any], dataset: Dataset) -> list[str]:
        """The days of a split by time, unless they are set: the test ends with the data, and is as long as validation was."""
        given = {key[0] for text in (*self.sets, *self.unsets) if (key := split_key(text))}
        if split["use"] != "time" or given & _DAYS:
            return []
        valid, test = (_day(split[key]) for key in ("valid", "test"))
        assert dataset.schema.time is not None, "a split by time needs one"
        last = int(seconds(dataset.interactions[dataset.schema.time]).max())
        end = datetime.fromtimestamp(last // DAY * DAY, UTC) + timedelta(days=1)
        length = test - valid
        return [f"data.split.valid={(end - 2 * length):%Y-%m-%d}", f"data.split.test={(end - length):%Y-%m-%d}"]

    def _check_new(self, recipe: Recipe, dataset: Dataset) -> None:
        """Refuses where the model of the test would learn from nothing that the run has not learned from."""
        _, test = make_cuts(dataset, recipe.data.split)
        origin = origin_of(recipe, dataset, test)
        if origin is None or origin.kept.fit < (test.cut if test.fit is None else test.fit):
            return
        until = datetime.fromtimestamp(origin.kept.fit, UTC)
        raise RunError(
            f"{self.run}: nothing is new: it has learned from all before {until:%Y-%m-%d}, where the test begins now; wait for "
            "more data, or set data.split.valid and data.split.test later"
        )


def _roles(directory: RunDirectory) -> list[str]:
    """Who acts, and what is acted on, as far as the data of a run have them."""
    return list(directory.read_recipe().data.source.schema().roles)[:2]


def _source_of(recipe: Recipe) -> DataSource:
    """The source of a recipe's raw tables."""
    source = recipe.data.source
    return source.source if isinstance(source, Cleaned) else source


def _day(value: Any) -> datetime:
    return datetime.fromisoformat(str(value)).replace(tzinfo=UTC)
