"""What tells whether data are those that a run began with: a hash of the tables, and of files that components read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from mtkit.data.prepared import kept_record
from mtkit.spec import Correlation, Encoder
from mtkit.types import Dataset


def checksums(encoders: Mapping[str, Encoder], correlations: Mapping[str, Correlation]) -> dict[str, str]:
    """Encoder, or `correlation.NAME` -> a hash of the files that it reads; what cannot be read is left to it to say."""
    found = {}
    files = {name: spec.files for name, spec in encoders.items()}
    files |= {f"correlation.{name}": spec.files for name, spec in correlations.items()}
    for name, paths in files.items():
        digest = hashlib.blake2b(digest_size=16)
        for path in filter(Path.is_file, paths):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        if paths:
            found[name] = digest.hexdigest()
    return found


def fingerprint(dataset: Dataset) -> str:
    """A hash of all tables' names, types and values."""
    if kept := kept_record(dataset):
        return kept.fingerprint
    digest = hashlib.blake2b(digest_size=16)
    for name, table in {"interactions": dataset.interactions, **dataset.entities}.items():
        digest.update(f"{name}:{table.schema.to_string()}".encode())
        for column in table.columns:
            values = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for buffer in values.combine_chunks().buffers():
                digest.update(b"" if buffer is None else buffer)
    return digest.hexdigest()
