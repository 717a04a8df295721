"""The tokenizer of a checkpoint, without any deep learning framework."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mtkit.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def load_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    """The checkpoint's fast tokenizer, cutting texts to `max_tokens` with special tokens, and padding nothing.

    `tokenizer.json` is read as it is. Only without it transformers makes one from the vocabulary.

    Raises:
        DataError: there is neither `tokenizer.json` nor a vocabulary of a known kind.
    """
    from tokenizers import Tokenizer

    file = path / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else _converted(path)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _converted(path: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True).backend_tokenizer
    except (AttributeError, OSError, ValueError) as error:
        raise DataError(f"{path} has no tokenizer.json, and none can be made from its vocabulary: {error}") from error
