"""A layer that cleans texts by operations of TensorFlow itself, so that what is served is what was trained."""

from __future__ import annotations

import functools
import html
import itertools
import unicodedata
from collections.abc import Callable
from html.entities import html5
from typing import Any

from mtkit.backend import keras, tf

_DROPPED = r"(?is)<!--.*?-->|<script\b.*?</script\s*>|<style\b.*?</style\s*>"
_TAG = r"</?[A-Za-z][^<>]*>|<![A-Za-z][^<>]*>"
_ENTITY = r"(&(?:[A-Za-z][A-Za-z0-9]*|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});)"
_URL = r"(?i)\b(?:https?://|www\.)[^\s<>\"]+"
_SPACE = r"[\p{Z}\p{Cc}]+"
_SPLIT = "\x00"
_CONTROLS = [ord(html.unescape(f"&#{number};")) for number in range(0x80, 0xA0)]
"""What browsers read for the numbers of control characters."""
_PLANES = 0x30000
"""Code points from here on have no compatibility forms."""
_WIDE = 1 << 21
_COMPOSED = 3
"""How many marks behind a letter become one character with it."""


@keras.saving.register_keras_serializable(package="mtkit")
class CleanText(keras.layers.Layer):
    """Strings in UTF-8 `[rows]` to strings `[rows]`: cleaned in the order of the arguments, without spaces around and in a row.

    Args:
        html: whether comments, scripts and tags become spaces, and entities that end with `;` the characters that they stand
            for, as `html.unescape` has them.
        urls: whether addresses that begin with `http://`, `https://` or `www.` become spaces.
        unicode: whether each character becomes what it is under NFKC, and a letter with up to three marks behind it the one
            character that it is there, where marks are in their canonical order.
        lower: whether letters become lower-case.
        **kwargs: of the Keras layer.
    """

    def __init__(
        self, html: bool = True, urls: bool = False, unicode: bool = True, lower: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.html, self.urls, self.unicode, self.lower = html, urls, unicode, lower
        self._entities: Any = _table(_named_entities(), "") if html else None
        self._characters: Any = _table(_spellings()[0], -1) if unicode else None
        self._pairs: Any = _table(_compositions(), -1) if unicode else None

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Cleans texts."""
        # A byte 0 is no part of a text, and marks here where texts are split.
        texts = tf.strings.regex_replace(tf.strings.unicode_transcode(inputs, "UTF-8", "UTF-8"), _SPLIT, " ")
        if self.html:
            texts = tf.strings.regex_replace(tf.strings.regex_replace(texts, _DROPPED, " "), _TAG, " ")
            texts = _changed(texts, f"(?s).*{_ENTITY}.*", self._unescaped)
        if self.urls:
            texts = tf.strings.regex_replace(texts, _URL, " ")
        if self.unicode:
            texts = _changed(texts, r"(?s).*[^\x00-\x7F].*", self._normalized)
        if self.lower:
            texts = tf.strings.lower(texts, encoding="utf-8")
        return tf.strings.strip(tf.strings.regex_replace(texts, _SPACE, " "))

    def _unescaped(self, texts: tf.Tensor) -> tf.Tensor:
        """Texts with characters in the place of entities."""
        marked = tf.strings.regex_replace(texts, _ENTITY, rf"{_SPLIT}\1{_SPLIT}")
        pieces = tf.strings.split(marked, _SPLIT)
        parts = pieces.flat_values
        known = self._entities.lookup(tf.where(tf.strings.regex_full_match(parts, _ENTITY), parts, ""))
        made = tf.where(known != "", known, _numbered(parts))
        return tf.strings.reduce_join(pieces.with_flat_values(made), -1)

    def _normalized(self, texts: tf.Tensor) -> tf.Tensor:
        """Texts under NFKC, as far as it goes."""
        codes = self._spelled(tf.strings.unicode_decode(texts, "UTF-8"))
        for _ in range(_COMPOSED):
            codes = self._composed(codes)
        return tf.strings.unicode_encode(codes, "UTF-8")

    def _spelled(self, codes: tf.RaggedTensor) -> tf.RaggedTensor:
        """Code points with those in the place of one that it is under NFKC, `[rows, n]`."""
        values, row = codes.flat_values, codes.value_rowids()
        entry = self._characters.lookup(tf.cast(values, tf.int64))
        starts, symbols = (tf.constant(of, tf.int32) for of in _spellings()[1:])
        known = tf.maximum(tf.cast(entry, tf.int32), 0)
        start = tf.gather(starts, known)
        count = tf.where(entry >= 0, tf.gather(starts, known + 1) - start, 1)
        each = tf.ragged.range(count)
        place = each.value_rowids()
        spelled = tf.gather(symbols, tf.gather(start, place) + each.flat_values)
        found = tf.where(tf.gather(entry >= 0, place), spelled, tf.gather(values, place))
        return tf.RaggedTensor.from_value_rowids(found, tf.gather(row, place), codes.nrows())

    def _composed(self, codes: tf.RaggedTensor) -> tf.RaggedTensor:
        """The same code points with one in the place of two that are one."""
        values, row = codes.flat_values, codes.value_rowids()
        beyond = tf.cast(tf.concat([values[1:], values[:1]], 0), tf.int64)
        same = tf.concat([row[1:] == row[:-1], tf.zeros_like(row[:1], tf.bool)], 0)
        found = self._pairs.lookup(tf.cast(values, tf.int64) * _WIDE + beyond)
        joined = same & (found >= 0)
        joined &= ~tf.concat([tf.zeros_like(joined[:1]), joined[:-1]], 0)
        kept = ~tf.concat([tf.zeros_like(joined[:1]), joined[:-1]], 0)
        values = tf.where(joined, tf.cast(found, tf.int32), values)
        return tf.RaggedTensor.from_value_rowids(values[kept], row[kept], codes.nrows())

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"html": self.html, "urls": self.urls, "unicode": self.unicode, "lower": self.lower}
        return {**super().get_config(), **own}


def _changed(texts: tf.Tensor, pattern: str, change: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """The texts, changed where they are as the pattern says: most are not, and changes take time."""
    places = tf.where(tf.strings.regex_full_match(texts, pattern))
    return tf.tensor_scatter_nd_update(texts, places, change(tf.gather_nd(texts, places)))


def _numbered(parts: tf.Tensor) -> tf.Tensor:
    """Parts of texts, those that are entities by number as the characters of these."""
    digits = tf.strings.regex_replace(parts, r"^&#[xX]?|;$", "")
    hexadecimal = tf.strings.regex_full_match(parts, r"&#[xX][0-9A-Fa-f]{1,6};")
    numbered = hexadecimal | tf.strings.regex_full_match(parts, r"&#[0-9]{1,7};")
    codes = tf.strings.unicode_decode(tf.where(numbered, tf.strings.lower(digits), ""), "UTF-8")
    values = tf.where(codes > ord("9"), codes - ord("a") + 10, codes - ord("0"))
    power = tf.repeat(codes.row_lengths(), codes.row_lengths()) - 1 - tf.ragged.range(codes.row_lengths()).flat_values
    base = tf.gather(tf.where(hexadecimal, 16, 10), codes.value_rowids())
    weighted = tf.cast(values.flat_values, tf.int64) * tf.cast(base, tf.int64) ** power
    number = tf.reduce_sum(codes.with_flat_values(weighted), -1)
    number = tf.where(
        (number >= 0x80) & (number < 0xA0),
        tf.gather(tf.constant(_CONTROLS, tf.int64), tf.clip_by_value(number - 0x80, 0, 31)),
        number,
    )
    valid = (number < 0x110000) & ~((number >= 0xD800) & (number < 0xE000)) & (number > 0)
    made = tf.strings.unicode_encode(tf.cast(tf.where(valid, number, 0xFFFD), tf.int32)[:, None], "UTF-8")
    return tf.where(numbered, made, parts)


def _table(entries: dict[Any, Any], default: Any) -> tf.lookup.StaticHashTable:
    keys, values = tf.constant(list(entries)), tf.constant(list(entries.values()))
    if keys.dtype != tf.string:
        keys = tf.constant(list(entries), tf.int64)
    if values.dtype != tf.string:
        values = tf.constant(list(entries.values()), tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), default)


@functools.cache
def _named_entities() -> dict[str, str]:
    """`&name;` -> its characters."""
    return {f"&{name}": characters for name, characters in html5.items() if name.endswith(";")}


@functools.cache
def _spellings() -> tuple[dict[int, int], list[int], list[int]]:
    """What code points are under NFKC, where that is something else: their numbers; where each begins; all, one after another."""
    codes = (code for code in range(_PLANES) if not 0xD800 <= code < 0xE000)
    made = ((code, unicodedata.normalize("NFKC", chr(code))) for code in codes)
    other = {code: characters for code, characters in made if characters != chr(code)}
    starts = [0, *itertools.accumulate(map(len, other.values()))]
    return {code: number for number, code in enumerate(other)}, starts, [ord(c) for c in "".join(other.values())]


@functools.cache
def _compositions() -> dict[int, int]:
    """Pairs of code points -> the one that they are together; a pair is first * 2²¹ + second."""
    pairs: dict[int, int] = {}
    for code in range(_PLANES):
        apart = "" if 0xD800 <= code < 0xE000 else unicodedata.normalize("NFD", chr(code))
        first = unicodedata.normalize("NFC", apart[:-1])
        if len(first) == 1 and unicodedata.normalize("NFC", apart) == chr(code):
            pairs[ord(first) * _WIDE + ord(apart[-1])] = code
    return pairs
