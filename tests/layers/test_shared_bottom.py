import numpy as np
from sharing import built, numbers

from mtkit.layers.shared_bottom import SharedBottom


def test_states_of_tasks_go_through_the_same_layers():
    layer, states = built(SharedBottom([8, 4]), (5, 6)), numbers((5, 3, 6))
    for task in range(3):
        np.testing.assert_allclose(layer(states)[:, task], layer(states[:, task]), rtol=1e-5, atol=1e-6)
