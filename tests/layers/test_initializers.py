import numpy as np
import pytest

from mtkit.backend import keras
from mtkit.layers.initializers import Isometry, SumOfInputs


@pytest.mark.parametrize("outputs", [16, 24])
def test_inner_products_are_kept(outputs):
    vectors = np.random.default_rng(0).normal(size=(5, 16))
    kernel = Isometry()((16, outputs)).numpy()
    np.testing.assert_allclose((vectors @ kernel) @ (vectors @ kernel).T, vectors @ vectors.T, rtol=1e-5)
    np.testing.assert_array_equal(kernel, np.eye(16, outputs))


def test_narrower_outputs_keep_inner_products_on_average():
    one, two = np.random.default_rng(0).normal(size=(2, 16))
    kernels = [Isometry(seed=seed)((16, 6)).numpy() for seed in range(500)]
    assert np.mean([(one @ kernel) @ (two @ kernel) for kernel in kernels]) == pytest.approx(one @ two, abs=1)
    np.testing.assert_array_equal(kernels[1], Isometry(seed=1)((16, 6)))
    assert not np.allclose(kernels[1], kernels[2])


@pytest.mark.parametrize("shape", [(16, 16), (16, 64), (64, 16)])
def test_kernels_have_the_norm_of_normal_numbers(shape):
    norms = [np.linalg.norm(np.random.default_rng(seed).normal(0, 0.01, (max(shape), min(shape)))) for seed in range(9)]
    assert np.linalg.norm(Isometry(stddev=0.01, seed=0)(shape)) == pytest.approx(np.mean(norms), rel=0.05)


def test_sums():
    one, two = np.random.default_rng(0).normal(size=(2, 5, 4))
    np.testing.assert_allclose(np.hstack([one, two]) @ SumOfInputs()((8, 4)).numpy(), one + two, rtol=1e-6)


def test_what_cannot_be_a_sum_is_random():
    kernel = SumOfInputs(seed=3)((6, 4)).numpy()
    np.testing.assert_array_equal(kernel, keras.initializers.GlorotUniform(3)((6, 4)))


@pytest.mark.parametrize("initializer", [Isometry(stddev=0.1, seed=4), SumOfInputs(seed=4)])
def test_configs(initializer):
    kernel = initializer((7, 3))
    kept = keras.initializers.serialize(initializer)
    np.testing.assert_array_equal(keras.initializers.deserialize(kept)((7, 3)), kernel)
