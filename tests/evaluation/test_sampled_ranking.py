import numpy as np
import pytest

from mtkit.evaluation.rank import rank
from mtkit.evaluation.sampled_ranking import against_sample
from mtkit.types import Ragged


def ragged(rows):
    return Ragged(np.cumsum([0, *map(len, rows)]), {"item": np.array([i for row in rows for i in row], np.int32)})


ROWS, ITEMS, SIZE = 40, 60, 20
SCORES = np.random.default_rng(0).integers(0, 9, (ROWS, ITEMS)).astype(np.float32)
TARGETS = [
    np.random.default_rng(row).choice(np.arange(1, ITEMS), row % 4, replace=False).tolist() for row in range(ROWS)
]
OWN = [
    np.random.default_rng(99 + row).choice(np.arange(1, ITEMS), row % 9, replace=False).tolist() for row in range(ROWS)
]


@pytest.mark.parametrize("excluded", [None, OWN])
def test_candidates_are_the_relevant_items_and_so_many_others(excluded):
    sampled = against_sample(lambda rows: SCORES[rows], ragged(TARGETS), excluded and ragged(excluded), SIZE)
    for row, scores in enumerate(sampled(np.arange(ROWS))):
        left = np.flatnonzero(scores > -np.inf)
        others = set(left.tolist()) - set(TARGETS[row])
        assert set(TARGETS[row]) <= set(left.tolist())
        assert len(others) == SIZE
        assert not others & {0, *(excluded[row] if excluded else ())}
        np.testing.assert_array_equal(scores[left], SCORES[row, left])


def test_what_is_drawn_depends_on_the_row_alone():
    sampled = against_sample(lambda rows: SCORES[rows], ragged(TARGETS), None, SIZE)
    whole, again = sampled(np.arange(ROWS)), sampled(np.arange(ROWS))
    np.testing.assert_array_equal(whole, again)
    np.testing.assert_array_equal(sampled(np.array([7, 3])), whole[[7, 3]])
    assert not np.array_equal(whole[3] > -np.inf, whole[7] > -np.inf)


def test_all_items_are_drawn_alike():
    sampled = against_sample(lambda rows: np.zeros((len(rows), 21)), ragged([[]] * 2000), None, 5)
    times = (sampled(np.arange(2000)) > -np.inf).sum(axis=0)
    assert times[0] == 0
    assert np.abs(times[1:] - 500).max() < 5 * np.sqrt(500 * 0.75)


def test_with_as_many_as_there_are_it_is_the_full_ranking():
    score = lambda rows: SCORES[rows].copy()  # noqa: E731
    full, _ = rank(score, ragged(TARGETS), 5, ragged(OWN))
    sampled, _ = rank(against_sample(score, ragged(TARGETS), ragged(OWN), 1000), ragged(TARGETS), 5, ragged(OWN))
    np.testing.assert_array_equal(sampled.items, full.items)
    few, _ = rank(against_sample(score, ragged(TARGETS), ragged(OWN), 10), ragged(TARGETS), 5, ragged(OWN))
    assert few.hits.sum() > full.hits.sum()
