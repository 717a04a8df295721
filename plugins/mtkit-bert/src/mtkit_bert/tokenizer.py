"""The tokenizer of a checkpoint, without any deep learning framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mtkit.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_VOCABULARIES = ("vocab.txt", "vocab.json", "sentencepiece.bpe.model", "tokenizer.model")


def load_tokenizer(path: Path, max_tokens: int, overlap: int = 0) -> Tokenizer:
    """The checkpoint's fast tokenizer, cutting texts to `max_tokens` with special tokens, and padding nothing.

    What it cuts off is in the `overflowing` windows of an encoding, each of which begins with the last `overlap` tokens of
    the window before. `tokenizer.json` is read as it is. Only without it transformers makes one from the vocabulary.

    Raises:
        DataError: there is neither a `tokenizer.json` that can be read nor a vocabulary of a known kind, or windows
            would not go on.
    """
    file = path / "tokenizer.json"
    tokenizer = _read(file) if file.is_file() else _converted(path)
    tokenizer.no_padding()
    room = max_tokens - tokenizer.num_special_tokens_to_add(is_pair=False)
    if overlap >= room:
        raise DataError(f"overlap is {overlap}, but {max_tokens} tokens of {path} hold only {room} of a text")
    tokenizer.enable_truncation(max_tokens, stride=overlap)
    return tokenizer


def _read(file: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        json.loads(text := file.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from error
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # the library raises no class of its own
        raise DataError(f"{file} is no tokenizer that can be read: {error}") from error


def _converted(path: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    if not any((path / name).is_file() for name in _VOCABULARIES):
        raise DataError(f"{path} has no tokenizer.json; write it there with save_pretrained of the tokenizer")
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False).backend_tokenizer
    except (AttributeError, OSError, ValueError) as error:
        raise DataError(f"{path} has no tokenizer.json, and none can be made from its vocabulary: {error}") from error
