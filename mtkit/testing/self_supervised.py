"""What holds of heads that train an encoder on what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mtkit.evaluation.user_sums import MODEL
from mtkit.spec import SelfSupervisedTask
from mtkit.testing.assertions import TOLERANCE, assert_equal, assert_finite, assert_gradients, assert_rows_apart
from mtkit.testing.layers import check_layer_config

if TYPE_CHECKING:
    from mtkit.heads.self_supervised import SelfSupervisedHead


def check_self_supervised_head(
    layer: SelfSupervisedHead,
    spec: SelfSupervisedTask,
    encoder: Any,
    inputs: Mapping[str, Any],
    padded: Mapping[str, Any] | None = None,
) -> None:
    """Losses of rows that stay apart, the same whenever nothing trains, and in training by the seed; metrics as the spec says.

    Every variable of the head gets a gradient, and some of the encoder do.

    Args:
        layer: the head, not yet built.
        spec: its task.
        encoder: the layer that it trains.
        inputs: address -> `[rows, ...]`, what the encoder is called with; at least 3 rows.
        padded: the same rows with more padding; None = they have none.
    """
    from mtkit.backend import tf

    check_layer_config(layer)
    features = {address: tf.constant(values) for address, values in inputs.items()}
    ids = tf.range(1, len(next(iter(features.values()))) + 1)

    def known(given: tuple[Mapping[str, Any], Any]) -> Any:
        return _known(*layer(*given, encoder))

    with tf.GradientTape(persistent=True) as tape:
        losses, weights = layer(features, ids, encoder)
        _assert_by_row(losses, weights, len(ids), "loss")
        total = tf.reduce_sum(weights * tf.where(weights > 0, losses, 0.0))
    _assert_trains(layer, tape, total, encoder)
    assert_gradients(layer, tape, total)
    found = _known(losses, weights)
    assert_rows_apart(known, (features, ids))
    layer(features, ids, encoder, training=True)
    assert_equal(known((features, ids)), found, "losses of the same rows, before and after a step of training,")
    if padded is not None:
        more = {address: tf.constant(values) for address, values in padded.items()}
        assert_equal(known((more, ids)), found, "losses with and without more padding")
    _check_seed(layer, encoder, features, ids)
    _check_measured(layer, spec, encoder, features, ids)


def _check_seed(layer: SelfSupervisedHead, encoder: Any, features: Mapping[str, Any], ids: Any) -> None:
    """Copies that are made and trained with the same seed have the same losses."""
    from mtkit.backend import keras

    def trained() -> Any:
        keras.utils.set_random_seed(1)
        head, copy = (type(part).from_config(part.get_config()) for part in (layer, encoder))
        return _known(*head(features, ids, copy, training=True))

    assert_equal(trained(), trained(), "losses of training with the same seed")


def _check_measured(
    layer: SelfSupervisedHead, spec: SelfSupervisedTask, encoder: Any, features: Mapping[str, Any], ids: Any
) -> None:
    """What is observed adds up over blocks; the model and every baseline have the metrics of the spec, row by row."""
    from mtkit.backend import tf

    observed = layer.observe(features, encoder)
    blocks = (
        layer.observe({address: values[part] for address, values in features.items()}, encoder)
        for part in (slice(1), slice(1, None))
    )
    assert_equal(sum(blocks), observed, "the sum of what is observed of blocks of rows, and what is of all of them,")
    measured = layer.measure(features, ids, encoder, observed)
    assert MODEL in measured, f"expected values of {MODEL!r}, got those of {', '.join(measured)}"
    for name, means in measured.items():
        for metric, (values, weights) in means.items():
            _assert_by_row(values, weights, len(ids), f"{metric} of {name}")
            assert_finite(values, f"{metric} of {name}")
        metrics = spec.values(
            {m: (np.asarray(v, np.float64), np.asarray(w, np.float64)) for m, (v, w) in means.items()}
        )
        assert set(metrics) == set(spec.metrics), f"expected {list(spec.metrics)} of {name}, got {list(metrics)}"

    def flat(given: tuple[Mapping[str, Any], Any]) -> Any:
        parts = tf.nest.flatten(layer.measure(*given, encoder, observed))
        return tf.stack([tf.cast(part, tf.float32) for part in parts], 1)

    assert_rows_apart(flat, (features, ids))


def _known(losses: Any, weights: Any) -> Any:
    """Losses and weights `[rows, 2]`; what a row of weight 0 has for a loss does not count."""
    from mtkit.backend import tf

    return tf.stack([tf.where(weights > 0, losses, 0.0), weights], 1)


def _assert_by_row(values: Any, weights: Any, rows: int, what: str) -> None:
    assert values.shape == (rows,), f"expected one {what} per row, [{rows}], got {values.shape}"
    assert weights.shape == (rows,), f"expected one weight per row, [{rows}], got {weights.shape}"
    assert np.all(weights >= 0), f"expected weights of {what} that are not negative, got {weights}"
    assert np.any(weights > 0), f"expected a row with a weight of {what}, got {weights}"
    assert_finite(np.asarray(values)[np.asarray(weights) > 0], f"values of {what}")


def _assert_trains(layer: SelfSupervisedHead, tape: Any, total: Any, encoder: Any) -> None:
    """The loss reaches variables of the encoder, which are not the head's, too."""
    from mtkit.backend import tf

    own = {id(variable) for variable in layer.variables}
    shared = [variable.name for variable in encoder.variables if id(variable) in own]
    assert not shared, f"the head has {', '.join(shared)} of the encoder among its variables"
    gradients = (g for g in tape.gradient(total, encoder.trainable_variables) if g is not None)
    assert any(np.abs(tf.convert_to_tensor(g)).max() > TOLERANCE for g in gradients), (
        "the loss has no gradient to the encoder"
    )
