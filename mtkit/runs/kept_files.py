"""What a run directory keeps, read to resume, evaluate, compare and show."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtkit.data.kept_weights import Beginning
from mtkit.errors import RecipeError, RunError
from mtkit.evaluation.calibration import Learned
from mtkit.evaluation.user_sums import Sums, from_table
from mtkit.files import versions
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.runs.damage import read_json, reading
from mtkit.runs.results import DataRecord, KeptCalibration, PhaseResults, RunResults, Scores

#: What to do about a file that tells what the run is.
ANEW = "restore it, or run the recipe anew in another --run-dir"

_REPLICATE = re.compile(r"(seed|fold)-\d+")


class KeptFiles:
    """The files of a run, or of several.

    Args:
        path: the directory; it need not be there.

    Raises:
        RunError: there can be no such directory, as its name is too long.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "recipe.lock.toml"
        self.metrics = path / "metrics.json"
        self.per_user = path / "per_user.parquet"
        self.history = path / "history.csv"
        self.checkpoints = path / "checkpoints"
        self.export = path / "export"
        self.rows = path / "rows"
        self.entities = path / "entities"
        self.features = path / "features"
        self.weights = path / "weights"
        self.init = path / "init"
        self.before = self.init / "before.json"
        self.scores = path / "scores.json"
        self.data = path / "data.json"
        self.counters = path / "counters.json"
        self.warnings = path / "warnings.json"
        self.calibration = path / "calibration.json"
        self.evidence = path / "evidence"
        self.found = self.evidence / "data.json"
        self.report = path / "report.html"
        self.costs = path / "costs.json"
        self.trace = path / "trace"
        self.claim = path / ".lock"
        try:
            self.lock.exists()
        except OSError as error:
            raise RunError(f"{path}: cannot be a run directory: {error.strerror}") from error

    def check_run(self) -> None:
        """Whether a run is here.

        Raises:
            RunError: there is none, or there are several, one of which has to be named.
        """
        if self.lock.is_file():
            return
        another = "name the run directory of a finished mtkit run"
        what = f"no run here: there is no {self.lock.name}; {another}"
        if not self.path.is_dir():
            what = f"there is no such directory; {another}"
        elif several := self.replicates():
            what = f"it holds several runs; name one of them: {', '.join(map(str, several))}"
        raise RunError(f"{self.path}: {what}")

    def check_begun(self) -> None:
        """Whether a run began here, or several.

        Raises:
            RunError: none did.
        """
        if not self.replicates():
            self.check_run()

    def begun(self) -> bool:
        """Whether a run, or one of several, has anything here that another one would go on from."""
        return self.lock.exists() or bool(self.replicates())

    def replicates(self) -> list[Path]:
        """The runs in a directory of several seeds, or of several folds."""
        found = [path for path in self.path.glob("*-*") if _REPLICATE.fullmatch(path.name) and path.is_dir()]
        return sorted(found, key=lambda path: int(path.name.partition("-")[2]))

    def read_lock(self) -> dict[str, Any]:
        """The tables of the lock as they are written, of which nothing is loaded.

        Raises:
            RunError: there is no run, or the file cannot be read.
        """
        self.check_run()
        with reading(self.lock, ANEW):
            return tomllib.loads(self.lock.read_text(encoding="utf-8"))

    def read_fingerprint(self) -> str:
        """The fingerprint of the data that the run began with.

        Raises:
            RunError: the file cannot be read.
        """
        return read_json(self.data, DataRecord, ANEW).fingerprint

    def read_recipe(self) -> Recipe:
        """The recipe that runs here, by its lock.

        Raises:
            RunError: it cannot be read, or asks for what is no longer there.
        """
        try:
            return load_recipe(self.lock)
        except RecipeError as error:
            raise RunError(f"{error}\n{self.lock}: cannot be used; {ANEW}") from error

    def read_phase(self, name: str) -> PhaseResults | None:
        """The results of a phase that is complete; None if it is not.

        Raises:
            RunError: they cannot be read.
        """
        path = self._phase(name)
        return read_json(path, PhaseResults, self.again(name)) if path.exists() else None

    def again(self, name: str, *damaged: Path) -> str:
        """What to do so that files that a phase wrote are written again."""
        files = " and ".join(str(path) for path in (*damaged, self._phase(name)) if path.exists())
        return (
            f"remove {files}, then mtkit run --resume does phase {name} again"
            if files
            else "finish it with mtkit run --resume"
        )

    def read_metrics(self) -> RunResults:
        """What was found.

        Raises:
            RunError: the run is not complete, or the file cannot be read.
        """
        if not self.metrics.exists():
            self.check_begun()
            raise RunError(f"{self.path}: the run is not complete: there is no {self.metrics.name}; {self.again('')}")
        return read_json(self.metrics, RunResults, "mtkit run --resume writes it again")

    def read_any_recipe(self) -> Recipe:
        """The recipe that runs here, or, of several runs, in the first of them.

        Raises:
            RunError: there is no run, or its lock cannot be read.
        """
        self.check_begun()
        first = next(iter(self.replicates()), self.path)
        return KeptFiles(first).read_recipe()

    def catalog(self, fold: str, entity: str) -> Path:
        """The file of a catalog: a row for each id, in the order of their numbers, the unknown first."""
        return self.entities / f"{fold}-{entity}.parquet"

    def read_numbers(self, fold: str) -> dict[str, np.ndarray]:
        """Entity -> the ids that have numbers in this run, in their order, without the unknown.

        Raises:
            RunError: a catalog cannot be read.
        """
        names = sorted(path.stem.removeprefix(f"{fold}-") for path in self.entities.glob(f"{fold}-*.parquet"))
        return {entity: self.read_catalog(fold, entity, ("id",))["id"].to_numpy()[1:] for entity in names}

    def read_catalog(self, fold: str, entity: str, columns: Sequence[str]) -> pa.Table:
        """Columns of a catalog.

        Raises:
            RunError: it cannot be read, or has no such columns.
        """
        path = self.catalog(fold, entity)
        with reading(path, self.again(fold, path)):
            return pq.read_table(path).select(columns)

    def read_calibration(self, tasks: Collection[str]) -> Mapping[str, Learned]:
        """What phase valid learned of the probabilities of tasks.

        Raises:
            RunError: the file cannot be read, or says nothing of one of them.
        """
        remedy = self.again("valid", self.calibration)
        kept: KeptCalibration = read_json(self.calibration, KeptCalibration, remedy)
        with reading(self.calibration, remedy):
            return {task: kept.tasks[task] for task in tasks}

    def kept_weights(self, fold: str) -> Path:
        """The file that says what the weights of a trained model are of."""
        return self.weights / f"{fold}.json"

    def read_init(self, fold: str) -> Beginning | None:
        """What the model of a fold began with; None where it began anew.

        Raises:
            RunError: the file cannot be read.
        """
        path = self.init / f"{fold}.json"
        return read_json(path, Beginning, self.again(fold, path)) if path.exists() else None

    def read_scores(self) -> dict[str, list[float | None]]:
        """Task -> its scores after each epoch of the validation phase, more being better; None = undefined.

        Raises:
            RunError: the file cannot be read.
        """
        kept: Scores = read_json(self.scores, Scores, self.again("valid", self.scores))
        return dict(kept.scores)

    def _phase(self, name: str) -> Path:
        return self.path / "phases" / f"{name}.json"

    def read_sums(self) -> Sums:
        """What each user adds to the metrics of the test.

        Raises:
            RunError: the run has not got so far, or the file cannot be read.
        """
        with reading(self.per_user, self.again("test", self.per_user)):
            return from_table(pq.read_table(self.per_user))

    def read_counters(self) -> dict[str, int]:
        """What was counted; nothing where nothing was.

        Raises:
            RunError: the file cannot be read.
        """
        remedy = "remove it, and counting begins anew"
        known: dict[str, int] = read_json(self.counters, dict[str, int], remedy) if self.counters.exists() else {}
        return {name: number for name, number in known.items() if name != "format"}

    def read_warnings(self, phase: str) -> list[str]:
        """What was not as it should be in a phase so far.

        Raises:
            RunError: the file cannot be read.
        """
        return self._warnings().get(phase, [])

    def _warnings(self) -> dict[str, list[str]]:
        if not self.warnings.exists():
            return {}
        known: Mapping[str, int | list[str]] = read_json(
            self.warnings, dict[str, int | list[str]], "remove it; what it said of training is lost"
        )
        return {phase: messages for phase, messages in known.items() if isinstance(messages, list)}

    def exported(self) -> bool:
        """Whether there is an export."""
        return bool(versions(self.export))

    def check_replicates(self, names: Collection[str]) -> None:
        """Compares the runs that are here with those that are asked for.

        Args:
            names: of the directories of several seeds or folds; none where one run is asked for.

        Raises:
            RunError: another number of seeds, or another split, is asked for.
        """
        known = [path.name for path in self.replicates()]
        if self.lock.exists() and names:
            raise RunError(
                f"{self.path}: holds one run, and {len(names)} ({', '.join(names)}) are asked for; resume with the "
                "--seeds that it was started with, or start anew in another --run-dir"
            )
        if missing := [name for name in known if name not in names]:
            raise RunError(
                f"{self.path}: holds {', '.join(known)}, of which {', '.join(missing)} is not asked for; resume with the "
                "--seeds that it was started with, or start anew in another --run-dir"
            )

    def read_history(self) -> list[dict[str, str]]:
        """The epochs so far.

        Raises:
            RunError: the file cannot be read.
        """
        if not self.history.exists():
            return []
        with reading(self.history, "remove it, and it begins with the next epoch"):
            with self.history.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, strict=True))
            if any(None in row or not row.keys() >= {"phase", "epoch"} for row in rows):
                raise ValueError("expected columns phase and epoch, and as many values as columns in each row")
        return rows
