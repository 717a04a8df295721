import numpy as np
import pytest

from mtkit.data.known_as_of import DAY, as_of
from mtkit.feed.request_history import given_past
from mtkit.types import Events

NOW, ITEMS, USERS = 400 * DAY, 6, 5


def events(rng, lines):
    """Purchases of which some share a moment, and some an item of a moment; user 4 has none."""
    user = np.sort(rng.integers(0, USERS - 1, lines))
    time = NOW - rng.integers(1, 150, lines) * DAY * 2
    order = np.lexsort((time, user))
    user, time = user[order], time[order]
    _, group = np.unique(user * NOW + time, return_inverse=True)
    item = rng.integers(1, ITEMS, lines).astype(np.int32)
    offsets = np.searchsorted(user, np.arange(USERS + 1))
    return Events({"user": user.astype(np.int32), "item": item}, time, group, None, offsets)


@pytest.mark.parametrize("lines", [0, 1, 40, 200])
def test_equals_what_is_known_of_users_in_the_data(lines):
    rng = np.random.default_rng(lines)
    log = events(rng, lines)
    users = np.arange(USERS, dtype=np.int32)
    known = as_of(log, users, np.full(USERS, NOW), ITEMS)

    longest = int(np.diff(log.offsets).max(initial=0)) + 3
    ids, age = np.zeros([USERS, longest], np.int32), np.zeros([USERS, longest], np.float32)
    for user in users:
        mine = rng.permutation(np.arange(log.offsets[user], log.offsets[user + 1]))
        places = np.sort(rng.permutation(longest)[: len(mine)])
        ids[user, places], age[user, places] = log.ids["item"][mine], (NOW - log.time[mine]) / DAY
    given = {name: value.numpy() for name, value in given_past(ids, age).items()}

    np.testing.assert_array_equal(given["own.row"], np.repeat(users, np.diff(known["own"].offsets)))
    np.testing.assert_array_equal(given["own.id"], known["own"].values["id"])
    np.testing.assert_allclose(given["own.channels"], known["own"].values["channels"], atol=2e-6)
    np.testing.assert_allclose(given["activity"], known["activity"], atol=1e-6)
