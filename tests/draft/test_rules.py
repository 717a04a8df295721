"""Settings by sizes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mtkit.draft import rules
from mtkit.draft.counts import Counts

LOG = Counts(
    100_000, users=5_000, items=9_000, items_of={1: 9_000, 3: 7_000, 5: 6_000, 10: 4_000, 20: 2_000, 50: 900, 100: 90},
    returning=0.8, days=300, tail_days=20,
)  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "labels", "shape"),
    [
        (Counts(1_000), 1, "rows"),
        (LOG, 2, "outcomes"),
        (LOG, 0, "windows"),
        (replace(LOG, returning=0.2), 0, "profiles"),
    ],
)
def test_shapes(counts, labels, shape):
    assert rules.shape_of(counts, labels) == shape


def test_windows_are_as_long_as_the_test_and_end_before_validation():
    found = rules.windows(LOG)
    assert (found.length, found.stride) == (timedelta(days=20), timedelta(days=10))
    assert found.length + (found.count - 1) * found.stride <= timedelta(days=LOG.days - 2 * LOG.tail_days)
    assert rules.windows(replace(LOG, days=2, tail_days=0.2)).count == 1


def test_large_catalogs_are_cut():
    assert rules.min_count(replace(LOG, items=500)) == 1
    assert rules.min_count(LOG) == 3
    large = replace(
        LOG, items=300_000, items_of={1: 300_000, 3: 200_000, 5: 90_000, 10: 30_000, 20: 9_000, 50: 900, 100: 9}
    )
    assert rules.min_count(large) == 20


@pytest.mark.parametrize("users", [3, 100, 943, 1_508, 30_000])
def test_steps_of_profiles_are_full(users):
    batch = rules.profiles(replace(LOG, users=users)).batch
    steps = -(-users // batch)
    assert batch <= 512
    assert steps * batch - users < steps
