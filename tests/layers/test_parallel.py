import json

import numpy as np
import pytest
from sharing import built, numbers

from mtkit.layers.parallel import Each, ParallelDense, ParallelNetworks
from mtkit.testing import check_layer_config

SHAPE = (5, 6)


def test_what_lies_side_by_side_begins_as_each_for_itself():
    """He's bound is that of one matrix, whatever lies beside it."""
    kernel = built(ParallelDense(50, 8), SHAPE).kernel.numpy()
    bound = np.sqrt(6 / SHAPE[1])
    assert kernel.shape == (6, 50, 8)
    assert 0.95 * bound < np.abs(kernel).max() <= bound


def test_each_reads_its_own_input_or_all_read_one():
    layer, inputs = built(ParallelNetworks(3, [8, 4]), SHAPE), [numbers(SHAPE, seed) for seed in range(3)]
    own = layer(inputs)
    for number, x in enumerate(inputs):
        np.testing.assert_allclose(own[number], layer(x)[number], rtol=1e-6)


@pytest.mark.parametrize("kind", [ParallelDense, ParallelNetworks])
def test_configurations(kind):
    check_layer_config(kind(3, 8, "gelu"))
    assert len(kind(3, 8)(numbers(SHAPE))) == 3


def test_initializers_have_configurations():
    initializer = Each("he_uniform")
    config = json.loads(json.dumps(initializer.get_config()))
    assert Each.from_config(config).get_config() == initializer.get_config()
