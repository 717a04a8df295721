"""The files of a run: written whole or not at all, and read again to resume, evaluate and export."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtkit.data.kept_weights import Beginning
from mtkit.errors import RecipeError, RunError
from mtkit.evaluation.calibration import Learned
from mtkit.evaluation.user_sums import Sums, from_table
from mtkit.files import held, holding, refuse_link, versions, whole, write_text, writing
from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.runs.damage import read_json, reading
from mtkit.runs.results import DataRecord, KeptCalibration, PhaseResults, RunResults, Scores
from mtkit.shown import shown_values

FORMAT = 1

#: The key that names a run to begin with; among checksums it stands for the files of that run.
INIT_FROM = "train.init_from"

#: What to do about a file that tells what the run is.
_ANEW = "restore it, or run the recipe anew in another --run-dir"

#: Bytes that the number of a process takes at most.
_LONGEST_ID = 32
_REPLICATE = re.compile(r"(seed|fold)-\d+")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes `value` under the format's number, whole or not at all."""
    write_text(path, to_json(value))


def to_json(value: Mapping[str, Any]) -> str:
    """`value` under the format's number; what is undefined (nan) is null, which JSON has."""
    return json.dumps({"format": FORMAT, **_defined(value)}, indent=2, allow_nan=False) + "\n"


