"""What a tokenizer's ids stand for, as far as masking asks (no TensorFlow)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtkit.errors import DataError
from mtkit_bert.tokenizer import load_tokenizer

_MASKS = ("[MASK]", "<mask>")
#: Tokens that stand for no part of a text, whether or not the tokenizer's file says so.
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *_MASKS, "<s>", "</s>", "<pad>", "<unk>")
_SHORTEST = 3


@dataclass(frozen=True)
class Vocabulary:
    """Token ids by their use.

    Attributes:
        size: number of ids that the tokenizer has.
        mask: the id that stands for a token to be predicted.
        special: ids that stand for no part of a text, `mask` and the unknown token among them; sorted.
    """

    size: int
    mask: int
    special: tuple[int, ...]


def read_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary of a checkpoint directory.

    Raises:
        DataError: it has no mask token, or no tokenizer that can be read.
    """
    tokenizer, declared = load_tokenizer(path, _SHORTEST), dict(_declared(path))
    added = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    # MPNet's vocabulary has both, and its tokenizer adds the one that it masks with.
    names = (declared.get("mask_token"), *sorted(_MASKS, key=lambda name: tokenizer.token_to_id(name) not in added))
    mask = next((known for name in names if name and (known := tokenizer.token_to_id(name)) is not None), None)
    if mask is None:
        raise DataError(
            f"{path}: the tokenizer has no mask token ({' or '.join(_MASKS)}), which tokens to be predicted are replaced "
            "by; expected a checkpoint of the BERT family"
        )
    named = {tokenizer.token_to_id(name) for name in (*_SPECIAL, *declared.values())} - {None}
    return Vocabulary(tokenizer.get_vocab_size(), mask, tuple(sorted(named | added | {mask})))


def _declared(path: Path) -> Iterator[tuple[str, str]]:
    """Role (`mask_token`) -> token, as the files beside the tokenizer name them."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        file = path / name
        values: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        for role, token in values.items():
            content = token.get("content") if isinstance(token, dict) else token
            if role.endswith("_token") and isinstance(content, str):
                yield role, content
