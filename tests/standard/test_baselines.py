import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from mtkit.standard import neighbor_baselines
from mtkit.standard.baselines import FadingPopularity, OwnFrequency, OwnRecency, Popularity, RecencyPopularity
from mtkit.standard.factor_baselines import Blend, Ease, Ials
from mtkit.standard.neighbor_baselines import ContentKnn, ItemKnn, UserKnn, strongest
from mtkit.testing import check_spec
from mtkit.types import Events

USERS, ITEMS, CUT, DAY = 13, 9, 100 * 86400, 86400


def make_events(user, item, time, group):
    order = np.lexsort((time, user))
    user, item, time, group = (np.asarray(array)[order] for array in (user, item, time, group))
    offsets = np.searchsorted(user, np.arange(USERS + 1))
    ids = {"user": user.astype(np.int32), "item": item.astype(np.int32)}
    return Events(ids, time, group, pa.table({"quantity": np.ones(len(user))}), offsets)


@pytest.fixture
def events():
    """Baskets on both sides of the cut; users 3 and 12 have none before it, nobody buys item 8."""
    generator = np.random.default_rng(3)
    group = generator.integers(0, 60, 90)
    user = 1 + group % 11
    user[user == 3] = 4
    time = (group * 2 + 1) * DAY
    user = np.append(user, [3, 3])
    item, time = np.append(generator.integers(1, 8, 90), [1, 2]), np.append(time, [CUT, CUT + 5])
    return make_events(user, item, time, np.append(group, [77, 78]) * 10**12)


def lines(events):
    """(user, item, basket, time) of every event before the cut."""
    rows = zip(events.ids["user"], events.ids["item"], events.group, events.time, strict=True)
    return [tuple(map(int, row)) for row in rows if row[3] < CUT]


def baskets(events):
    return {(user, basket, item): time for user, item, basket, time in lines(events)}


def binary(events):
    matrix = np.zeros((USERS, ITEMS))
    for user, item, *_ in lines(events):
        matrix[user, item] = 1
    return matrix


def popularity(events):
    return np.array([[len({line[0] for line in lines(events) if line[1] == item}) for item in range(ITEMS)]] * USERS)


def own_frequency(events):
    scores = np.zeros((USERS, ITEMS))
    for user, _, item in baskets(events):
        scores[user, item] += 1
    return scores


def own_recency(events):
    scores = np.zeros((USERS, ITEMS))
    for (user, _, item), time in baskets(events).items():
        scores[user, item] += 0.5 ** ((CUT - time) / DAY / 7)
    return scores


def recency_popularity(events):
    late = {(user, item) for user, item, _, time in lines(events) if time >= CUT - 40 * DAY}
    return np.array([[sum(pair[1] == item for pair in late) for item in range(ITEMS)]] * USERS)


def fading_popularity(events):
    weights = {}
    for user, item, _, time in lines(events):
        weights[user, item] = max(weights.get((user, item), 0), 0.5 ** ((CUT - time) / DAY / 20))
    return np.array(
        [[sum(weight for pair, weight in weights.items() if pair[1] == item) for item in range(ITEMS)]] * USERS
    )


SIMILARITIES = {
    "cosine": lambda both, own, candidate: both / np.sqrt(own * candidate),
    "jaccard": lambda both, own, candidate: both / (own + candidate - both),
    "conditional": lambda both, own, candidate: both / own,
}


def item_knn(events, similarity="cosine", neighbors=ITEMS, shrinkage=0):
    matrix = binary(events)
    weights = np.zeros((ITEMS, ITEMS))
    for own in range(ITEMS):
        for item in range(ITEMS):
            a, b = matrix[:, own], matrix[:, item]
            if own != item and a @ b:
                shrunk = a @ b / (a @ b + shrinkage)
                weights[own, item] = SIMILARITIES[similarity](a @ b, a.sum(), b.sum()) * shrunk
        weights[own, np.argsort(-weights[own], kind="stable")[neighbors:]] = 0
    return matrix @ weights


def user_knn(events):
    matrix = binary(events)
    scores = np.zeros((USERS, ITEMS))
    for user in range(USERS):
        alike = {}
        for other in range(USERS):
            a, b = matrix[user], matrix[other]
            if other != user and a @ b:
                alike[other] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for other in sorted(alike, key=lambda other: (-alike[other].round(12), other))[:3]:
            scores[user] += alike[other] * matrix[other]
    return scores


