"""After each epoch of training, heads are told what they have to know of all their training rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtkit.backend import keras, tf
from mtkit.model.forward import Forward, Network

#: Training rows that are looked at, evenly spread over the table; what is learned of them are means.
ROWS = 1 << 16
_BLOCK = 1 << 12


class Settling(keras.callbacks.Callback):
    """Settles the heads that ask for it, before other callbacks measure or save the model."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self._summaries = {name: _summary(model, name) for name, head in model.heads.items() if head.settles}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Adds up what each head asks for over its training rows."""
        for name, summary in self._summaries.items():
            feed, table = self.model.feed, self.model.plan.tasks[name].rows
            rows = np.unique(np.linspace(0, feed.size(table) - 1, ROWS).astype(np.int64))
            blocks = np.array_split(rows, -(-len(rows) // _BLOCK))
            self.model.heads[name].settle(np.sum([summary(tf.constant(block)).numpy() for block in blocks], axis=0))


def _summary(model: Network, task: str) -> Any:
    """A function of row numbers int64 `[n]`, traced once."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)
    def summary(numbers: tf.Tensor) -> tf.Tensor:
        batch = model.feed.batch(model.plan.tasks[task].rows, numbers)
        return model.heads[task].summary(Forward(model, whole=frozenset()).task(task, batch))

    return summary
