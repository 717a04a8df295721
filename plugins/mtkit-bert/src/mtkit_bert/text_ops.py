"""A tokenizer in the graph: texts to token ids by operations of TensorFlow itself."""

from __future__ import annotations

from collections.abc import Sequence

from mtkit.backend import tf
from mtkit_bert.wordpiece import ISOLATED, ORDINARY, PAGE, SPACE, Tables


class WordPieceOps(tf.Module):
    """WordPiece as the tokenizer that the tables were made of, cut to a number of tokens.

    All characters of all texts are one flat axis. Each of them finds the longest token that begins at it by a walk
    through the trie, all at once; then the pieces of each word are those that are reached from its beginning.

    Args:
        tables: the tokenizer.
        max_tokens: length of a window, the tokens around every text included.
        padding: id behind the tokens of shorter texts.
        chunks: the largest number of windows of a text; with more than one, all have `max_tokens` ids, side by side.
        overlap: how many tokens a window shares with the one before it.
    """

    def __init__(self, tables: Tables, max_tokens: int, padding: int, chunks: int = 1, overlap: int = 0) -> None:
        super().__init__()
        # Pairs: a dictionary with keys other than strings could not be saved.
        self._special, self._normalized = (
            tuple((symbol, tuple(spelling)) for symbol, spelling in spellings.items())
            for spellings in (tables.special, tables.normalized)
        )
        self._unknown, self._longest = tables.unknown, tables.longest
        self._before, self._after = list(tables.before), list(tables.after)
        self._limit = max_tokens - len(self._before) - len(self._after)
        self._size, self._chunks, self._overlap = max_tokens, chunks, overlap
        self._padding, self._nodes = padding, len(tables.kinds)
        held = ("pages", "entries", "starts", "counts", "blank", "symbols", "kinds", "tokens")
        self.held = {name: tf.Variable(getattr(tables, name), trainable=False, name=name) for name in held}
        edges = tf.lookup.KeyValueTensorInitializer(*(tf.constant(side) for side in tables.edges.T))
        self.edges = tf.lookup.StaticHashTable(edges, -1)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Token ids int32 `[texts, tokens]` of strings in UTF-8 `[texts]`; padding alone where there is no text."""
        decoded = tf.strings.unicode_decode(texts, "UTF-8")
        entry = self._entry(decoded.values)
        there = tf.RaggedTensor.from_row_splits(~self._of("blank", entry), decoded.row_splits)
        symbol, row = self._symbols(decoded.values, entry, decoded.value_rowids())
        ids, row = self._pieces(symbol, row)
        pieces = tf.RaggedTensor.from_value_rowids(ids, row, decoded.nrows())
        whole = self._window(pieces, 0) if self._chunks == 1 else self._windows(pieces)
        return tf.where(tf.reduce_any(there, 1)[:, None], whole, self._padding)

    def _windows(self, pieces: tf.RaggedTensor) -> tf.Tensor:
        """Token ids int32 `[texts, chunks * max_tokens]`; padding alone where the window before reaches the end."""
        step, windows = self._limit - self._overlap, []
        for start in range(0, self._chunks * step, step):
            window = self._window(pieces, start)
            window = tf.pad(window, [[0, 0], [0, self._size - tf.shape(window)[1]]], constant_values=self._padding)
            goes_on = pieces.row_lengths() > start + self._overlap
            windows.append(tf.where(goes_on[:, None] | (start == 0), window, self._padding))
        return tf.concat(windows, 1)

    def _window(self, pieces: tf.RaggedTensor, start: int) -> tf.Tensor:
        around = (tf.tile([part], [pieces.nrows(), 1]) for part in (self._before, self._after))
        before, after = (tf.RaggedTensor.from_tensor(part) for part in around)
        return tf.concat([before, pieces[:, start : start + self._limit], after], 1).to_tensor(self._padding)

    def _of(self, name: str, index: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.held[name], index)

    def _entry(self, codes: tf.Tensor) -> tf.Tensor:
        return tf.gather_nd(self.held["entries"], tf.stack([self._of("pages", codes // PAGE), codes % PAGE], 1))

    def _symbols(self, codes: tf.Tensor, entry: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Symbols of code points, each with its row."""
        special, covered = _specials(self._special, codes, row)
        count = tf.where(special >= 0, 1, tf.where(covered, 0, self._of("counts", entry)))
        place = tf.repeat(tf.range(tf.size(codes)), count)
        nth = tf.range(tf.size(place)) - tf.gather(tf.cumsum(count, exclusive=True), place)
        own = self._of(
            "symbols", self._of("starts", tf.gather(entry, place)) + tf.where(_at(special, place) >= 0, 0, nth)
        )
        symbol = tf.where(_at(special, place) >= 0, _at(special, place), own)
        return self._merged(symbol, tf.gather(row, place))

    def _merged(self, symbol: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The same, with one symbol for each special token that is there now that the text is normalized."""
        if not self._normalized:
            return symbol, row
        special, covered = _specials(self._normalized, symbol, row)
        kept = (special >= 0) | ~covered
        return tf.boolean_mask(tf.where(special >= 0, special, symbol), kept), tf.boolean_mask(row, kept)

    def _pieces(self, symbol: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids of tokens, each with its row."""
        kind = self._of("kinds", symbol)
        before = tf.where(_shifted(row, -1, -1) == row, _shifted(kind, -1, SPACE), SPACE)
        begins = (kind == ISOLATED) | ((kind == ORDINARY) & (before != ORDINARY))
        symbol, row, begins = (tf.boolean_mask(values, kind != SPACE) for values in (symbol, row, begins))
        word = tf.cumsum(tf.cast(begins, tf.int32)) - 1
        token, length = self._matches(symbol, begins, word)
        reached = _reached(begins, word, length)
        words = tf.reduce_sum(tf.cast(begins, tf.int32))
        stuck = tf.math.unsorted_segment_max(tf.cast(reached & (length == 0), tf.int32), word, words) > 0
        lost = stuck | (tf.math.unsorted_segment_sum(tf.ones_like(word), word, words) > self._longest)
        lost = tf.gather(lost, word)
        kept = tf.where(lost, begins, reached)
        return tf.boolean_mask(tf.where(lost, self._unknown, token), kept), tf.boolean_mask(row, kept)

    def _matches(self, symbol: tf.Tensor, begins: tf.Tensor, word: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The longest token that begins at each symbol and ends in its word, with its length, 0 where there is none."""
        nodes, wide = tf.constant(self._nodes, tf.int64), tf.cast(symbol, tf.int64)

        def step(depth: tf.Tensor, at: tf.Tensor, node: tf.Tensor, token: tf.Tensor, length: tf.Tensor) -> tuple:
            following = self.edges.lookup(node * nodes + tf.gather(wide, at + depth))
            ends = self._of("tokens", tf.maximum(following, 0))
            ends = tf.where(following >= 0, ends, -1)
            found = at[:, None][ends >= 0]
            token = tf.tensor_scatter_nd_update(token, found, ends[ends >= 0])
            length = tf.tensor_scatter_nd_update(length, found, tf.fill(tf.shape(found)[:1], depth + 1))
            beyond = at + depth + 1
            goes_on = (following >= 0) & (_at(word, tf.minimum(beyond, tf.size(word) - 1)) == _at(word, at))
            goes_on &= beyond < tf.size(word)
            return depth + 1, at[goes_on], following[goes_on], token, length

        at, none = tf.range(tf.size(symbol)), tf.zeros_like(symbol)
        start = (0, at, tf.cast(~begins, tf.int64), none, none)
        shapes = tuple(tf.TensorShape([None] * rank) for rank in (0, 1, 1, 1, 1))
        *_, token, length = tf.while_loop(lambda _, at, *__: tf.size(at) > 0, step, start, shapes)
        return token, length


def _specials(
    spellings: Sequence[tuple[int, Sequence[int]]], values: tf.Tensor, row: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The symbol of the special token that begins at each of the values, or -1; and whether one lies over it."""
    symbol, covered = tf.fill(tf.shape(values), -1), tf.zeros_like(values, tf.bool)
    for number, spelling in spellings:
        begins = (symbol < 0) & ~covered
        for offset, value in enumerate(spelling):
            begins &= (_shifted(values, offset, -1) == value) & (_shifted(row, offset, -1) == row)
        symbol = tf.where(begins, number, symbol)
        for offset in range(len(spelling)):
            covered |= _shifted(begins, -offset, value=False)
    return symbol, covered


def _reached(begins: tf.Tensor, word: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Where pieces begin: at the beginning of a word, and behind each piece that does not end it."""

    def step(at: tf.Tensor, reached: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        beyond = at + _at(length, at)
        inside = (beyond > at) & (beyond < tf.size(word))
        inside &= _at(word, tf.minimum(beyond, tf.size(word) - 1)) == _at(word, at)
        at = beyond[inside]
        return at, tf.tensor_scatter_nd_update(reached, at[:, None], tf.ones_like(at, tf.bool))

    at = tf.cast(tf.where(begins)[:, 0], tf.int32)
    shapes = (tf.TensorShape([None]), tf.TensorShape([None]))
    return tf.while_loop(lambda at, _: tf.size(at) > 0, step, (at, begins), shapes)[1]


def _at(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    return tf.gather(values, index)


def _shifted(values: tf.Tensor, offset: int, value: object) -> tf.Tensor:
    """Entry i is entry i + `offset` of the values, or `value` where there is none."""
    size = tf.size(values)
    fill = tf.fill([abs(offset)], tf.cast(value, values.dtype))
    return tf.concat([values, fill], 0)[offset:] if offset >= 0 else tf.concat([fill, values], 0)[:size]
