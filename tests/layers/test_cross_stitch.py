import numpy as np
from sharing import built, gradients

from mtkit.layers.cross_stitch import CrossStitch

TASKS, SHAPE = 3, (5, 6)


def test_shares_decide_who_learns_from_whom():
    """With shares of one's own alone, tasks are networks of their own; they begin as `alpha` says."""
    layer = built(CrossStitch(TASKS, [8, 4], 0.8), SHAPE)
    for shares in layer.shares:
        np.testing.assert_allclose(shares, np.eye(TASKS) * 0.7 + 0.1, rtol=1e-6)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients(layer, SHAPE, 0).values())
    for shares in layer.shares:
        shares.assign(np.eye(TASKS))
    for name, gradient in gradients(layer, SHAPE, 0).items():
        if "kernel" in name:
            assert np.abs(gradient[:, 0]).max() > 0
            assert not gradient[:, 1:].any()


def test_a_task_alone_keeps_its_whole_state():
    assert built(CrossStitch(1, 4, 0.9), SHAPE).shares[0].numpy().tolist() == [[1.0]]
