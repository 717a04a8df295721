"""A WordPiece tokenizer as tables: what each code point becomes, and a trie of the vocabulary (no TensorFlow).

The tables are not made after a description of the tokenizer, but by asking it what it makes of every code point, so that
they follow the version of Unicode, and the deviations from it, that it has.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Kinds of symbols: part of a word, a word of its own, between words.
ORDINARY, ISOLATED, SPACE = range(3)
#: Code points of a page of `Tables.pages`.
PAGE = 256

#: Symbols of a code point, and whether a text of such code points alone is no text.
Entry = tuple[tuple[int, ...], bool]

_CODES, _SURROGATES = 0x110000, range(0xD800, 0xE000)
_NAMES = {"normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer", "model": "WordPiece"}
# Symbols that are in no token of the vocabulary, one of each kind.
_UNKNOWN = (ORDINARY, ISOLATED, SPACE)


@dataclass(frozen=True)
class Tables:
    """A tokenizer as arrays. Symbols are numbers of what texts consist of once normalized.

    Attributes:
        pages: int32 `[code points / PAGE]`, number of the page in `entries`.
        entries: int32 `[pages, PAGE]`, number of an entry for each code point.
        starts: int32 `[entries]`, where the entry begins in `symbols`.
        counts: int32 `[entries]`, of its symbols.
        blank: bool `[entries]`, whether a text of such code points alone is no text.
        symbols: int32, symbols of all entries.
        kinds: int32 `[symbols]`, `ORDINARY`, `ISOLATED` or `SPACE`.
        edges: int64 `[edges, 2]`: node · number of symbols + symbol, and the node that follows. Node 0 is the beginning
            of a word, node 1 that of a later piece.
        tokens: int32 `[nodes]`, id of the token that ends at a node, or -1.
        special: symbol of a special token -> its code points, the longest first.
        normalized: the same for those that are looked for once texts are normalized, with symbols for code points.
        unknown: id for words that the vocabulary cannot spell.
        longest: largest number of symbols of a word that is not unknown.
        before: ids that stand before every text.
        after: ids that stand behind it.
    """

    pages: np.ndarray
    entries: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    blank: np.ndarray
    symbols: np.ndarray
    kinds: np.ndarray
    edges: np.ndarray
    tokens: np.ndarray
    special: Mapping[int, Sequence[int]]
    normalized: Mapping[int, Sequence[int]]
    unknown: int
    longest: int
    before: Sequence[int]
    after: Sequence[int]


def refusal(tokenizer: Tokenizer) -> str:
    """Why a tokenizer cannot be had as tables; empty if it can."""
    described = json.loads(tokenizer.to_str())
    for part, name in _NAMES.items():
        found = (described[part] or {}).get("type")
        if found != name:
            return f"its {part.replace('_', '-')} is {found or 'none'}, expected {name}"
    if problem := _added_refusal(tokenizer):
        return problem
    normalize = tokenizer.normalizer.normalize_str
    marks = [char for char in sorted(_alphabet(tokenizer)) if unicodedata.combining(char)]
    for one, other in permutations(marks, 2):
        if normalize(f"a{one}{other}") != f"a{normalize(one)}{normalize(other)}":
            return (
                f"its vocabulary has marks whose order normalization changes, U+{ord(one):04X} and U+{ord(other):04X}"
            )
    return ""


def _added_refusal(tokenizer: Tokenizer) -> str:
    """As `refusal`, of the added tokens. Whether one takes the spaces before it is all the same: they end words anyway."""
    for token in _added(tokenizer):
        spelled = _spelled(tokenizer, token)
        if token["rstrip"] or token["single_word"] or (token["normalized"] and spelled.split() != [spelled]):
            return f"its added token {token['content']!r} is not matched by its characters alone"
    for normalized in (False, True):
        contents = [_spelled(tokenizer, token) for token in _added(tokenizer) if token["normalized"] == normalized]
        for one, other in product(contents, contents):
            ends = (one[cut:] for cut in range(1, len(one)))
            if contents.count(one) > 1 or any(other.startswith(end) or end.startswith(other) for end in ends):
                return f"its added tokens {one!r} and {other!r} can overlap"
    return ""


def make_tables(tokenizer: Tokenizer) -> Tables:
    """The tables of a tokenizer for which `refusal` has nothing to say; truncation and padding are left out."""
    model = json.loads(tokenizer.to_str())["model"]
    alphabet = sorted(_alphabet(tokenizer))
    kind_of = _kinds(tokenizer, set(alphabet))
    numbers = {char: number for number, char in enumerate(alphabet, len(_UNKNOWN))}
    first = len(_UNKNOWN) + len(alphabet)
    special = {first + place: token for place, token in enumerate(_added(tokenizer))}
    kinds = [*_UNKNOWN, *(kind_of[char] for char in alphabet), *(ISOLATED for _ in special)]
    trie = _Trie(len(kinds))
    for token, number in tokenizer.get_vocab(with_added_tokens=False).items():
        trie.insert(0, [numbers[char] for char in token], number)
        if token.startswith(prefix := model["continuing_subword_prefix"]):
            trie.insert(1, [numbers[char] for char in token.removeprefix(prefix)], number)
    for symbol, token in special.items():
        trie.insert(0, [symbol], token["id"])
    before, after = _around(tokenizer)
    spelled = {symbol: _spelled(tokenizer, token) for symbol, token in special.items()}
    longest_first = sorted(special, key=lambda symbol: -len(spelled[symbol]))
    normalized = [symbol for symbol in longest_first if special[symbol]["normalized"]]
    return Tables(
        **_entries(tokenizer, numbers),
        kinds=np.array(kinds, np.int32),
        edges=np.array(list(trie.edges.items()), np.int64),
        tokens=np.array(trie.tokens, np.int32),
        special={symbol: [*map(ord, spelled[symbol])] for symbol in longest_first if symbol not in normalized},
        normalized={symbol: [numbers[char] for char in spelled[symbol]] for symbol in normalized},
        unknown=tokenizer.token_to_id(model["unk_token"]),
        longest=model["max_input_chars_per_word"],
        before=before,
        after=after,
    )


class _Trie:
    """Tokens as paths from node 0 or 1."""

    def __init__(self, symbols: int) -> None:
        self._symbols = symbols
        self.edges: dict[int, int] = {}
        self.tokens = [-1, -1]

    def insert(self, node: int, path: Sequence[int], token: int) -> None:
        if not path:
            return
        for symbol in path:
            following = self.edges.setdefault(node * self._symbols + symbol, len(self.tokens))
            if following == len(self.tokens):
                self.tokens.append(-1)
            node = following
        self.tokens[node] = token


def _added(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    return json.loads(tokenizer.to_str())["added_tokens"]


def _spelled(tokenizer: Tokenizer, token: Mapping[str, Any]) -> str:
    """What an added token is found by."""
    return tokenizer.normalizer.normalize_str(token["content"]) if token["normalized"] else token["content"]


def _alphabet(tokenizer: Tokenizer) -> set[str]:
    added = (_spelled(tokenizer, token) for token in _added(tokenizer) if token["normalized"])
    return {char for token in (*tokenizer.get_vocab(with_added_tokens=False), *added) for char in token}


def _entries(tokenizer: Tokenizer, numbers: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The part of `Tables` that says what code points become, without the same entry or the same page twice.

    Args:
        tokenizer: is asked what it makes of code points.
        numbers: character of the vocabulary -> symbol.
    """
    pages = [range(start, start + PAGE) for start in range(0, _CODES, PAGE)]
    alike = {page.start: entry for page in pages if (entry := _alike(tokenizer, page, numbers)) is not None}
    others = [code for page in pages if page.start not in alike for code in page if code not in _SURROGATES]
    known: dict[Entry, int] = {}
    table = np.zeros([len(pages), PAGE], np.int32)
    for start, entry in alike.items():
        table[start // PAGE] = known.setdefault(entry, len(known))
    for code, entry in _one_by_one(tokenizer, others, numbers):
        table[divmod(code, PAGE)] = known.setdefault(entry, len(known))
    distinct = {row.tobytes(): row for row in table}
    places = {content: place for place, content in enumerate(distinct)}
    counts = np.array([len(symbols) for symbols, _ in known], np.int32)
    return {
        "pages": np.array([places[row.tobytes()] for row in table], np.int32),
        "entries": np.stack(list(distinct.values())),
        "starts": (np.cumsum(counts) - counts).astype(np.int32),
        "counts": counts,
        "blank": np.array([blank for _, blank in known]),
        "symbols": np.array([symbol for symbols, _ in known for symbol in symbols], np.int32),
    }


def _alike(tokenizer: Tokenizer, page: range, numbers: Mapping[str, int]) -> Entry | None:
    """What all code points of a page become, if they vanish, or if the vocabulary has none of them.

    The latter are letters, or ideographs, which normalization puts between spaces.
    """
    chars = "".join(chr(code) for code in page if code not in _SURROGATES)
    # Letters between them keep marks apart, which would else be put into order.
    spread = "".join(f"{char}a" for char in chars)
    if re.search(r"\s", chars):
        return None
    normal = tokenizer.normalizer.normalize_str(spread)
    if normal == "a" * len(chars):
        return (), False
    if not numbers.keys().isdisjoint(chars):
        return None
    if normal == "".join(f" {char} a" for char in chars):
        return (SPACE, ORDINARY, SPACE), False
    is_one_word = normal == spread and len(tokenizer.pre_tokenizer.pre_tokenize_str(spread)) == 1
    return ((ORDINARY,), False) if is_one_word else None


def _one_by_one(tokenizer: Tokenizer, codes: Sequence[int], numbers: Mapping[str, int]) -> Iterator[tuple[int, Entry]]:
    """Code points with what each becomes."""
    normalized = {code: tokenizer.normalizer.normalize_str(chr(code)) for code in codes}
    kinds = _kinds(tokenizer, {char for text in normalized.values() for char in text})
    for code, text in normalized.items():
        yield code, (tuple(numbers.get(char, kinds[char]) for char in text), chr(code).isspace())


def _kinds(tokenizer: Tokenizer, chars: set[str]) -> dict[str, int]:
    """How the pre-tokenizer splits at each character."""
    ordered = sorted(chars)
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str("a" + "".join(f"{char}a" for char in ordered))
    kinds = dict.fromkeys(ordered, SPACE)
    for _, (begin, end) in pieces:
        alone = end - begin == 1
        for place in range(begin | 1, end, 2):
            kinds[ordered[place // 2]] = ISOLATED if alone else ORDINARY
    return kinds


def _around(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids before and behind every text, by what the tokenizer puts around one."""
    alone, around = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
    (place,) = _places(around, alone)
    return around[:place], around[place + len(alone) :]


def _places(ids: Sequence[int], part: Sequence[int]) -> Iterator[int]:
    return (place for place in range(len(ids)) if ids[place : place + len(part)] == part)
