"""Recommendations to all users of a run, as shards of Parquet that are made once: what was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.files import refuse_link, sweep, writing
from mtkit.runs.damage import read_json
from mtkit.runs.directory import RunDirectory, write_json, write_table
from mtkit.runs.recommend import ALL_EVENTS, open_export

SHARD = 1 << 16
"""Users of a shard."""
MOST_SCORES = 1 << 25
"""Scores that are held at once: users of a batch times items, 128 MiB."""
MOST_USERS = 1 << 10
"""Users of a batch."""
_ANEW = "choose another --out"


@dataclass(frozen=True)
class Asked:
    """What `batch.json` says that the shards of a directory are.

    Attributes:
        export: version of the export.
        checksum: of its graph and its weights.
        users: how many.
        k: items of each list, or as many as there are.
        exclude_seen: whether items of the own past are left out.
        shard: users of a shard.
        format: 1.
    """

    export: int
    checksum: str
    users: int
    k: int
    exclude_seen: bool
    shard: int
    format: int = 1


@dataclass(frozen=True)
class Done:
    """What was done.

    Attributes:
        users: for whom lists were made now.
        kept: users whose lists were there.
        damaged: shards that were there and could not be used, and so were made anew.
        seconds: what it took, without loading the model.
    """

    users: int
    kept: int
    damaged: tuple[str, ...]
    seconds: float


class Batch:
    """Lists for all users of a run, by its latest export.

    Args:
        run: the run directory.
        k: items of each list.
        exclude_seen: whether items of the own past are left out.
        shard: users of a shard.

    Raises:
        RunError: this is no run, nothing was exported, a file is damaged, or the model recommends nothing to a user alone.
    """

    def __init__(self, run: Path, k: int, *, exclude_seen: bool = False, shard: int = SHARD) -> None:
        directory = RunDirectory(run)
        export, self._loaded = open_export(directory)
        if "recommend" not in self._loaded.signatures:
            raise RunError(f"{run}: the model has no retrieval task, so there is nothing that it could recommend")
        schema = directory.read_recipe().data.source.schema()
        self._user, self._item = list(schema.roles)[:2]
        self._users = _ids(directory, schema.roles[self._user])
        items = _ids(directory, schema.roles[self._item])
        self._item_type = items.type
        self._batch = max(1, min(MOST_USERS, MOST_SCORES // max(len(items), 1)))
        self.asked = Asked(int(export.name), export_checksum(export), len(self._users), k, exclude_seen, shard)
        self._answer = self._loaded.signatures["recommend"]
        self._check_inputs(run)

    def _check_inputs(self, run: Path) -> None:
        """A request of all users knows users alone."""
        wanted = set(self._answer.structured_input_signature[1])
        known = {f"{self._user}_id", "k", "exclude_ids"}
        if more := sorted(name for name in wanted - known if not name.startswith("filter_")):
            raise RunError(
                f"{run}: lists of this model depend on {', '.join(more)} of the request, which users alone do not say"
            )
        self._fixed = {"k": tf.constant(self.asked.k)}
        self._fixed |= {name: tf.zeros([1, 0], tf.string) for name in wanted if name.startswith("filter_")}

    def write(self, out: Path, advance: Callable[[int], None] = lambda _users: None) -> Done:
        """Makes the shards that are not there, or not whole, and the description beside them.

        Args:
            out: a directory, which is new or holds shards of the same kind.
            advance: is told for how many users more there are lists.

        Raises:
            RunError: the directory holds something else, or cannot be written; or scores are not finite.
        """
        self._take(out)
        begin, made, damaged = time.perf_counter(), 0, []
        for number, users in enumerate(self._shards()):
            path = out / f"part-{number:05}.parquet"
            if why := _unfit(path, users):
                damaged += [f"{path.name}: {why}"] * path.exists()
                write_table(path, self._table(users, advance))
                made += len(users)
            else:
                advance(len(users))
        return Done(made, len(self._users) - made, tuple(damaged), time.perf_counter() - begin)

    def _take(self, out: Path) -> None:
        """Says what the directory holds, or compares."""
        refuse_link(out)
        told = out / "batch.json"
        if told.is_file():
            there: Asked = read_json(told, Asked, _ANEW)
            other = [name for name, value in asdict(self.asked).items() if value != getattr(there, name)]
            if other:
                what = ", ".join(
                    f"{name} = {getattr(there, name)!r} (now {getattr(self.asked, name)!r})" for name in other
                )
                raise RunError(f"{out}: has lists of another kind: {what}; {_ANEW}")
            with writing(out):
                sweep(out)
            return
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(f"{out}: expected a new directory, or one with lists of this command; {_ANEW}")
        write_json(told, {name: value for name, value in asdict(self.asked).items() if name != "format"})

    def _shards(self) -> Iterator[pa.Array]:
        yield from (
            self._users.slice(start, self.asked.shard) for start in range(0, len(self._users), self.asked.shard)
        )

    def _table(self, users: pa.Array, advance: Callable[[int], None]) -> pa.Table:
        """A row for each user: the id, and the list, best first."""
        batches = []
        for start in range(0, len(users), self._batch):
            some = users.slice(start, self._batch)
            batches.append(self._listed(some))
            advance(len(some))
        return pa.concat_tables(batches)

    def _listed(self, users: pa.Array) -> pa.Table:
        names = tf.constant(np.asarray(pc.cast(users, pa.string()).to_numpy(zero_copy_only=False), object))
        asked = {f"{self._user}_id": names}
        answer = self._answer(**asked, **self._fixed, exclude_ids=self._excluded(asked))
        items, scores = (answer[key].numpy() for key in (f"{self._item}_ids", "scores"))
        there = items != b""
        if not (np.abs(scores[there]) < np.finfo(np.float32).max).all():
            raise RunError(
                "scores are not finite, for training diverged; train anew with a smaller train.learning_rate"
            )
        offsets = pa.array(np.append(0, np.cumsum(there.sum(1))).astype(np.int32))
        found = pa.array(items[there], pa.binary()).cast(pa.string()).cast(self._item_type)
        return pa.table(
            {
                f"{self._user}_id": users,
                f"{self._item}_ids": pa.ListArray.from_arrays(offsets, found),
                "scores": pa.ListArray.from_arrays(offsets, pa.array(scores[there])),
            }
        )

    def _excluded(self, asked: dict[str, Any]) -> tf.Tensor:
        """Items of the own past, strings `[users, n]`, where they are left out."""
        if not self.asked.exclude_seen:
            return tf.zeros([1, 0], tf.string)
        past = self._loaded.signatures["past"](**asked, k=tf.constant(ALL_EVENTS))
        return tf.where(past["seen"], past[f"{self._item}_ids"], "")


def _ids(directory: RunDirectory, entity: str) -> pa.Array:
    """The ids of an entity, without the unknown."""
    return directory.read_catalog("test", entity, ("id",))["id"].combine_chunks()[1:]


def export_checksum(export: Path) -> str:
    """A hash of an export: of its graph, and of the index of its weights, which has a checksum of each."""
    digest = hashlib.blake2b(digest_size=16)
    for name in ("saved_model.pb", "variables/variables.index"):
        digest.update((export / name).read_bytes())
    return digest.hexdigest()


def _unfit(path: Path, users: pa.Array) -> str:
    """Why a shard has to be made; empty if it is there, whole, and of these users."""
    if not path.is_file() or path.is_symlink():
        return "is missing"
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        return str(error).splitlines()[0]
    return "" if table.column(0).combine_chunks().equals(users) else "is of other users"
