import numpy as np

from mtkit.backend import tf
from mtkit.serving.lookup import Lookup


def test_ids_and_rows():
    lookup = Lookup("item", np.array(["", "b", "a", "ä"], object))
    rows = lookup.rows(tf.constant([["a", "ä"], ["", "nothing"]]))
    assert rows.numpy().tolist() == [[2, 3], [0, 0]]
    assert [name.decode() for name in lookup.names(rows).numpy().ravel()] == ["a", "ä", "", ""]
    numbers = Lookup("user", np.array([-1, 7, 30]))
    assert numbers.rows(tf.constant(["30", "-1", "7"])).numpy().tolist() == [2, 0, 1]
