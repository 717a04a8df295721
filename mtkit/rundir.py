"""The files of a run: written whole or not at all, and read again to resume, evaluate and export."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtkit.errors import RunError
from mtkit.types import Dataset

FORMAT = 1


def write_text(path: Path, text: str) -> None:
    """Writes the file whole or not at all.

    Raises:
        RunError: the directory cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes `value` under the format's number, whole or not at all."""
    write_text(path, json.dumps({"format": FORMAT, **value}, indent=2) + "\n")


class RunDirectory:
    """Where a run keeps what it did.

    Args:
        path: the directory; created on first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "recipe.lock.toml"
        self.metrics = path / "metrics.json"
        self.history = path / "history.csv"
        self.checkpoints = path / "checkpoints"
        self.export = path / "export"
        self.rows = path / "rows"
        self.entities = path / "entities"
        self.features = path / "features"
        self.data = path / "data.json"

    def begin(self, lock: str, fingerprint: str, resume: bool) -> None:
        """Claims the directory for a recipe on these data, or takes up the run that is there.

        Raises:
            RunError: the directory holds another run, or nothing that could be resumed, or data have changed.
        """
        if resume:
            self._check_same(lock)
            self.check_data(fingerprint)
            return
        if self.path.exists() and any(self.path.iterdir()):
            raise RunError(
                f"{self.path}: the directory is not empty; choose another with --run-dir, or continue it with --resume"
            )
        write_json(self.data, {"fingerprint": fingerprint})
        write_text(self.lock, lock)

    def check_data(self, fingerprint: str) -> None:
        """Compares the data with those of the run.

        Raises:
            RunError: they are not the same.
        """
        known = json.loads(self.data.read_text(encoding="utf-8"))["fingerprint"]
        if known != fingerprint:
            raise RunError(
                f"{self.path}: the data have changed since the run began (fingerprint {known}, now {fingerprint}); "
                "restore them, or start anew in another --run-dir"
            )

    def _check_same(self, lock: str) -> None:
        if not self.lock.exists():
            raise RunError(f"{self.path}: nothing to resume: there is no {self.lock.name}; start without --resume")
        if self.lock.read_text(encoding="utf-8") != lock:
            raise RunError(
                f"{self.path}: {self.lock.name} is of another recipe; resume with the recipe and the --set it was "
                "started with, or start anew in another --run-dir"
            )

    def read_phase(self, name: str) -> dict[str, Any] | None:
        """The results of a phase that is complete; None if it is not."""
        path = self._phase(name)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def write_phase(self, name: str, results: Mapping[str, Any]) -> None:
        """Marks a phase as complete."""
        write_json(self._phase(name), results)

    def _phase(self, name: str) -> Path:
        return self.path / "phases" / f"{name}.json"

    def append_history(self, row: Mapping[str, float | str]) -> None:
        """Adds an epoch to `history.csv`; an epoch that was repeated after a resume takes the place of the first try."""
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
        """The epochs so far."""
        if not self.history.exists():
            return []
        with self.history.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def fingerprint(dataset: Dataset) -> str:
    """A hash of all tables' names, types and values."""
    digest = hashlib.blake2b(digest_size=16)
    for name, table in {"interactions": dataset.interactions, **dataset.entities}.items():
        digest.update(f"{name}:{table.schema.to_string()}".encode())
        for column in table.columns:
            values = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for buffer in values.combine_chunks().buffers():
                digest.update(b"" if buffer is None else buffer)
    return digest.hexdigest()


def write_table(path: Path, table: pa.Table) -> None:
    """Writes a Parquet file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, temporary)
    temporary.replace(path)
