"""How values are written: alike but for case, with zeros before them, or as words for nothing."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.profile.view import Values

#: What exports write where there is nothing, in lower case; hardly a name of anything.
NOTHING = ("na", "n/a", "#n/a", "nan", "null", "<na>", "nat", "nil", "\\n", "-", "--", "?", "??", "(not set)", "(none)")
#: Words that may be meant.
DOUBTFUL = ("none", "unknown", "undefined", "missing", "unspecified", "not available", "not specified", "n.a.")
#: Who is nobody, beside these.
NOBODY = ("anonymous", "anon", "guest", "test", "dummy", "default", "-1")
_DIGITS = r"^\d+$"


def folded(values: pa.Array) -> pa.Array:
    """Strings without what differs by chance: Unicode's NFKC, case folded, white space once between words and not at the ends."""
    if not pc.all(pc.string_is_ascii(values)).as_py():
        values = pa.array(
            [unicodedata.normalize("NFKC", value).casefold() for value in values.to_pylist()], pa.string()
        )
    return pc.replace_substring_regex(pc.utf8_lower(pc.utf8_trim_whitespace(values)), r"\s+", " ")


def alike(values: Values) -> tuple[int, tuple[str, ...]]:
    """How many values are the same as another one when folded, and examples of such pairs."""
    if not values.strings() or not len(values.values):
        return 0, ()
    plain = folded(values.values).dictionary_encode()
    code = np.asarray(plain.indices.to_numpy())
    times = np.bincount(code)
    several = times[code] > 1
    pairs = []
    for group in np.unique(code[several])[:3]:
        first = values.values.take(pa.array(np.flatnonzero(code == group)[:2])).to_pylist()
        pairs.append(" and ".join(map(ascii, first)))
    return int(np.count_nonzero(several)), tuple(pairs)


def words(values: Values, known: tuple[str, ...]) -> Values:
    """The values that are one of some words, whatever their case."""
    if not values.strings():
        return values.where(np.zeros(0, np.int64))
    found = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(values.values)), value_set=pa.array(known))
    return values.where(np.asarray(found, bool))


def forms(values: Values) -> np.ndarray:
    """What values are made of, int64 codes `[values]`: digits and letters, however many in a row, and other characters."""
    shape = pc.replace_substring_regex(values.values, r"\pL+", "A")
    shape = pc.replace_substring_regex(shape, r"\pN+", "9").dictionary_encode()
    return np.asarray(shape.indices.to_numpy(), np.int64)


def lost_zeros(values: Values) -> Values:
    """Numbers without a zero before them that others of their width have.

    That is known where another value is the same number, or where nearly all numbers with zeros have one width, which some
    without are short of.
    """
    none = values.where(np.zeros(0, np.int64))
    if not values.strings():
        return none
    digits = values.where(np.asarray(pc.match_substring_regex(values.values, _DIGITS), bool))
    text = digits.values
    length = np.asarray(pc.utf8_length(text))
    zeros = np.asarray(pc.starts_with(text, "0"), bool) & (length > 1)
    if not zeros.any() or zeros.all():
        return none
    bare = pc.utf8_ltrim(text, characters="0")
    same = np.asarray(pc.is_in(bare, value_set=bare.filter(pa.array(zeros))), bool) & ~zeros
    widths = np.bincount(length[zeros])
    short = ~zeros & (length < int(widths.argmax()))
    return digits.where(same | short if widths.max() >= 0.95 * np.count_nonzero(zeros) else same)
