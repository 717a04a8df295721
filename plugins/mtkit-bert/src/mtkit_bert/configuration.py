"""`config.json` of checkpoints as arguments of networks, checked before anything is made of them (no TensorFlow)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mtkit.errors import DataError
from mtkit_bert.families import FAMILIES, Family

_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")

_Size = Annotated[int, Field(gt=0, lt=2**31)]
_Rate = Annotated[float, Field(ge=0, lt=1)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Arguments(BaseModel):
    """What the networks of all families take, as far as a configuration says it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    vocab_size: _Size
    hidden_size: _Size
    num_layers: _Size
    num_heads: _Size
    max_positions: _Size
    intermediate_size: _Size = 1
    num_kv_heads: _Size = 1
    head_dim: Annotated[int, Field(gt=0, lt=2**31, multiple_of=2)] = 2
    token_types: Annotated[int, Field(ge=0, lt=2**31)] = 0
    position_padding: Annotated[int, Field(ge=0, lt=2**31)] = 0
    relative_buckets: Annotated[int, Field(ge=4, lt=2**31, multiple_of=2)] = 4
    activation: str
    epsilon: _Positive
    dropout: _Rate = 0
    attention_dropout: _Rate = 0
    embedding_dropout: _Rate = 0
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    rope_theta: _Positive = 1
    rope_scaling: Mapping[str, _Positive] | None = None


def read_json(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{file}: expected an object, got {type(value).__name__}")
    return value


def read_config(path: Path) -> tuple[Family, dict[str, Any]]:
    """The family of a checkpoint directory, and the arguments of its network.

    Raises:
        DataError: the checkpoint is of another family, or its configuration lacks a key, or says what no network can be.
    """
    file = path / "config.json"
    config = read_json(file)
    kind = config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise DataError(f"{file}: model_type {kind!r} is not known; readable are {', '.join(sorted(FAMILIES))}")
    for key, value in family.expected.items():
        if config.get(key, value) != value:
            raise DataError(f"{file}: {key} {config[key]!r}, expected {value!r}")
    keys = {**family.config, **({"position_padding": "pad_token_id"} if family.counts_positions else {})}
    missing = sorted(key for key in keys.values() if key not in config)
    if missing:
        raise DataError(f"{file}: keys {', '.join(missing)} are missing; they are needed to build the network")
    arguments = {name: config[key] for name, key in keys.items()} | dict(family.fixed)
    arguments |= {name: config[key] for name, key in family.optional.items() if config.get(key) is not None}
    if family.network == "DecoderModel":
        arguments |= _rotary(file, config)
    _check(file, arguments, {**family.optional, **keys})
    return family, arguments


def _check(file: Path, arguments: Mapping[str, Any], keys: Mapping[str, str]) -> None:
    """Refuses arguments that are of another type, out of range, or do not go together."""
    try:
        _Arguments.model_validate(dict(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        message = first["msg"].removeprefix("Input should be ")
        raise DataError(f"{file}: {keys.get(name, name)}: expected {message}, got {_shown(first['input'])}") from None
    width, heads, shared = arguments["hidden_size"], arguments["num_heads"], arguments.get("num_kv_heads", 1)
    if heads % shared:
        raise DataError(f"{file}: {keys['num_heads']} {heads} is not a multiple of {keys['num_kv_heads']} {shared}")
    if "head_dim" in arguments:
        return
    if width % heads:
        raise DataError(f"{file}: {keys['hidden_size']} {width} is not a multiple of {keys['num_heads']} {heads}")
    if "rope_theta" in arguments and width // heads % 2:
        raise DataError(f"{file}: heads are {width // heads} wide, and rotary positions need an even width")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _rotary(file: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary positions, as versions of transformers before 5 write them and as later ones do; positions that see all."""
    parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(parameters, dict):
        raise DataError(f"{file}: rotary positions are {_shown(parameters)}, expected an object")
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind not in ("default", "llama3"):
        raise DataError(f"{file}: rotary positions of type {kind!r}, expected 'default' or 'llama3'")
    if kind == "llama3" and (missing := [key for key in _LLAMA3 if key not in parameters]):
        raise DataError(f"{file}: rotary positions lack {', '.join(missing)}")
    scaling = {key: parameters[key] for key in _LLAMA3} if kind == "llama3" else None
    positions = [config["max_position_embeddings"]]
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        positions.append(config["sliding_window"])
    theta = parameters.get("rope_theta", config.get("rope_theta", 10000.0))
    whole = all(isinstance(position, int) for position in positions)
    return {"rope_theta": theta, "rope_scaling": scaling, "max_positions": min(positions) if whole else positions[-1]}
