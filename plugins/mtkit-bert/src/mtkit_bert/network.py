"""The network of a checkpoint, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtkit_bert.configuration import read_config
from mtkit_bert.decoder import DecoderModel
from mtkit_bert.gpt2 import Gpt2Model
from mtkit_bert.layers import BertModel

Network = BertModel | DecoderModel | Gpt2Model

#: Name in `Family.network` -> class.
NETWORKS: Mapping[str, type[Network]] = {
    "BertModel": BertModel,
    "DecoderModel": DecoderModel,
    "Gpt2Model": Gpt2Model,
}


def load_network(path: Path, **options: Any) -> Network:
    """The network of a checkpoint directory, with its weights.

    Args:
        path: a directory with `config.json` and `model.safetensors`.
        **options: arguments of the constructor that replace those of `config.json`.

    Raises:
        DataError: an unknown family, or tensors that do not fit the network one to one.
    """
    return NETWORKS[read_config(path)[0].network].from_checkpoint(path, **options)
