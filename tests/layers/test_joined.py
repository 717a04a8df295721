import numpy as np

from mtkit.backend import tf
from mtkit.layers.joined import joined


def test_follows_the_order_of_the_names_and_makes_columns_of_predictions():
    view = {
        "b": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "unused": np.zeros((2, 5)),
        "task.a": np.array([5.0, 6.0]),
        "task.c": np.array([[7.0, 8.0], [9.0, 10.0]]),
    }
    view = {name: tf.constant(values) for name, values in view.items()}
    np.testing.assert_array_equal(joined(view, ["task.a", "b", "task.c"]), [[5, 1, 2, 7, 8], [6, 3, 4, 9, 10]])
