import numpy as np
import pytest

from mtkit.evaluation.rank import rank
from mtkit.evaluation.sampled_ranking import SomeScorer, against_sample
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


def score(rows):
    return SCORES[rows].copy()


def some(rows, items):
    return SCORES[rows[:, None], items]


def whole_against_sample(targets, excluded, size):
    """The same as `against_sample`, as a matrix of all items, drawn among those that are free."""

    def sampled(rows):
        left = np.full((len(rows), ITEMS), -np.inf, np.float32)
        for place, row in enumerate(rows.tolist()):
            free = np.ones(ITEMS, bool)
            free[[0, *targets[row], *(excluded[row] if excluded else ())]] = False
            others = np.flatnonzero(free)
            drawn = np.random.default_rng([0, row]).choice(others, min(size, len(others)), replace=False)
            items = [*targets[row], *drawn]
            left[place, items] = SCORES[row, items]
        return left

    return sampled


@pytest.mark.parametrize("excluded", [None, OWN])
@pytest.mark.parametrize("size", [1, SIZE, 1000])
@pytest.mark.parametrize("scorer", [score, SomeScorer(ITEMS, some)])
def test_it_is_the_ranking_of_the_whole_without_what_is_not_drawn(excluded, size, scorer):
    left_out = excluded and ragged(excluded)
    sampled = against_sample(scorer, ragged(TARGETS), left_out, size)
    expected, kept = rank(whole_against_sample(TARGETS, excluded, size), ragged(TARGETS), 5, left_out, whole=True)
    for block in (7, 100):
        found, rows = rank(sampled, ragged(TARGETS), 5, left_out, block, whole=True)
        np.testing.assert_array_equal(rows, kept)
        assert found.catalog == expected.catalog == ITEMS - 1
        for name in ("items", "hits", "relevant"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        for name in ("item", "above"):
            np.testing.assert_array_equal(found.targets.values[name], expected.targets.values[name])


@pytest.mark.parametrize("excluded", [None, OWN])
def test_candidates_are_the_relevant_items_and_so_many_others(excluded):
    sampled = against_sample(score, ragged(TARGETS), excluded and ragged(excluded), SIZE)
    values, items, _ = sampled(np.arange(ROWS))
    assert not items[:, 0].any()
    for row, (scores, of_row) in enumerate(zip(values, items, strict=True)):
        left, own = of_row[of_row > 0], set(excluded[row] if excluded else ())
        assert (np.diff(left) > 0).all()
        assert set(TARGETS[row]) - own <= set(left.tolist())
        others = set(left.tolist()) - set(TARGETS[row])
        assert len(others) == SIZE
        assert not others & own
        np.testing.assert_array_equal(scores, SCORES[row, of_row])


def test_what_is_drawn_depends_on_the_row_alone():
    sampled = against_sample(score, ragged(TARGETS), None, SIZE)
    whole = [set(row) for row in sampled(np.arange(ROWS)).items.tolist()]
    assert [set(row) for row in sampled(np.array([7, 3])).items.tolist()] == [whole[7], whole[3]]
    assert whole[3] != whole[7]


def test_all_items_are_drawn_alike():
    sampled = against_sample(lambda rows: np.zeros((len(rows), 21)), ragged([[]] * 2000), None, 5)
    times = np.bincount(sampled(np.arange(2000)).items.ravel(), minlength=21)
    assert times[0] == 2000
    assert np.abs(times[1:] - 500).max() < 5 * np.sqrt(500 * 0.75)


def test_no_more_is_scored_than_is_asked_for():
    asked = []

    def counted(rows, items):
        asked.append(items.shape)
        return some(rows, items)

    rank(against_sample(SomeScorer(ITEMS, counted), ragged(TARGETS), None, 4), ragged(TARGETS), 5, block=10)
    assert {columns for _, columns in asked} <= {1 + 4 + targets for targets in range(4)}


def test_with_as_many_as_there_are_it_is_the_full_ranking():
    full, _ = rank(score, ragged(TARGETS), 5, ragged(OWN))
    sampled, _ = rank(against_sample(score, ragged(TARGETS), ragged(OWN), 1000), ragged(TARGETS), 5, ragged(OWN))
    np.testing.assert_array_equal(sampled.items, full.items)
    few, _ = rank(against_sample(score, ragged(TARGETS), ragged(OWN), 10), ragged(TARGETS), 5, ragged(OWN))
    assert few.hits.sum() > full.hits.sum()
