"""Questions to the signatures of an export."""

import numpy as np

from mtkit.backend import tf


def ask(signatures, name, **inputs):
    """Output -> array, of one signature; inputs are cast to its types."""
    specs = signatures[name].structured_input_signature[1]
    tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
    return {key: value.numpy() for key, value in signatures[name](**tensors).items()}


def recommend(signatures, users, k=5, exclude=(), signature="recommend", **given):
    """The best items of users, without the `exclude` of each or of all."""
    exclude = np.array(exclude, object) if len(exclude) else np.zeros([1, 0], object)
    return ask(signatures, signature, k=k, exclude_ids=exclude, **({"user_id": users} if users else {}), **given)


def ids_of(pipeline, entity):
    """The ids of the rows of an entity, as text."""
    return [str(value) for value in pipeline.fold.entities[entity].ids]
