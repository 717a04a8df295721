"""The masked language model: hides tokens of an encoder's texts, and predicts them by the encoder's own network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mtkit.backend import keras, tf
from mtkit.heads import SelfSupervisedHead
from mtkit_bert.layers import ACTIVATIONS, LayerNorm
from mtkit_bert.masking import Masked, Masking, hashed
from mtkit_bert.trainable import TrainableText
from mtkit_bert.vocabulary import Vocabulary
from mtkit_bert.windows import lengths

#: Where nothing trains, masks are these, whatever the run's seed: figures can be compared.
_FIXED = (0, -1)
_SEEDS = 2**31 - 1

Features = Mapping[str, tf.Tensor]


class Texts(NamedTuple):
    """The texts of a batch's rows, or the windows of long ones, without empty ones.

    Attributes:
        ids: int32 `[texts, tokens]`.
        lengths: int32 `[texts]`; what lies behind is padding.
        rows: int64 `[texts]`, the row that each belongs to.
        places: int64 `[texts]`, which of its row's texts it is.
    """

    ids: tf.Tensor
    lengths: tf.Tensor
    rows: tf.Tensor
    places: tf.Tensor


@keras.saving.register_keras_serializable(package="mtkit_bert")
class MaskedLanguageModelHead(SelfSupervisedHead):
    """Predicts hidden tokens of texts: a dense layer, a normalization, and the network's own word embeddings.

    Only the tokens that are hidden meet the vocabulary. A row's loss is the mean cross-entropy of its tokens, in nats, and
    its weight their number, so that every token counts alike. In training, a row's masks are a function of the seed, of
    the step and of its id; else of its id alone.

    Args:
        hidden_size: width of the network's hidden states.
        rows: number of ids that the network knows.
        tokens: number of ids that the tokenizer has.
        mask: the id that stands for a hidden token.
        special: ids that are never hidden.
        share: how many of a text's tokens are predicted.
        activation: of the dense layer, as in `config.json`.
        epsilon: of the normalization.

    Source: Devlin et al. 2019, "BERT", section 3.1, and its published code for the head; `Masking` for deviations.
    """

    #: XLA cannot: how many texts a batch has, and how long they are, is known from their values only.
    compilable = False

    def __init__(
        self,
        hidden_size: int,
        rows: int,
        tokens: int,
        mask: int,
        special: Sequence[int],
        share: float = 0.15,
        activation: str = "gelu",
        epsilon: float = 1e-12,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.hidden_size, self.rows, self.tokens, self.mask, self.special = (
            hidden_size,
            rows,
            tokens,
            mask,
            tuple(special),
        )
        self.share, self.activation, self.epsilon = share, activation, epsilon
        self.masking = Masking(Vocabulary(tokens, mask, self.special), rows, share)
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.dense = keras.layers.Dense(hidden_size, kernel_initializer=initializer, dtype=self.dtype_policy)
        self.norm = LayerNorm(epsilon, dtype=self.dtype_policy)

    def build(self, shape: Any) -> None:
        """Creates the variables: `bias` float32 `[rows]`, and `seed` and `step`, of which masks are made."""
        self.dense.build(tf.TensorShape([None, self.hidden_size]))
        self.norm.build(tf.TensorShape([None, self.hidden_size]))
        self.bias = self.add_weight("bias", [self.rows], tf.float32, "zeros", experimental_autocast=False)
        counting = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        self.seed = self.add_weight("seed", [], tf.int64, _random_seed, **counting)
        self.step = self.add_weight("step", [], tf.int64, "zeros", **counting)
        super().build(shape)

    def call(
        self, features: Features, ids: tf.Tensor, encoder: TrainableText, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Losses and numbers of hidden tokens, float32 `[rows]` each."""
        texts = _texts(features, encoder)
        masked = self._masked(texts, ids, training)
        logits = self._logits(texts, masked, encoder, training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(masked.targets, logits)
        return _by_row(losses, texts, masked, tf.size(ids))

    def observe(self, features: Features, encoder: TrainableText) -> tf.Tensor:
        """How often each token is there that could be hidden, float64 `[rows of the vocabulary]`."""
        texts = _texts(features, encoder)
        tokens = tf.boolean_mask(texts.ids, self.masking.eligible(texts.ids, texts.lengths))
        return tf.math.unsorted_segment_sum(tf.ones_like(tokens, tf.float64), tokens, self.rows)

    def measure(
        self, features: Features, ids: tf.Tensor, encoder: TrainableText, observed: tf.Tensor
    ) -> dict[str, dict[str, tuple[tf.Tensor, tf.Tensor]]]:
        """Cross-entropy and accuracy of hidden tokens, by the model, and by how frequent tokens are (`unigram`).

        Frequencies are those of the training texts, one added to each, so that tokens that are not in them can be had.
        """
        texts = _texts(features, encoder)
        masked = self._masked(texts, ids, training=False)
        logits = self._logits(texts, masked, encoder, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(masked.targets, logits)
        best = tf.argmax(logits, axis=1, output_type=tf.int32)
        smooth = tf.where(self.masking.ordinary, observed + 1, 0)
        frequent = -tf.math.log(tf.gather(smooth / tf.reduce_sum(smooth), masked.targets))
        most = tf.argmax(observed, output_type=tf.int32)

        def means(losses: tf.Tensor, predicted: tf.Tensor) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
            values = {"cross_entropy": losses, "accuracy": predicted == masked.targets}
            return {
                key: _by_row(tf.cast(value, tf.float32), texts, masked, tf.size(ids)) for key, value in values.items()
            }

        return {"model": means(losses, best), "unigram": means(frequent, most)}

    def _masked(self, texts: Texts, ids: tf.Tensor, training: bool) -> Masked:
        key = tf.stack([self.seed, self.step]) if training else tf.constant(_FIXED, tf.int64)
        if training:
            self.step.assign_add(1)
        numbers = hashed(tf.gather(ids, texts.rows), texts.places)
        return self.masking(texts.ids, texts.lengths, key, numbers)

    def _logits(self, texts: Texts, masked: Masked, encoder: TrainableText, training: bool) -> tf.Tensor:
        """Float32 `[n, rows of the vocabulary]`."""
        mask = tf.sequence_mask(texts.lengths, tf.shape(texts.ids)[1], tf.int32)
        hidden = tf.gather_nd(encoder.network(masked.ids, mask, training=training), masked.index)
        x = self.norm(ACTIVATIONS[self.activation](self.dense(hidden)))
        words = tf.cast(encoder.network.words.embeddings, x.dtype)
        return tf.cast(tf.matmul(x, words, transpose_b=True), tf.float32) + self.bias

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        names = ("hidden_size", "rows", "tokens", "mask", "share", "activation", "epsilon")
        own = {name: getattr(self, name) for name in names}
        return super().get_config() | own | {"special": list(self.special)}


def _texts(features: Features, encoder: TrainableText) -> Texts:
    tokens = features[encoder.tokens]
    width = tokens.shape[1] // features[encoder.numbers].shape[1]
    size = min(width, encoder.window or width)
    each = tokens.shape[1] // size
    ids = tf.reshape(tokens, [-1, size])
    count = lengths(ids, encoder.network.padding)
    kept = tf.where(count > 0)[:, 0]
    count = tf.gather(count, kept)
    ids = tf.gather(ids, kept)[:, : tf.maximum(tf.reduce_max(count), 1)]
    return Texts(ids, count, kept // each, kept % each)


def _by_row(values: tf.Tensor, texts: Texts, masked: Masked, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Means and numbers of the values of hidden tokens, float32 `[rows]` each."""
    row = tf.gather(texts.rows, masked.index[:, 0])
    totals, numbers = (tf.math.unsorted_segment_sum(v, row, rows) for v in (values, tf.ones_like(values)))
    return tf.math.divide_no_nan(totals, numbers), numbers


def _random_seed(shape: Sequence[int], dtype: Any = tf.int64, **_options: Any) -> tf.Tensor:
    return tf.random.uniform(shape, maxval=_SEEDS, dtype=dtype)
