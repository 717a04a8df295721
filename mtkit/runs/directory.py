"""The files of a run: held by one process, written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtkit.errors import RunError
from mtkit.files import refuse_link, whole, write_text
from mtkit.runs.claim import exclusive
from mtkit.runs.damage import read_json, reading
from mtkit.runs.kept_files import ANEW, KeptFiles
from mtkit.runs.results import DataRecord, PhaseResults, RunResults
from mtkit.shown import shown_values

FORMAT = 1

#: The key that names a run to begin with; among checksums it stands for the files of that run.
INIT_FROM = "train.init_from"


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


class RunDirectory(KeptFiles):
    """Where a run keeps what it did.

    Args:
        path: the directory; created on first write.

    Raises:
        RunError: there can be no such directory, as its name is too long.
    """

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

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """Holds the directory against other processes, whatever it has; see `mtkit.runs.claim`."""
        return exclusive(self.path, self.claim)

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

    def _resumable(self) -> bool:
        """Whether a run began here; one that was killed at once has written little."""
        if self.begun():
            return True
        return self.path.is_dir() and all(path == self.data or path.name[0] == "." for path in self.path.iterdir())

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
        record: DataRecord = read_json(self.data, DataRecord, ANEW)
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
        with reading(self.lock, ANEW):
            known = self.lock.read_text(encoding="utf-8")
        if known != lock:
            raise RunError(
                f"{self.path}: {self.lock.name} is of another recipe; resume with the recipe and the --set it was "
                "started with, or start anew in another --run-dir"
            )

    def write_phase(self, name: str, results: PhaseResults) -> None:
        """Marks a phase as complete. What baselines are set to is taken up again, and stands as it is."""
        plain = results.plain()
        write_json(self._phase(name), {**shown_values(plain), "tuned": plain["tuned"]})

    def write_metrics(self, results: RunResults) -> None:
        """Writes what was found, for people and other programs."""
        write_json(self.metrics, shown_values(results.plain()))

    def write_scores(self, scores: Mapping[str, Sequence[float]]) -> None:
        """Keeps what validation said after each epoch, which the training for the test repeats."""
        write_json(self.scores, {"scores": scores})

    def count(self, numbers: Mapping[str, int]) -> None:
        """Adds to the counters of this directory, over all runs in it."""
        known = self.read_counters()
        write_json(self.counters, {name: known.get(name, 0) + numbers.get(name, 0) for name in {**known, **numbers}})

    def write_warnings(self, phase: str, messages: Sequence[str]) -> None:
        """Keeps what was not as it should be in a phase: one that is resumed does not train the first epoch again."""
        write_json(self.warnings, self._warnings() | {phase: list(messages)})

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
