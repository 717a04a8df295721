import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.negatives import unknown_items
from mtkit.spec import Cut

DAY = 86400


@pytest.fixture
def events(make_shop):
    return make_fold(make_shop(items=6, users=5), Cut("test", 60 * DAY, 90 * DAY), {"item": 0}).events


@pytest.mark.parametrize("before", [-DAY, 8 * DAY, 30 * DAY])
def test_uniform_over_the_items_not_had(events, before):
    users = np.arange(1, len(events.offsets) - 1)
    drawn = unknown_items(events, np.repeat(users, 3000).astype(np.int32), 6, before, seed=0).reshape(len(users), -1)
    assert drawn.dtype == np.int32
    for user, items in zip(users, drawn, strict=True):
        had = set(events.ids["item"][(events.ids["user"] == user) & (events.time < before)].tolist())
        free = sorted(set(range(1, 7)) - had) or [0]
        found, counts = np.unique(items, return_counts=True)
        assert found.tolist() == free
        assert (abs(counts - 3000 / len(free)) < 5 * np.sqrt(3000 / len(free))).all()


def test_who_has_had_everything_gets_none(events):
    everything = [u for u in range(1, 6) if len(set(events.ids["item"][events.ids["user"] == u].tolist())) == 6]
    assert everything
    assert (unknown_items(events, np.array(everything, dtype=np.int32), 6, 10**9, seed=0) == 0).all()


def test_draws_are_seeded(events):
    user = np.full(200, 1, dtype=np.int32)
    first, again, other = (unknown_items(events, user, 6, 0, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
