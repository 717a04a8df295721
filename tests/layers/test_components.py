import numpy as np

from mtkit.backend import tf
from mtkit.layers.components import Components
from mtkit.testing import check_layer_config

COLUMNS = [{"center": 2.0, "scale": 0.5}, {"values": ["a", "b"]}, {"center": 0.0, "scale": 1e-30}]
MATRIX = [[1.0, 0.0], [10.0, 1.0], [20.0, 2.0], [0.0, 1e-20]]
NUMBERS = np.float32([3, np.nan, 2, 2, 3.4e38])
WORDS = np.array(["a", "b", "never seen", "", "b"])
LAST = np.float32([0, 0, np.inf, 1e-9, -3.4e38])


def make():
    # Made where it is used: layers have tables.
    return Components(COLUMNS, MATRIX, [1.0, 0.0])


def test_by_hand():
    found = make()((NUMBERS, WORDS, LAST)).numpy()
    np.testing.assert_allclose(found, [[11, 1], [19, 2], [-1, 0], [-1, 10], [1e12, -1e12]], rtol=1e-5)
    check_layer_config(make())
    assert make()((NUMBERS[:0], WORDS[:0], LAST[:0])).shape == (0, 2)


def test_goes_into_a_saved_model(tmp_path):
    class Servable(tf.Module):
        def __init__(self):
            super().__init__()
            self.layer = make()

        @tf.function(input_signature=[tf.TensorSpec([None], kind) for kind in (tf.float32, tf.string, tf.float32)])
        def serve(self, *columns):
            return {"made": self.layer(columns)}

    tf.saved_model.save(Servable(), str(tmp_path))
    served = tf.saved_model.load(str(tmp_path)).serve(*map(tf.constant, (NUMBERS, WORDS, LAST)))["made"]
    np.testing.assert_array_equal(served, make()((NUMBERS, WORDS, LAST)))
