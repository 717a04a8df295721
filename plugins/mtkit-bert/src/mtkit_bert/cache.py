"""Vectors of texts on disk, by content: safe with several runs at once, and usable after any of them was killed."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mtkit.errors import DataError, RunError
from mtkit.files import whole
from mtkit.shown import shown

#: Changes when files of an older layout, or vectors of an older computation, must not be read.
FORMAT = 2

_KEY_BYTES = 16
_NAME = re.compile(r"[0-9a-f]{32}")


class VectorCache:
    """A directory of shards. A shard is an `.npy` file of records (key, vector), and is never changed.

    A shard is written beside the others under another name and then renamed, so that readers see it whole or not at
    all. Its name is the checksum of its bytes, which is compared whenever it is read: a damaged shard is removed with a
    warning, and its texts are computed anew. Files of other names are left alone. Runs that compute the same texts at
    once write the same shard; the last one stays.

    Args:
        directory: holds the vectors of one encoder; is created by the first `add`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors of those texts that are here, float32 `[width]` each."""
        wanted = {_key(text): text for text in texts}
        found: dict[str, np.ndarray] = {}
        for shard in self._shards():
            for row, key in enumerate(shard["key"].tolist()):
                if key in wanted:
                    found[wanted[key]] = shard["vector"][row]
        return found

    def _shards(self) -> Iterator[np.ndarray]:
        for file in sorted(self.directory.glob("*.npy")):
            if not _NAME.fullmatch(file.stem):
                continue
            try:
                content = file.read_bytes()
            except OSError:  # another run has removed it
                continue
            if _checksum(content) == file.stem:
                yield np.load(io.BytesIO(content), allow_pickle=False)
            else:
                file.unlink(missing_ok=True)
                message = f"{file} is damaged: its content is not that of its checksum; it is removed and computed anew"
                warnings.warn(shown(message), stacklevel=2)

    def add(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Writes one shard.

        Args:
            texts: distinct texts.
            vectors: float32 `[texts, width]`.

        Raises:
            DataError: the directory cannot be written.
        """
        shard = np.empty(len(texts), [("key", f"V{_KEY_BYTES}"), ("vector", np.float32, vectors.shape[1:])])
        shard["key"] = [np.void(_key(text)) for text in texts]
        shard["vector"] = vectors
        try:
            self._write(shard)
        except RunError as error:
            raise DataError(
                f"vectors of texts cannot be kept: {error}; the environment variable MTKIT_CACHE names another directory"
            ) from error

    def _write(self, shard: np.ndarray) -> None:
        stream = io.BytesIO()
        np.save(stream, shard, allow_pickle=False)
        content = stream.getvalue()
        with whole(self.directory / f"{_checksum(content)}.npy") as temporary, temporary.open("xb") as file:
            file.write(content)


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_KEY_BYTES).hexdigest()


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
