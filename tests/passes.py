"""What tasks answer on the rows of a store, pass by pass."""

import numpy as np

from mtkit.backend import tf
from mtkit.model.forward import Forward


def answers(model, tasks, rows, block=512, encoded=None):
    """Task -> what its head answers for every row of a `RowStore`, `block` rows at once."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)
    def of(numbers):
        batch, forward = rows.gather(numbers), Forward(model, encoded=encoded)
        return {task: model.heads[task].answers(forward.task(task, batch)) for task in tasks}

    parts = [of(tf.range(begin, min(begin + block, rows.rows), dtype=tf.int64)) for begin in range(0, rows.rows, block)]
    return {task: np.concatenate([part[task].numpy() for part in parts]) for task in tasks}


def scorer(model, task, rows):
    """From row numbers of a `RowStore` to scores of the catalog."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)
    def of(numbers):
        return model.heads[task].answers(Forward(model).task(task, rows.gather(numbers)))

    return lambda numbers: of(tf.constant(numbers, tf.int64)).numpy()
