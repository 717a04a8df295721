"""Reads safetensors, and fills a network with them: every variable, from every tensor, or an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open

from mtkit.backend import keras, tf
from mtkit.errors import DataError
from mtkit_bert.checkpoint import weight_files
from mtkit_bert.configuration import read_config
from mtkit_bert.families import Family

# Checkpoints that were converted from TensorFlow 1 keep its names.
_OLD_NAMES = {".gamma": ".weight", ".beta": ".bias"}
# Constants that some checkpoints hold for each layer.
_BUFFERS = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")


class Tensors:
    """The tensors of a checkpoint directory, memory-mapped and read one by one. A context manager.

    Args:
        path: the checkpoint directory.
        prefix: removed from the beginning of names.

    Attributes:
        unread: names that were not read yet.

    Raises:
        DataError: there are no safetensors, or a file is damaged.
    """

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path = path
        self._stack = ExitStack()
        self._places: dict[str, tuple[Any, str]] = {}
        for file in weight_files(path):
            handle = self._stack.enter_context(_opened(file))
            self._places |= {_normal(name, prefix): (handle, name) for name in handle.keys()}  # noqa: SIM118
        self.unread = set(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def read(self, name: str, shape: Sequence[int]) -> np.ndarray:
        """The tensor as float32.

        Raises:
            DataError: it has another shape, or is not of a floating type.
        """
        handle, stored = self._places[name]
        view = handle.get_slice(stored)
        if list(view.get_shape()) != list(shape) or view.get_dtype() not in ("BF16", "F16", "F32", "F64"):
            raise DataError(
                f"{self.path}: tensor {stored} is {view.get_dtype()} {view.get_shape()}, "
                f"expected a floating type and {list(shape)}"
            )
        self.unread.discard(name)
        return handle.get_tensor(stored).astype(np.float32, copy=False)

    def __contains__(self, name: str) -> bool:
        return name in self._places


def from_checkpoint(network: type[keras.layers.Layer], path: Path, options: Mapping[str, Any]) -> Any:
    """A network of a checkpoint directory, with its weights.

    Args:
        network: `BertModel`, `DecoderModel` or `Gpt2Model`.
        path: a directory with `config.json` and `model.safetensors`.
        options: arguments of the constructor that replace those of `config.json` (`dropout`, `name`).

    Raises:
        DataError: a family of another network, a configuration that no network can have, or tensors that do not fit the
            network one to one.
    """
    family, config = read_config(path)
    if family.network != network.__name__:
        raise DataError(f"{path}: the checkpoint is a {family.network}, expected a {network.__name__}")
    _check_size(path, family, config)
    # Zeros draw nothing from the random state: a run with cached texts then trains like one without.
    try:
        model = network(**config | {"initializer": "zeros"} | options)
    except ValueError as error:  # of sizes that do not go together, or an unknown activation
        raise DataError(f"{path / 'config.json'}: {error}") from error
    model.build(tf.TensorShape([None, None]))
    assign(model, path, family)
    return model


def _check_size(path: Path, family: Family, config: Mapping[str, Any]) -> None:
    """Refuses a configuration of more numbers than the files can hold, before memory is asked for."""
    width = config["hidden_size"]
    rows = config["vocab_size"] + config.get("token_types", 0)
    rows += config["max_positions"] if "positions" in family.embeddings else 0
    needed = width * (rows + config["num_layers"] * config.get("intermediate_size", 4 * width))
    held = sum(file.stat().st_size for file in weight_files(path))
    if needed > held:  # a number takes a byte or more
        raise DataError(
            f"{path / 'config.json'}: the sizes ask for more than {needed:,} numbers, but the weights are {held:,} bytes; the "
            "configuration is of another checkpoint"
        )


def assign(model: keras.layers.Layer, path: Path, family: Family) -> None:
    """Fills every variable of a built model from the checkpoint.

    Raises:
        DataError: a tensor is missing, has another shape, or has no place in the network.
    """
    with Tensors(path, family.prefix) as tensors:
        found = sources(model, family)
        missing = [name for _, names, _ in found for name in names if name not in tensors]
        if missing:
            raise DataError(f"{path}: tensors are missing: {_listed(missing)}")
        for variable, names, transpose in found:
            variable.assign(_joined(tensors, names, variable.shape, transpose))
        unexpected = [
            name for name in tensors.unread if not (name.startswith(family.unused) or name.endswith(_BUFFERS))
        ]
        if unexpected:
            raise DataError(f"{path}: tensors without a place in the network: {_listed(unexpected)}")


def sources(model: keras.layers.Layer, family: Family) -> list[tuple[Any, list[str], bool]]:
    """Each variable of a built model, the tensors side by side of which it consists, and whether these are transposed."""
    return [source for part in _parts(model, family) for source in _sources(*part, transposed=family.transposed)]


def _parts(model: keras.layers.Layer, family: Family) -> Iterator[tuple[keras.layers.Layer, Sequence[str]]]:
    for name, module in family.embeddings.items():
        if getattr(model, name) is not None:
            yield getattr(model, name), (module,)
    for i, block in enumerate(model.blocks):
        for name, modules in family.layers.items():
            yield getattr(block, name), [family.block.format(i) + module for module in modules]


def _sources(
    layer: keras.layers.Layer, modules: Sequence[str], *, transposed: bool
) -> Iterator[tuple[Any, list[str], bool]]:
    """As `sources`, of one layer; linear layers of PyTorch are transposed."""
    linear = isinstance(layer, keras.layers.Dense) and transposed
    for variable, kind in zip(layer.weights, ("weight", "bias"), strict=False):
        yield variable, [f"{module}.{kind}" for module in modules], linear and kind == "weight"


def _joined(tensors: Tensors, names: Sequence[str], shape: Sequence[int], transpose: bool) -> np.ndarray:
    part = [*shape[:-1], shape[-1] // len(names)]
    if transpose:
        return np.concatenate([tensors.read(name, part[::-1]).T for name in names], axis=-1)
    return np.concatenate([tensors.read(name, part) for name in names], axis=-1)


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def _normal(name: str, prefix: str) -> str:
    name = name.removeprefix(prefix)
    for old, new in _OLD_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _listed(names: Sequence[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
