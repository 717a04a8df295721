"""A text encoder that trains alone, and its variables by name."""

import numpy as np

from mtkit.backend import keras, tf
from mtkit_bert import Bert


class Model(keras.Model):
    """A text encoder with its columns; rows of items in, embeddings out."""

    def __init__(self, context, path, **options):
        super().__init__()
        spec = Bert(**{"reads": ["item.text"], "checkpoint": str(path), "max_tokens": 16, "dim": 3} | options)
        self.columns = {address: tf.constant(values) for address, values in spec.derive(context).items()}
        self.encoder = spec.build(context)
        self(np.arange(2))

    def call(self, rows, training=False):
        features = {address: tf.gather(values, rows) for address, values in self.columns.items()}
        return self.encoder(features, training=training)

    def train_step(self, rows):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(self(rows, training=True) - 1.0))
        self.optimizer.minimize(loss, self.trainable_variables, tape)
        return {"loss": loss}


def everything(model):
    """Name -> variable of a model's encoder."""
    network, named = model.encoder.network, {}
    for layer in (*network.embeddings, *network.top):
        named |= {f"{layer.name}/{short(v)}": v for v in layer.weights}
    for block in network.blocks:
        parts = [layer for layer in block.submodules if isinstance(layer, keras.layers.Layer)]
        named |= {f"{block.name}/{layer.name}/{short(v)}": v for layer in parts for v in layer.weights}
    named |= {f"dense/{short(v)}": v for v in model.encoder.dense.weights}
    if model.encoder.transform:
        named |= {f"components/{short(v)}": v for v in model.encoder.transform.weights}
    assert len(named) == len(model.weights)
    return named


def short(variable):
    return variable.name.split(":")[0].split("/")[-1]
