import numpy as np
import pytest

from mtkit.data.known_as_of import ACTIVITY_SHIFTS, KNOWN, OWN_CHANNELS, known_columns
from mtkit.feed.request_history import given_past
from mtkit.schema import Column, Schema
from mtkit.types import DAY, Entity, Events, Fold, RowTable

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


def known_of(log, users):
    """What is known of all users at `NOW`."""
    schema = Schema(
        interactions={name: Column(kind="id", entity=name) for name in ("user", "item")},
        entities={"user": {}, "item": {}},
    )
    fold = Fold("test", 0, 0, 0, {"item": Entity("item", np.arange(ITEMS), None)}, log, schema)
    time = np.full(USERS, NOW)
    return known_columns(fold, RowTable("users", {"user": users}, time, np.zeros((0, 2), np.int64), time), KNOWN)


@pytest.mark.parametrize("lines", [0, 1, 40, 200])
def test_equals_what_is_known_of_users_in_the_data(lines):
    rng = np.random.default_rng(lines)
    log = events(rng, lines)
    users = np.arange(USERS, dtype=np.int32)
    known = known_of(log, users)

    longest = int(np.diff(log.offsets).max(initial=0)) + 3
    ids, age = np.zeros([USERS, longest], np.int32), np.zeros([USERS, longest], np.float32)
    for user in users:
        mine = rng.permutation(np.arange(log.offsets[user], log.offsets[user + 1]))
        places = np.sort(rng.permutation(longest)[: len(mine)])
        ids[user, places], age[user, places] = log.ids["item"][mine], (NOW - log.time[mine]) / DAY
    own, dense = given_past(ids, age)
    fewer, none = given_past(ids, age, ())
    assert none == {}
    assert list(fewer.values) == ["id"]
    np.testing.assert_array_equal(fewer.values["id"], own.values["id"])

    expected = known.lists["own"]
    np.testing.assert_array_equal(own.row, np.repeat(users, np.diff(expected.offsets)))
    np.testing.assert_array_equal(own.values["id"], expected.values["id"])
    np.testing.assert_allclose(own.values["channels"], expected.values["channels"], atol=2e-6)
    np.testing.assert_allclose(dense["activity"], known.dense["activity"], atol=1e-6)


def test_purchases_at_unknown_moments_count_and_say_nothing_of_time():
    ids, age = np.int32([[1, 1, 0, 1, 1, 2]]), np.float32([[np.nan, -3, np.nan, 5, 25, np.inf]])
    own, dense = given_past(ids, age)
    # Each is a basket of its own, so item 1 is in four of five; two of them are known, 20 days apart.
    once, twice = np.exp2(-5 / 120) + np.exp2(-25 / 120), np.exp2(-5 / 30) + np.exp2(-25 / 30)
    log = np.log1p
    expected = [
        [log(4), log(2), log(2), np.exp(-5 / 30), np.exp(-5 / 120), log(once), log(twice), np.sqrt(4 / 5),
         np.log(8 / 23), 1, log(1), np.exp(-5 / 7)],
        [log(1), 0, 0, 0, 0, 0, 0, np.sqrt(1 / 5), 0, 0, 0, 0],
    ]  # fmt: skip
    np.testing.assert_array_equal(own.values["id"], [1, 2])
    np.testing.assert_allclose(own.values["channels"], expected, atol=1e-6)
    activity = log([2, 2, 2, 5]) / 2 - ACTIVITY_SHIFTS
    np.testing.assert_allclose(dense["activity"], [activity], atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (2, 3)])
def test_no_purchases(shape):
    own, dense = given_past(np.zeros(shape, np.int32), np.full(shape, np.nan, np.float32))
    assert own.row.shape == own.values["id"].shape == (0,)
    assert own.values["channels"].shape == (0, len(OWN_CHANNELS))
    np.testing.assert_allclose(dense["activity"], np.tile(np.negative(ACTIVITY_SHIFTS), (shape[0], 1)))