def ials(events):
    """Descends the whole loss until nothing changes, from where two solvers would both start: anywhere near 0."""
    from scipy.optimize import minimize

    matrix = binary(events)
    factors, regularization, alpha = 2, 0.02, 5
    weight = 1 + alpha * matrix
    # A score s of a bought item costs alpha (1 - s)^2 + s^2, or (1 + alpha) (alpha / (1 + alpha) - s)^2 + constant.
    target = matrix * alpha / (1 + alpha)
    ridge_users = regularization * (alpha * matrix.sum(axis=1) + ITEMS)
    ridge_items = regularization * (alpha * matrix.sum(axis=0) + USERS)

    def loss(flat):
        users, items = flat[: USERS * factors].reshape(USERS, factors), flat[USERS * factors :].reshape(ITEMS, factors)
        error = users @ items.T - target
        value = (weight * error**2).sum() + ridge_users @ (users**2).sum(axis=1) + ridge_items @ (items**2).sum(axis=1)
        slope = 2 * weight * error
        of_users = slope @ items + 2 * ridge_users[:, None] * users
        of_items = slope.T @ users + 2 * ridge_items[:, None] * items
        return value, np.concatenate([of_users.ravel(), of_items.ravel()])

    start = np.random.default_rng(1).normal(0, 0.1, (USERS + ITEMS) * factors)
    flat = minimize(loss, start, jac=True, method="L-BFGS-B", tol=1e-14, options={"maxiter": 5000}).x
    return flat[: USERS * factors].reshape(USERS, factors) @ flat[USERS * factors :].reshape(ITEMS, factors).T


def ease(events):
    """Each item's weights by ridge regression on the other items, which is what the closed form solves."""
    matrix = binary(events)
    weights = np.zeros((ITEMS, ITEMS))
    for item in range(ITEMS):
        others = np.delete(np.arange(ITEMS), item)
        x = matrix[:, others]
        weights[others, item] = np.linalg.solve(x.T @ x + 3 * np.eye(len(others)), x.T @ matrix[:, item])
    return matrix @ weights


def blend(events):
    habits = own_recency(events)
    return ease(events) + 0.5 * habits / np.maximum(habits.max(1, keepdims=True), 1e-300)


SLOW = [
    (Popularity(), popularity),
    (RecencyPopularity(window=40), recency_popularity),
    (FadingPopularity(half_life=20), fading_popularity),
    (FadingPopularity(half_life=0), popularity),
    (OwnFrequency(), own_frequency),
    (OwnRecency(half_life=7), own_recency),
    (ItemKnn(), item_knn),
    (ItemKnn(similarity="jaccard", shrinkage=2), lambda events: item_knn(events, "jaccard", shrinkage=2)),
    (ItemKnn(similarity="conditional", neighbors=3), lambda events: item_knn(events, "conditional", 3)),
    (UserKnn(neighbors=3), user_knn),
    (Ease(l2=3), ease),
    (Blend(weight=0.5, half_life=7, l2=3), blend),
]
RETRIEVAL = [*(baseline for baseline, _ in SLOW), Ials(factors=3, epochs=3)]


@pytest.mark.parametrize("baseline", RETRIEVAL, ids=repr)
def test_specs(baseline):
    check_spec(baseline)


@pytest.mark.parametrize(("baseline", "slow"), SLOW)
def test_equals_a_dense_brute_force(baseline, slow, events):
    users = np.array([5, 3, 0, 12, 1, 5, 11], np.int32)
    scores = baseline.rank(events, CUT, ITEMS)(users)
    np.testing.assert_allclose(scores, slow(events)[users], atol=1e-12)
    assert scores.dtype == np.float64


@pytest.mark.parametrize("baseline", RETRIEVAL)
def test_the_future_does_not_matter(baseline, events):
    generator = np.random.default_rng(0)
    future = events.time >= CUT
    shuffled = generator.permutation(np.flatnonzero(future))
    user, item = events.ids["user"].copy(), events.ids["item"].copy()
    time, group = events.time.copy(), events.group.copy()
    user[future], item[future], group[future] = user[shuffled], generator.integers(1, 9, future.sum()), group[shuffled]
    time[future] += generator.integers(0, 99, future.sum())
    users = np.arange(USERS)
    expected = baseline.rank(events, CUT, ITEMS)(users)
    np.testing.assert_array_equal(baseline.rank(make_events(user, item, time, group), CUT, ITEMS)(users), expected)


@pytest.mark.parametrize("baseline", [OwnFrequency(), OwnRecency(), ItemKnn(), UserKnn(), Ease(), Blend(), Ials()])
def test_users_without_a_past_have_scores_of_zero(baseline, events):
    assert not baseline.rank(events, CUT, ITEMS)(np.array([3, 12])).any()


@pytest.mark.parametrize("baseline", RETRIEVAL)
def test_no_events_before_the_cut(baseline, events):
    assert not baseline.rank(events, 0, ITEMS)(np.arange(USERS)).any()


def vectors(width=3):
    found = np.random.default_rng(1).normal(size=(ITEMS, width)) + 2
    found[[0, 5]] = 0
    return found / np.linalg.norm(found, axis=1, keepdims=True).clip(min=1e-9)