def _defined(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _defined(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_defined(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_table(path: Path, table: pa.Table) -> None:
    """Writes a Parquet file whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    with whole(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)


class RunDirectory:
    """Where a run keeps what it did.

    Args:
        path: the directory; created on first write.

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
        self.scores = path / "scores.json"
        self.data = path / "data.json"
        self.counters = path / "counters.json"
        self.warnings = path / "warnings.json"
        self.calibration = path / "calibration.json"
        self.evidence = path / "evidence"
        self.found = self.evidence / "data.json"
        self.report = path / "report.html"
        self.claim = path / ".lock"
        try:
            self.lock.exists()
        except OSError as error:
            raise RunError(f"{path}: cannot be a run directory: {error.strerror}") from error

    @contextlib.contextmanager
    def claimed(self, resume: bool, *, resumable: bool = True) -> Iterator[None]:
        """Holds the directory against other processes; a dead process holds nothing.

        Args:
            resume: whether what is there is to be continued.
            resumable: whether it could be.

        Raises:
            RunError: another process holds it, it cannot be written, or cannot be used as asked; or it was removed or
                replaced meanwhile.
        """
        if resume and not self._resumable():
            raise RunError(f"{self.path}: nothing to resume: there is no {self.lock.name}; start without --resume")
        with self.exclusive():
            self._check_content(resume, resumable)
            yield

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds the directory against other processes, whatever it has; made anew, it goes if nothing is kept in it.

        Raises:
            RunError: another process holds it, it cannot be written, or it was removed or replaced meanwhile.
        """
        new = not self.path.exists()
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = self._locked()
        with holding(self.path):
            try:
                yield
            except BaseException:
                self._release(handle)
                if new and held(self.path) and not any(self.path.iterdir()):
                    self.path.rmdir()  # a mistake was found before there was anything to keep
                raise
            self._release(handle)

    def _release(self, handle: int) -> None:
        """Removes the lock file, unless the directory is another one now."""
        if held(self.path):
            self.claim.unlink(missing_ok=True)
        os.close(handle)

    def check_kept(self, lock: str) -> None:
        """Whether what `begin` wrote is still there when a run ends.

        Raises:
            RunError: it was removed, or another run's is in its place.
        """
        if not self.lock.is_file() or self.lock.read_text(encoding="utf-8") != lock:
            raise RunError(
                f"{self.path}: {self.lock.name} was removed or replaced while the run was at work, so what it found "
                "cannot be told to be its own; start anew in another --run-dir"
            )

    def _check_content(self, resume: bool, resumable: bool) -> None:
        """A new run begins in an empty directory; what is written and removed must not lie elsewhere."""
        if not resume and any(path != self.claim for path in self.path.iterdir()):
            rather = ", or continue it with --resume" if resumable else ""
            raise RunError(f"{self.path}: the directory is not empty; choose another with --run-dir{rather}")
        for folder, names, files in os.walk(self.path):
            for name in (*names, *files):
                refuse_link(Path(folder, name))

    def begun(self) -> bool:
        """Whether a run, or one of several, has anything here that another one would go on from."""
        return self.lock.exists() or bool(self.replicates())

    def _resumable(self) -> bool:
        """Whether a run began here; one that was killed at once has written little."""
        if self.begun():
            return True
        return self.path.is_dir() and all(path == self.data or path.name[0] == "." for path in self.path.iterdir())

    def _locked(self) -> int:
        """An open handle on the lock file, which holds the lock and our process id."""
        refuse_link(self.claim)
        while True:
            handle = os.open(self.claim, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK)
            self._check_own(handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(handle, _LONGEST_ID).decode() or "unknown"
                os.close(handle)
                raise RunError(
                    f"{self.path}: another run is at work here (process {holder}); wait for it, or choose another "
                    "--run-dir"
                ) from None
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(handle).st_ino == self.claim.stat().st_ino:
                    os.ftruncate(handle, 0)
                    os.write(handle, str(os.getpid()).encode())
                    return handle
            os.close(handle)  # its holder has just removed it

    def _check_own(self, handle: int) -> None:
        """Refuses a file at the place of the lock file that no run made: it would be emptied and removed."""
        found = os.fstat(handle)
        regular = stat.S_ISREG(found.st_mode) and found.st_nlink <= 1 and found.st_size <= _LONGEST_ID
        if not (regular and re.fullmatch(rb"\d*", os.pread(handle, _LONGEST_ID, 0))):
            os.close(handle)
            raise RunError(
                f"{self.claim}: was made by something else than a run; move it away, or choose another --run-dir"
            )

    def begin(self, lock: str, fingerprint: str, resume: bool, files: Mapping[str, str] = MappingProxyType({})) -> None:
        """Says whose directory it is: writes the recipe, the data's fingerprint and the checksums, or compares them.

        Args:
            lock: the recipe.
            fingerprint: of the data.
            resume: whether to compare.
            files: checksums of what encoders read, as of `checksums`.

        Raises:
            RunError: the directory holds another run, or data have changed.
        """
        if resume and self.lock.exists():
            self._check_same(lock)
            self.check_data(fingerprint, files)
            return
        write_json(self.data, {"fingerprint": fingerprint, "files": files})
        write_text(self.lock, lock)

    def withdraw(self) -> None:
        """Takes back `begin`, and what was found in the data, where nothing followed: the next try needs an empty directory."""
        begun, looked = {self.data, self.lock}, set(self.evidence.glob("*"))
        kept = {path for path in self.path.glob("*") if path.name[0] != "."}
        if begun <= kept <= begun | {self.evidence} and looked <= {self.found}:
            self.found.unlink(missing_ok=True)
            if self.evidence in kept:
                self.evidence.rmdir()
            self.lock.unlink()
            self.data.unlink()

    def read_lock(self) -> dict[str, Any]:
        """The tables of the lock as they are written, of which nothing is loaded.

        Raises:
            RunError: there is no run, or the file cannot be read.
        """
        self.check_run()
        with reading(self.lock, _ANEW):
            return tomllib.loads(self.lock.read_text(encoding="utf-8"))

    def read_fingerprint(self) -> str:
        """The fingerprint of the data that the run began with.

        Raises:
            RunError: the file cannot be read.
        """
        return read_json(self.data, DataRecord, _ANEW).fingerprint

    def read_recipe(self) -> Recipe:
        """The recipe that runs here, by its lock.

        Raises:
            RunError: it cannot be read, or asks for what is no longer there.
        """
        try:
            return load_recipe(self.lock)
        except RecipeError as error:
            raise RunError(f"{error}\n{self.lock}: cannot be used; {_ANEW}") from error

    def check_data(self, fingerprint: str, files: Mapping[str, str] = MappingProxyType({})) -> None:
        """Compares the data, and the checksums of what encoders read, with those of the run.

        Raises:
            RunError: they are not the same.
        """
        known = self.read_fingerprint()
        if known != fingerprint:
            raise RunError(
                f"{self.path}: the data have changed since the run began (fingerprint {known}, now {fingerprint}); "
                "restore them, or start anew in another --run-dir"
            )
        record: DataRecord = read_json(self.data, DataRecord, _ANEW)
        before = record.files
        for reader, checksum in files.items():
            if before.get(reader) != checksum:
                who = reader if "." in reader else f"encoder {reader!r}"
                what = f"{INIT_FROM} names" if reader == INIT_FROM else f"{who} reads"
                raise RunError(
                    f"{self.path}: the files that {what} are damaged, or others than when the run began "
                    f"(checksum {before.get(reader)}, now {checksum}); restore them, or start anew in another --run-dir"
                )

    def _check_same(self, lock: str) -> None:
        with reading(self.lock, _ANEW):
            known = self.lock.read_text(encoding="utf-8")
        if known != lock:
            raise RunError(
                f"{self.path}: {self.lock.name} is of another recipe; resume with the recipe and the --set it was "
                "started with, or start anew in another --run-dir"
            )

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

    def write_phase(self, name: str, results: PhaseResults) -> None:
        """Marks a phase as complete. What baselines are set to is taken up again, and stands as it is."""
        plain = results.plain()
        write_json(self._phase(name), {**shown_values(plain), "tuned": plain["tuned"]})

    def write_metrics(self, results: RunResults) -> None:
        """Writes what was found, for people and other programs."""
        write_json(self.metrics, shown_values(results.plain()))

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
        return RunDirectory(first).read_recipe()

    def check_begun(self) -> None:
        """Whether a run began here, or several.

        Raises:
            RunError: none did.
        """
        if not self.replicates():
            self.check_run()

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

    def write_scores(self, scores: Mapping[str, Sequence[float]]) -> None:
        """Keeps what validation said after each epoch, which the training for the test repeats."""
        write_json(self.scores, {"scores": scores})

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

    def count(self, numbers: Mapping[str, int]) -> None:
        """Adds to the counters of this directory, over all runs in it."""
        known = self.read_counters()
        write_json(self.counters, {name: known.get(name, 0) + numbers.get(name, 0) for name in {**known, **numbers}})

    def read_counters(self) -> dict[str, int]:
        """What was counted; nothing where nothing was.

        Raises:
            RunError: the file cannot be read.
        """
        remedy = "remove it, and counting begins anew"
        known: dict[str, int] = read_json(self.counters, dict[str, int], remedy) if self.counters.exists() else {}
        return {name: number for name, number in known.items() if name != "format"}

    def write_warnings(self, phase: str, messages: Sequence[str]) -> None:
        """Keeps what was not as it should be in a phase: one that is resumed does not train the first epoch again."""
        write_json(self.warnings, self._warnings() | {phase: list(messages)})

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

    def replicates(self) -> list[Path]:
        """The runs in a directory of several seeds, or of several folds."""
        found = [path for path in self.path.glob("*-*") if _REPLICATE.fullmatch(path.name) and path.is_dir()]
        return sorted(found, key=lambda path: int(path.name.partition("-")[2]))

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

    def append_history(self, row: Mapping[str, float | str]) -> None:
        """Adds an epoch to `history.csv`, in the place of a first try if it was repeated after a resume."""
        rows = self.read_history()
        key = (str(row["phase"]), str(row["epoch"]))
        rows = [r for r in rows if (r["phase"], r["epoch"]) != key] + [{k: str(v) for k, v in row.items()}]
        text = io.StringIO()
        columns = dict.fromkeys(name for r in rows for name in r)
        writer = csv.DictWriter(text, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.history, text.getvalue())

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
