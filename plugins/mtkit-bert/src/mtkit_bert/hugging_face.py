"""Checkpoints with masked language models, in and out, under the names that transformers gives them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from mtkit.backend import keras, tf
from mtkit.errors import DataError
from mtkit.files import new_version
from mtkit.spec import Trained
from mtkit_bert.checkpoint import TOKENIZER, WEIGHTS
from mtkit_bert.configuration import read_config, read_json
from mtkit_bert.language_heads import language_head
from mtkit_bert.masked_language_model import MaskedLanguageModelHead
from mtkit_bert.network import Network
from mtkit_bert.vocabulary import read_vocabulary
from mtkit_bert.weights import Tensors, sources


def load_head(path: Path, share: float, name: str) -> MaskedLanguageModelHead:
    """The masked language model head of a checkpoint, with its weights, or new ones if it has none.

    Args:
        path: the checkpoint directory.
        share: how many of a text's tokens are predicted.
        name: of the layer.

    Raises:
        DataError: there can be no such head, or its tensors do not fit.
    """
    names = language_head(path)
    family, config = read_config(path)
    vocabulary = read_vocabulary(path)
    head = MaskedLanguageModelHead(
        config["hidden_size"], config["vocab_size"], vocabulary.size, vocabulary.mask, vocabulary.special, share,
        activation=names.activation or config["activation"], epsilon=config["epsilon"], name=name,
    )  # fmt: skip
    head.build(None)
    with Tensors(path, family.prefix) as tensors:
        found = [tensor for tensor in names.tensors if tensor in tensors]
        if found and len(found) < len(names.tensors):
            missing = ", ".join(sorted(set(names.tensors) - set(found)))
            raise DataError(f"{path}: of the masked language model, tensors are missing: {missing}")
        for variable, tensor in zip(_variables(head), found, strict=False):
            value = tensors.read(tensor, variable.shape[::-1])
            variable.assign(value.T)
    return head


def save_checkpoint(network: Network, head: MaskedLanguageModelHead | None, origin: Path, directory: Path) -> Path:
    """Writes a network into a new version directory (1, 2, ...) under `directory`, whole or not at all, and returns it.

    Low-rank adapters are added to the kernels beside which they stand.

    Args:
        network: the network.
        head: its masked language model head, which is written along.
        origin: the checkpoint directory that the network came from, whose configuration and tokenizer it keeps.
        directory: holds the versions.

    Raises:
        RunError: the directory cannot be written.
    """
    config = read_json(origin / "config.json") | {"torch_dtype": "float32"}
    for key in ("dtype", "architectures"):
        config.pop(key, None)
    if head:
        config["architectures"] = [language_head(origin).architecture]

    def write(version: Path) -> None:
        save_file(dict(_tensors(network, head, origin)), version / WEIGHTS, {"format": "pt"})
        (version / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for name in TOKENIZER:
            if (origin / name).is_file():
                shutil.copyfile(origin / name, version / name)

    return new_version(directory, write)


def _variables(head: MaskedLanguageModelHead) -> list[tf.Variable]:
    """In the order of `LanguageHead.tensors`."""
    return [*head.dense.weights, *head.norm.weights, head.bias]


def _tensors(network: Network, head: MaskedLanguageModelHead | None, origin: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name -> tensor; transformers finds a network with a head under its family's prefix, and else without."""
    family, _ = read_config(origin)
    prefix, added = family.prefix if head else "", dict(_added(network))
    for variable, tensors, transpose in sources(network, family):
        value = variable.numpy() + added.get(id(variable), np.float32(0))
        for tensor, part in zip(tensors, np.split(value, len(tensors), axis=-1), strict=True):
            yield prefix + tensor, np.ascontiguousarray(part.T if transpose else part)
    if head:
        for variable, tensor in zip(_variables(head), language_head(origin).tensors, strict=True):
            yield tensor, np.ascontiguousarray(variable.numpy().T)


def _added(network: Network) -> Iterator[tuple[int, np.ndarray]]:
    """Id of a kernel -> what its low-rank adapter adds to it."""
    for block in network.blocks:
        for name, adapter in block.adapters.items():
            kernel: keras.layers.Layer = getattr(block, name).kernel
            yield id(kernel), adapter(tf.eye(kernel.shape[0]), tf.zeros(kernel.shape)).numpy()


def write_trained(pipeline: Trained, encoder: str, origin: Path, directory: Path) -> Path:
    """Writes the network of an encoder of a pipeline, and the first head that trains it as a masked language model.

    Args:
        pipeline: the trained pipeline.
        encoder: name of a `bert` encoder that trains.
        origin: the checkpoint directory that its network came from.
        directory: as for `save_checkpoint`.

    Raises:
        RunError: the directory cannot be written.
    """
    heads = (
        pipeline.model.heads[name]
        for name, spec in pipeline.plan.tasks.items()
        if getattr(spec, "encoder", None) == encoder and isinstance(pipeline.model.heads[name], MaskedLanguageModelHead)
    )
    return save_checkpoint(pipeline.model.encoders[encoder].network, next(heads, None), origin, directory)
