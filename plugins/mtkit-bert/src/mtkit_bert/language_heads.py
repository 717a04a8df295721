"""What families call the parts of their masked language model heads (no TensorFlow)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtkit.errors import DataError
from mtkit_bert.configuration import read_json


@dataclass(frozen=True)
class LanguageHead:
    """Names of a family.

    Attributes:
        architecture: class of transformers with the head.
        dense: module of the dense layer.
        norm: module of the normalization.
        bias: tensor of the biases of the vocabulary.
        activation: of the dense layer; None = that of the network.
    """

    architecture: str
    dense: str
    norm: str
    bias: str
    activation: str | None = None

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors, in the order of the head's variables."""
        modules = (f"{module}.{kind}" for module in (self.dense, self.norm) for kind in ("weight", "bias"))
        return (*modules, self.bias)


def _roberta(name: str) -> LanguageHead:
    return LanguageHead(f"{name}ForMaskedLM", "lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "gelu")


_TRANSFORM = "cls.predictions.transform"
#: `model_type` of `config.json` -> names.
LANGUAGE_HEADS: Mapping[str, LanguageHead] = {
    "bert": LanguageHead("BertForMaskedLM", f"{_TRANSFORM}.dense", f"{_TRANSFORM}.LayerNorm", "cls.predictions.bias"),
    "roberta": _roberta("Roberta"),
    "xlm-roberta": _roberta("XLMRoberta"),
    "camembert": _roberta("Camembert"),
    "distilbert": LanguageHead("DistilBertForMaskedLM", "vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    "mpnet": _roberta("MPNet"),
}


def language_head(path: Path) -> LanguageHead:
    """The names of a checkpoint's head.

    Raises:
        DataError: its family has no masked language model, or predicts tokens by other vectors than it reads them by.
    """
    config = read_json(path / "config.json")
    names = LANGUAGE_HEADS.get(str(config.get("model_type")))
    if names is None:
        raise DataError(
            f"{path}: model_type {config.get('model_type')!r} has no masked language model; expected one of "
            f"{', '.join(LANGUAGE_HEADS)}"
        )
    if not config.get("tie_word_embeddings", True):
        raise DataError(
            f"{path}: tie_word_embeddings is false, but tokens can only be predicted by the word embeddings that read them"
        )
    return names
