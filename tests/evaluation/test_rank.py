import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from mtkit.errors import DataError
from mtkit.evaluation.rank import of_items, of_rows, rank, rank_each, top_k, user_shares
from mtkit.types import Events, Ragged


def ragged(rows):
    offsets = np.cumsum([0, *map(len, rows)])
    return Ragged(offsets, {"item": np.array([item for row in rows for item in row], np.int32)})


def ranked_slowly(scores, targets, k, exclude):
    """kept, items, hits, relevant: one row after the other."""
    result = []
    for row, wanted in enumerate(targets):
        hidden = {0, *exclude[row]}
        relevant = set(wanted) - hidden
        if relevant:
            order = [item for item in np.argsort(-scores[row], kind="stable") if item not in hidden][:k]
            items = order + [0] * (k - len(order))
            result.append((row, items, [item in relevant for item in items], len(relevant)))
    return [np.array(part) for part in zip(*result, strict=True)]


def random_rows(generator, rows, items, most):
    return [generator.integers(0, items, generator.integers(0, most)).tolist() for _ in range(rows)]


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("levels", [1, 3, 10**6])
@pytest.mark.parametrize(("items", "k"), [(5, 8), (40, 10), (700, 3), (700, 60)])
def test_equals_a_stable_sort_row_by_row(block, levels, items, k):
    generator = np.random.default_rng(items + k + levels)
    scores = generator.integers(0, levels, (40, items)).astype(np.float32)
    targets, exclude = random_rows(generator, 40, items, 6), random_rows(generator, 40, items, items // 2)
    ranking, kept = rank(lambda rows: scores[rows], ragged(targets), k, ragged(exclude), block)
    expected = ranked_slowly(scores, targets, k, exclude)
    for measured, slow in zip((kept, ranking.items, ranking.hits, ranking.relevant), expected, strict=True):
        np.testing.assert_array_equal(measured, slow)
    assert ranking.catalog == items - 1


@pytest.mark.parametrize("block", [1, 7, 100])
def test_several_exclusions_rank_as_each_alone_and_a_row_is_scored_once(block):
    generator = np.random.default_rng(3)
    scores, asked = generator.normal(size=(40, 12)).astype(np.float32), []
    targets, exclude = random_rows(generator, 40, 12, 3), random_rows(generator, 40, 12, 9)
    targets[7:14] = exclude[7:14]  # all is known of a whole block

    def scorer(rows):
        asked.extend(rows.tolist())
        return scores[rows]

    found = rank_each(scorer, ragged(targets), 3, [None, ragged(exclude)], block, whole=True)
    assert sorted(asked) == sorted(set(asked))
    for (ranking, kept), excluded in zip(found, (None, ragged(exclude)), strict=True):
        alone, rows = rank(lambda rows: scores[rows], ragged(targets), 3, excluded, block, whole=True)
        np.testing.assert_array_equal(kept, rows)
        for name in ("items", "hits", "relevant", "catalog"):
            np.testing.assert_array_equal(getattr(ranking, name), getattr(alone, name))
        np.testing.assert_array_equal(ranking.targets.values["above"], alone.targets.values["above"])


def test_without_exclusion_only_the_unknown_is_no_candidate():
    scores = np.array([[9.0, 1, 2, 3]])
    ranking, kept = rank(lambda rows: scores[rows], ragged([[3, 3, 0, 1]]), 2)
    assert ranking.items.tolist() == [[3, 2]]
    assert ranking.hits.tolist() == [[True, False]]
    assert ranking.relevant.tolist() == [2]
    assert kept.tolist() == [0]


def test_rows_without_relevant_items_are_not_scored():
    asked = []

    def scores(rows):
        asked.extend(rows.tolist())
        return np.zeros((len(rows), 4))

    ranking, kept = rank(scores, ragged([[], [1], [0], [2, 3], [3]]), 2, ragged([[], [], [], [2], [3]]), block=1)
    assert asked == kept.tolist() == [1, 3]
    assert ranking.relevant.tolist() == [1, 1]


@pytest.mark.parametrize("levels", [1, 3, 10**6])
@pytest.mark.parametrize("block", [1, 100])
def test_shares_of_candidates_below_equal_scikit_learn(levels, block):
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(levels)
    scores = generator.integers(0, levels, (40, 60)).astype(np.float32)
    scores[:, 50:] = -np.inf
    targets, exclude = random_rows(generator, 40, 50, 6), random_rows(generator, 40, 50, 30)
    ranking, kept = rank(lambda rows: scores[rows], ragged(targets), 5, ragged(exclude), block, whole=True)
    assert ranking.relevant.tolist() == np.diff(ranking.targets.offsets).tolist()
    for place, row in enumerate(kept):
        part = slice(*ranking.targets.offsets[place : place + 2])
        relevant = ranking.targets.values["item"][part]
        assert sorted(set(targets[row]) - set(exclude[row]) - {0}) == relevant.tolist()
        candidates = sorted(set(range(1, 50)) - set(exclude[row]))
        expected = roc_auc_score(np.isin(candidates, relevant), scores[row, candidates])
        assert ranking.targets.values["above"][part].mean() == pytest.approx(expected)


def test_an_item_that_is_no_candidate_is_above_nothing():
    scores = np.array([[0, -np.inf, 5, 4.0]])
    ranking, _ = rank(lambda rows: scores[rows], ragged([[1, 2]]), 3, whole=True)
    assert ranking.targets.values["above"].tolist() == [0, 1]


def test_a_part_of_rows_or_items_is_as_if_ranked_alone():
    generator = np.random.default_rng(5)
    scores = generator.random((40, 30))
    targets = random_rows(generator, 40, 30, 6)
    ranking, kept = rank(lambda rows: scores[rows], ragged(targets), 8, whole=True)
    some = np.arange(0, len(kept), 3)
    only = [wanted if row in kept[some] else [] for row, wanted in enumerate(targets)]
    expected, rows = rank(lambda rows: scores[rows], ragged(only), 8, whole=True)
    assert_same(of_rows(ranking, some), expected)
    assert rows.tolist() == kept[some].tolist()

    members = generator.random(30) < 0.4
    narrowed, left = of_items(ranking, members)
    only = [[item for item in wanted if members[item]] for wanted in targets]
    expected, rows = rank(lambda rows: scores[rows], ragged(only), 8)
    assert rows.tolist() == kept[left].tolist()
    for name in ("items", "hits", "relevant"):
        np.testing.assert_array_equal(getattr(narrowed, name), getattr(expected, name))
    np.testing.assert_array_equal(narrowed.targets.values["item"], expected.targets.values["item"])


def assert_same(ranking, expected):
    for name in ("items", "hits", "relevant"):
        np.testing.assert_array_equal(getattr(ranking, name), getattr(expected, name))
    np.testing.assert_array_equal(ranking.targets.offsets, expected.targets.offsets)
    for name, values in expected.targets.values.items():
        np.testing.assert_array_equal(ranking.targets.values[name], values)


def test_no_row_left():
    ranking, kept = rank(lambda rows: pytest.fail("scored"), ragged([[0], []]), 3)
    assert ranking.items.shape == ranking.hits.shape == (0, 3)
    assert len(kept) == len(ranking.relevant) == ranking.catalog == 0


def test_fewer_candidates_than_k_are_padded_with_the_unknown():
    ranking, _ = rank(lambda rows: np.ones((len(rows), 5)), ragged([[4, 1]]), 4, ragged([[1, 2]]))
    assert ranking.items.tolist() == [[3, 4, 0, 0]]
    assert ranking.hits.tolist() == [[False, True, False, False]]


def test_an_item_of_score_minus_infinity_is_no_candidate():
    scores = np.array([[0, -np.inf, 5, -np.inf]])
    ranking, _ = rank(lambda rows: scores[rows], ragged([[2]]), 3)
    assert ranking.items.tolist() == [[2, 0, 0]]


def test_read_only_scores_are_left_as_they_are():
    popularity = np.array([7.0, 1, 2, 3])
    ranking, _ = rank(
        lambda rows: np.broadcast_to(popularity, (len(rows), 4)), ragged([[1], [2]]), 2, ragged([[3], []])
    )
    assert ranking.items.tolist() == [[2, 1], [3, 2]]
    assert popularity.tolist() == [7, 1, 2, 3]


@pytest.mark.parametrize("place", [0, 50, 99])
def test_nan_is_refused(place):
    scores = np.zeros((2, 100))
    scores[1, place] = np.nan
    with pytest.raises(DataError, match="got nan"):
        top_k(scores, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize(
    "draw",
    [
        lambda generator, shape: generator.standard_normal(shape),
        lambda generator, shape: np.round(generator.standard_normal(shape)),
        lambda generator, shape: (generator.random(shape) < 0.001) * 1.0,
        lambda generator, shape: np.where(generator.random(shape) < 0.99, -np.inf, 1.0),
        lambda generator, shape: np.sort(generator.standard_normal(shape), axis=1),
    ],
    ids=["distinct", "tied", "nearly_all_zero", "few_candidates", "best_last"],
)
def test_top_k_of_many_columns(draw, k, dtype):
    scores = draw(np.random.default_rng(k), (6, 5003)).astype(dtype)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    expected[np.take_along_axis(scores, expected, axis=1) == -np.inf] = 0
    np.testing.assert_array_equal(top_k(scores, k), expected)


def test_memory_does_not_grow_with_the_rows():
    def peak(rows):
        targets = ragged([[1]] * rows)
        tracemalloc.start()
        rank(lambda numbers: np.zeros((len(numbers), 20_000), np.float32), targets, 5, block=8)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(400) < 1.2 * peak(40)


def test_shares_of_users_count_the_past_alone():
    user, item = np.array([1, 1, 1, 2, 2, 3, 4], np.int32), np.array([1, 1, 2, 1, 3, 2, 1], np.int32)
    time = np.array([0, 5, 9, 1, 10, 2, 11])
    events = Events({"user": user, "item": item}, time, np.arange(7), pa.table({}), np.array([0, 0, 3, 5, 6, 7]))
    np.testing.assert_allclose(user_shares(events, 10, 5), [1 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3])
    assert user_shares(events, 0, 5).tolist() == [1] * 5
    ranking, _ = rank(lambda rows: np.ones((len(rows), 5)), ragged([[3]]), 2, shares=user_shares(events, 10, 5))
    assert ranking.shares[3] == pytest.approx(1 / 3)
