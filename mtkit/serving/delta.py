"""What changed between two exports: rows of weights and what is new of the graph, by which the later is made of the earlier.

A delta is a directory: `delta.json` (which export it goes on from, and what comes out, by checksums), `rows.index` and its
data, a checkpoint of rows of tensors, and `files/`, the graph and all else beside the weights, compressed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.files import new_version, versions, whole

FORMAT = 1
DESCRIPTION, ROWS, FILES = "delta.json", "rows", "files"
VARIABLES, GRAPH = Path("variables/variables"), "saved_model.pb"
#: Not copied: it speaks of how the weights are laid out, which is not what counts, and nothing needs it.
LEFT_OUT = "fingerprint.pb"
_DAMAGED = "is damaged; fetch it again"
_ROWS, _VALUES = "/.rows", "/.values"


@dataclass(frozen=True)
class Change:
    """What a tensor of the later export is made of.

    Attributes:
        kind: `same` as in the earlier one; `rows` of it are other, or new; or it is `new` as a whole.
        axis: along which rows are counted.
        size: rows that there are along it.
        changed: how many of them the delta has.
    """

    kind: Literal["same", "rows", "new"]
    axis: int = 0
    size: int = 0
    changed: int = 0


@dataclass(frozen=True)
class Delta:
    """What `delta.json` holds.

    Attributes:
        parent: checksum of the export that it goes on from.
        result: checksum of the export that comes out.
        tensors: name -> what becomes of it; those that are not named are gone.
        format: 1.
    """

    parent: str
    result: str
    tensors: dict[str, Change]
    format: int = FORMAT


def export_hash(export: Path) -> str:
    """A hash of an export: of its graph, and of the names, types, shapes and bytes of its tensors, however they are laid out.

    Raises:
        RunError: it cannot be read.
    """
    return _hash(_read(export / GRAPH), _tensors(export / VARIABLES))


def make_delta(earlier: Path, later: Path, out: Path) -> Delta:
    """Writes what changed between two exports, whole or not at all.

    Args:
        earlier: version directory of the one.
        later: version directory of the other.
        out: the directory to be made.

    Raises:
        RunError: an export cannot be read, they are the same, or `out` is there or cannot be written.
    """
    graphs = [_read(export / GRAPH) for export in (earlier, later)]
    old, new = (dict(_tensors(export / VARIABLES)) for export in (earlier, later))
    parent, result = (_hash(graph, of.items()) for graph, of in zip(graphs, (old, new), strict=True))
    if parent == result:
        raise RunError(f"{later}: is the same as {earlier}, so there is nothing to hand on")
    if out.exists():
        raise RunError(f"{out}: is there already; choose another directory")
    found = {name: _difference(name, old.get(name), tensor) for name, tensor in new.items()}
    delta = Delta(parent, result, {name: change for name, (change, _) in found.items()})
    with whole(out) as temporary:
        temporary.mkdir()
        _save(temporary / ROWS, {key: values for _, stored in found.values() for key, values in stored.items()})
        _pack(later, temporary / FILES)
        (temporary / DESCRIPTION).write_text(json.dumps(asdict(delta), indent=2) + "\n", encoding="utf-8")
    return delta


def read_delta(delta: Path) -> Delta:
    """What a delta says of itself.

    Raises:
        RunError: it is no delta, or damaged.
    """
    path = delta / DESCRIPTION
    if not path.is_file():
        raise RunError(f"{delta}: is no delta, for there is no {DESCRIPTION}; make one with `mtkit delta make`")
    try:
        told = TypeAdapter(Delta).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RunError(f"{path}: is no description of a delta: {str(error).splitlines()[0]}") from error
    if told.format != FORMAT:
        raise RunError(f"{path}: is of format {told.format}, and this reads {FORMAT}")
    return told


def apply_delta(delta: Path, exports: Path) -> Path:
    """Makes the version that comes after the latest one of an export, whole or not at all, and returns it.

    Args:
        delta: the directory of a delta.
        exports: holds versions, the latest of which is the parent of the delta.

    Raises:
        RunError: it is of another parent, damaged, or does not give what it says; or the version cannot be written.
    """
    told, numbers = read_delta(delta), versions(exports)
    if not numbers:
        raise RunError(f"{exports}: has no version of an export (a directory whose name is a number)")
    latest = exports / str(numbers[-1])
    if (found := export_hash(latest)) != told.parent:
        raise RunError(
            f"{delta}: goes on from another export than {latest} (checksum {told.parent}, here {found}); apply the "
            "deltas in their order, or copy the export as a whole"
        )
    try:
        changed = any(change.kind != "same" for change in told.tensors.values())
        stored = dict(_tensors(delta / ROWS)) if changed else {}
        tensors = dict(_applied(told, dict(_tensors(latest / VARIABLES)), stored))
    except (KeyError, IndexError, ValueError) as error:
        raise RunError(f"{delta}: {_DAMAGED}: it does not fit its description ({error})") from error

    def write(version: Path) -> None:
        _unpack(delta / FILES, version)
        if (made := _hash(_read(version / GRAPH), tensors.items())) != told.result:
            raise RunError(f"{delta}: {_DAMAGED}: it gives an export of checksum {made}, not {told.result}")
        (version / VARIABLES).parent.mkdir()
        _save(version / VARIABLES, tensors)

    return new_version(exports, write)


def _difference(name: str, old: np.ndarray | None, new: np.ndarray) -> tuple[Change, dict[str, np.ndarray]]:
    """What becomes of a tensor, and what a delta holds of it: key -> values."""
    if old is None or old.dtype != new.dtype or old.ndim != new.ndim:
        return Change("new"), {name: new}
    if old.shape == new.shape and _bytes(old) == _bytes(new):
        return Change("same"), {}
    found = [(axis, rows) for axis in range(new.ndim) if (rows := _other_rows(old, new, axis)) is not None]
    axis, rows = min(found, key=lambda one: len(one[1]) / new.shape[one[0]], default=(0, None))
    if rows is None or 2 * len(rows) >= new.shape[axis]:
        return Change("new"), {name: new}
    values = np.moveaxis(new, axis, 0)[rows]
    return Change("rows", axis, new.shape[axis], len(rows)), {name + _ROWS: rows, name + _VALUES: values}


def _other_rows(old: np.ndarray, new: np.ndarray, axis: int) -> np.ndarray | None:
    """Numbers of the rows along an axis that are other than before, or new; None where rows are gone, or of another shape."""
    before, now = np.moveaxis(old, axis, 0), np.moveaxis(new, axis, 0)
    if before.shape[1:] != now.shape[1:] or len(now) < len(before):
        return None
    differs = _bits(before) != _bits(now[: len(before)])
    other = differs.reshape(len(before), -1).any(1)
    return np.append(np.flatnonzero(other), np.arange(len(before), len(now)))


def _bits(values: np.ndarray) -> np.ndarray:
    """Values that are equal where the bits are, also of nan and of both zeros."""
    kinds = {2: np.uint16, 4: np.uint32, 8: np.uint64}
    return np.ascontiguousarray(values).view(kinds[values.itemsize]) if values.dtype.kind == "f" else values


def _applied(
    told: Delta, old: Mapping[str, np.ndarray], stored: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    for name, change in told.tensors.items():
        if change.kind == "same":
            yield name, old[name]
        elif change.kind == "new":
            yield name, stored[name]
        else:
            yield name, _with_rows(old[name], change, stored[name + _ROWS], stored[name + _VALUES])


def _with_rows(old: np.ndarray, change: Change, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    before = np.moveaxis(old, change.axis, 0)
    made = np.empty((change.size, *before.shape[1:]), old.dtype)
    made[: len(before)] = before
    made[rows] = values
    return np.moveaxis(made, 0, change.axis)


def _tensors(prefix: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name -> tensor of a checkpoint, in the order of their names; strings as objects."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in sorted(reader.get_variable_to_shape_map()):
            value = reader.get_tensor(name)
            # NumPy's own strings would lose the zeros at their ends.
            yield name, np.array(value, object) if isinstance(value, bytes) else np.asarray(value)
    except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:  # the reader's ways to say it
        raise RunError(f"{prefix}: cannot be read: {str(error).splitlines()[0]}") from error


def _save(prefix: Path, tensors: Mapping[str, np.ndarray]) -> None:
    names = list(tensors)
    if names:
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(tensors[name]) for name in names],
        )


def _hash(graph: bytes, tensors: Iterable[tuple[str, np.ndarray]]) -> str:
    digest = hashlib.blake2b(graph, digest_size=16)
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tensor.shape} ".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: np.ndarray) -> bytes:
    """The bytes of a tensor; of strings, each behind its length."""
    if tensor.dtype != object:
        return tensor.tobytes()
    return b"".join(len(text).to_bytes(8, "little") + text for text in tensor.ravel().tolist())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read: {error.strerror}; expected a version directory of an export"
        ) from error


def _pack(export: Path, folder: Path) -> None:
    """All files of an export but its weights, compressed."""
    for path in sorted(export.rglob("*")):
        relative = path.relative_to(export)
        if path.is_file() and relative.parts[0] != VARIABLES.parts[0] and path.name != LEFT_OUT:
            target = folder / f"{relative}.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def _unpack(folder: Path, version: Path) -> None:
    for path in sorted(folder.rglob("*.gz")):
        target = version / path.relative_to(folder).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.write_bytes(gzip.decompress(path.read_bytes()))
        except (OSError, EOFError, zlib.error) as error:
            raise RunError(f"{path}: {_DAMAGED}: {error}") from error