def content_knn(events, unit):
    """Mean cosine with each of the own items but the candidate itself."""
    scores, past = np.zeros((USERS, ITEMS)), binary(events)
    for user, item in np.argwhere(np.ones((USERS, ITEMS))):
        own = np.flatnonzero(past[user])
        scores[user, item] = sum(unit[j] @ unit[item] for j in own if j != item) / max(len(own), 1)
    return scores


def test_content_knn_is_the_mean_cosine_about_the_mean_of_what_was_bought(events):
    unit = vectors()
    there = unit.any(axis=1)
    mean = np.mean([unit[item] for item in range(ITEMS) if there[item] and binary(events)[:, item].any()], axis=0)
    centered = np.array([unit[item] - mean if there[item] else 0 * mean for item in range(ITEMS)])
    centered /= np.linalg.norm(centered, axis=1, keepdims=True).clip(min=1e-12)
    users = np.array([5, 3, 0, 12, 1, 5, 11], np.int32)
    scores = ContentKnn(by="text").rank(events, CUT, ITEMS, {"text": unit})(users)
    np.testing.assert_allclose(scores, content_knn(events, centered)[users], atol=1e-12)
    # Item 8 was never bought, and is told from others; item 5 has no vector.
    assert len(np.unique(scores[:, 8])) > 3
    assert not scores[:, 5].any()


def test_content_knn_by_words(events):
    words = sparse.csr_array(vectors())
    scores = ContentKnn(by="item.text").rank(events, CUT, ITEMS, {"item.text": words})(np.arange(USERS))
    np.testing.assert_allclose(scores, content_knn(events, vectors()), atol=1e-12)


def test_item_knn_of_a_sparse_catalog_equals_the_dense_one(events):
    padded = ItemKnn().rank(events, CUT, 50)(np.arange(USERS))
    np.testing.assert_allclose(padded[:, :ITEMS], item_knn(events), atol=1e-12)
    assert not padded[:, ITEMS:].any()


def test_ials_reaches_the_minimum_of_its_loss(events):
    scores = Ials(factors=2, regularization=0.02, alpha=5, epochs=500).rank(events, CUT, ITEMS)(np.arange(USERS))
    np.testing.assert_allclose(scores, ials(events), atol=1e-5)


def test_ials_of_a_seed_is_the_same_each_time(events):
    first, second, other = (Ials(seed=s).rank(events, CUT, ITEMS)(np.arange(USERS)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


@pytest.mark.parametrize("cells", [1, 2 * USERS])
def test_user_knn_is_the_same_in_blocks(cells, events, monkeypatch):
    whole = UserKnn().rank(events, CUT, ITEMS)(np.arange(USERS))
    monkeypatch.setattr(neighbor_baselines, "_CELLS", cells)
    np.testing.assert_array_equal(UserKnn().rank(events, CUT, ITEMS)(np.arange(USERS)), whole)


def test_strongest_prefers_lower_columns_and_leaves_out_zeros():
    from scipy import sparse

    matrix = np.array([[0, 2.0, 5, 2, 2], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]])
    found = strongest(sparse.csr_array(matrix), 2)
    assert found.toarray().tolist() == [[0, 2, 5, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert found.nnz == 3


def test_grids():
    assert [baseline.half_life for baseline in OwnRecency().grid()] == [15, 30, 60, 120, 240, 480]
    assert [baseline.window for baseline in RecencyPopularity().grid()] == [7, 14, 30, 60, 120]
    assert [baseline.neighbors for baseline in UserKnn().grid()] == [25, 50, 100, 200, 400]
    assert [baseline.l2 for baseline in Ease().grid()] == [500, 1000, 2000, 5000, 10000]
    assert {(one.weight, one.half_life, one.l2) for one in Blend(l2s=(7,)).grid()} == {
        (weight, half_life, 7) for weight in (0.3, 1, 3, 10) for half_life in (30, 120)
    }
    assert Popularity().grid() == (Popularity(),)
    assert ItemKnn(shrinkage=2).grid() == (ItemKnn(shrinkage=2),)
    tried = ItemKnn(similarities=("cosine", "jaccard"), neighbors_tried=(5, 9), shrinkages=(1, 2, 3)).grid()
    assert len({(one.similarity, one.neighbors, one.shrinkage) for one in tried}) == 12
    assert len({(one.regularization, one.alpha) for one in Ials().grid()}) == len(Ials().grid()) == 9
    assert {one.factors for one in Ials(factors=8).grid()} == {8}
    assert {one.factors for one in Ials(factors_tried=(4, 16)).grid()} == {4, 16}


def test_ease_does_not_apply_to_a_catalog_that_is_too_large(events):
    assert Ease(max_items=8).rank(events, CUT, ITEMS) is Blend(max_items=8).rank(events, CUT, ITEMS) is None
    assert Ease(max_items=9).rank(events, CUT, ITEMS) is not None
