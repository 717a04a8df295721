"""The loss of every row against a whole catalog, in blocks of items that caches hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mtkit.backend import tf

#: Logits looked at together. On a CPU, blocks of 2 MiB stay in its caches; on a GPU, what costs is to begin a block.
_BLOCK, _BLOCK_OF_GPU = 1 << 19, 1 << 24
#: Factors that are multiplied before their logarithm is taken, and up to which sum of them the product is a float.
_FACTORS, _LARGE = 32, 300.0
#: Up to which logit sums of exponentials are floats, and the least of such sums.
_SAFE, _LEAST = 70.0, 1e-37
#: The logit of what is not there.
NEVER = -1e9


class Catalog(NamedTuple):
    """What logits are made of: `query @ candidates.T + features @ terms.T`.

    Attributes:
        query: `[rows, dim]`.
        candidates: `[items, dim]`.
        terms: `[items, features]`; `NEVER` of an item that is not there.
        features: `[rows, features]`; constants.
        hidden: int32 `[n, 2]`, rows and items that are left out.
    """

    query: tf.Tensor
    candidates: tf.Tensor
    terms: tf.Tensor
    features: tf.Tensor
    hidden: tf.Tensor


def catalog_losses(catalog: Catalog, weights: tf.Tensor) -> tf.Tensor:
    """Σ log(1 + exp(logit)) + weight log Σ exp(logit) over the items of each row that are not hidden, float32 `[rows]`.

    Of an item, log(1 + exp(logit)) is known to 6e-8, the rounding of a float32 next to 1, and not to less where it is small.
    The gradient to a logit is sigmoid(logit) + weight softmax(logit), times that of the row's loss. One matrix of rows and
    items is kept for it.

    Args:
        catalog: what logits are made of, float32; gradients go to `query`, `candidates` and `terms`.
        weights: `[rows]`, of the second part, from 0 on; a constant.
    """

    @tf.custom_gradient
    def losses(query: tf.Tensor, candidates: tf.Tensor, terms: tf.Tensor) -> tuple[tf.Tensor, object]:
        blocks = _Blocks(Catalog(query, candidates, terms, catalog.features, catalog.hidden))
        softplus, total, kept = blocks.forward()
        return softplus + weights * total, lambda upstream: blocks.backward(kept, upstream, weights, total)

    result: tf.Tensor = losses(*catalog[:3])
    return result


class _Blocks:
    """The passes over blocks of items. Where no logit can be large, exponentials are kept, else the logits themselves."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.of_rows = tf.concat([catalog.query, catalog.features], 1)
        self.of_items = tf.concat([catalog.candidates, catalog.terms], 1)
        self.rows, self.items = tf.shape(catalog.query)[0], tf.shape(catalog.candidates)[0]
        most = _BLOCK_OF_GPU if tf.config.list_logical_devices("GPU") else _BLOCK
        self.size = tf.minimum(self.items, tf.maximum(1, most // _FACTORS // tf.maximum(1, self.rows)) * _FACTORS)
        self.count = -(-self.items // self.size)
        self.safe = tf.reduce_all(self._bounds() < _SAFE)

    def forward(self) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        """Σ log(1 + exp(logit)) and log Σ exp(logit), `[rows]` both; what is kept of the logits, by block."""

        def body(
            block: tf.Tensor, softplus: tf.Tensor, total: tf.Tensor, kept: tf.TensorArray
        ) -> tuple[tf.Tensor, ...]:
            logits = self._logits(block)
            values, softplus_of, total_of = tf.cond(
                self.safe, lambda: _summed_exponentials(logits), lambda: _summed_logits(logits)
            )
            return block + 1, softplus + softplus_of, _log_sum(total, total_of), kept.write(block, values)

        zeros = tf.zeros([self.rows])
        return self._over_blocks(body, zeros, zeros + NEVER, self._array([None, None]))

    def backward(
        self, kept: tf.TensorArray, upstream: tf.Tensor, weights: tf.Tensor, total: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Gradients to query, candidates and terms."""
        weights, total, upstream = weights[:, None], total[:, None], upstream[:, None]
        scale = weights * tf.exp(-tf.maximum(total, -_SAFE))
        of_rows = upstream * self.of_rows

        def body(block: tf.Tensor, query: tf.Tensor, of_items: tf.TensorArray) -> tuple[tf.Tensor, ...]:
            values = kept.read(block)
            slopes = tf.cond(
                self.safe,
                lambda: tf.nn.softsign(values) + scale * values,
                lambda: tf.sigmoid(values) + weights * tf.exp(values - total),
            )
            query += tf.matmul(slopes, self.catalog.candidates[self._of(block)])
            return block + 1, query, of_items.write(block, tf.matmul(slopes, of_rows, transpose_a=True))

        array = self._array([None, of_rows.shape[1]])
        query, of_items = self._over_blocks(body, tf.zeros_like(self.catalog.query), array)
        return upstream * query, *tf.split(of_items.concat(), [values.shape[1] for values in self.catalog[1:3]], 1)

    def _logits(self, block: tf.Tensor) -> tf.Tensor:
        """Those of a block, `[rows, items of it]`; `NEVER` where left out."""
        items, hidden = self._of(block), self.catalog.hidden
        logits = tf.matmul(self.of_rows, self.of_items[items], transpose_b=True)
        hidden = tf.boolean_mask(hidden, (hidden[:, 1] >= items.start) & (hidden[:, 1] < items.stop))
        hidden -= tf.stack([0, items.start])
        return tf.tensor_scatter_nd_update(logits, hidden, tf.fill(tf.shape(hidden)[:1], NEVER))

    def _bounds(self) -> tf.Tensor:
        """What no logit of a row exceeds, `[rows]`: the product of norms, beside the largest terms."""
        query, candidates, terms, features, _ = self.catalog
        norms = tf.norm(query, axis=1) * tf.reduce_max(tf.norm(candidates, axis=1))
        largest = tf.maximum(features * tf.reduce_max(terms, 0), features * tf.reduce_min(terms, 0))
        return norms + tf.reduce_sum(largest, 1)

    def _of(self, block: tf.Tensor) -> slice:
        """The items of a block."""
        return slice(block * self.size, tf.minimum((block + 1) * self.size, self.items))

    def _over_blocks(self, body: Callable[..., tuple[tf.Tensor, ...]], *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        _, *found = tf.while_loop(lambda block, *_: block < self.count, body, (0, *state))
        return tuple(found)

    def _array(self, shape: list[int | None]) -> tf.TensorArray:
        # Balancers may ask for several gradients, which read again what was kept.
        return tf.TensorArray(tf.float32, self.count, clear_after_read=False, element_shape=shape, infer_shape=False)


def _summed_exponentials(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The exponentials of a block; Σ log(1 + exp(logit)), as logarithms of products where that can be; log Σ exp(logit)."""
    exponentials = tf.exp(logits)
    sums = tf.reduce_sum(exponentials, 1)

    def products() -> tf.Tensor:
        rows, items = tf.unstack(tf.shape(logits))
        factors = tf.reshape(1.0 + exponentials, [rows, _FACTORS, items // _FACTORS])
        return tf.reduce_sum(tf.math.log(tf.reduce_prod(factors, 1)), 1)

    small = (tf.reduce_max(sums) < _LARGE) & (tf.shape(logits)[1] % _FACTORS == 0)
    softplus = tf.cond(small, products, lambda: tf.reduce_sum(tf.math.log1p(exponentials), 1))
    return exponentials, softplus, tf.math.log(tf.maximum(sums, _LEAST))


def _summed_logits(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The logits of a block, and the same sums of any."""
    return logits, tf.reduce_sum(tf.nn.softplus(logits), 1), tf.reduce_logsumexp(logits, 1)


def _log_sum(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """log(exp(one) + exp(other))."""
    return tf.maximum(one, other) + tf.math.log1p(tf.exp(-tf.abs(one - other)))
