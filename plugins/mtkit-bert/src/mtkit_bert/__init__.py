"""BERT-family text encoders for mtkit."""

from mtkit_bert.pretraining import HuggingFace, MaskedLanguageModel
from mtkit_bert.spec import Bert

__all__ = ["Bert", "HuggingFace", "MaskedLanguageModel"]
