import numpy as np
import pyarrow as pa
import pytest

from mtkit.errors import DataError
from mtkit.standard.baselines import BagOfWords, Ease, ItemKnn, Majority, OwnFrequency, OwnRecency, Popularity
from mtkit.types import Events, LabeledRows

USERS, ITEMS, CUT, DAY = 13, 9, 100 * 86400, 86400
RETRIEVAL = [Popularity(), OwnFrequency(), OwnRecency(half_life=7), ItemKnn(), Ease(l2=3)]


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
    group = generator.integers(0, 60, 300)
    user = 1 + group % 11
    user[user == 3] = 4
    time = (group * 2 + 1) * DAY
    user = np.append(user, [3, 3])
    item, time = np.append(generator.integers(1, 8, 300), [1, 2]), np.append(time, [CUT, CUT + 5])
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


def item_knn(events):
    matrix = binary(events)
    scores = np.zeros((USERS, ITEMS))
    for user in range(USERS):
        for item in range(ITEMS):
            for own in np.flatnonzero(matrix[user]):
                a, b = matrix[:, own], matrix[:, item]
                if own != item and b.any():
                    scores[user, item] += a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return scores


def ease(events):
    """Each item's weights by ridge regression on the other items, which is what the closed form solves."""
    matrix = binary(events)
    weights = np.zeros((ITEMS, ITEMS))
    for item in range(ITEMS):
        others = np.delete(np.arange(ITEMS), item)
        x = matrix[:, others]
        weights[others, item] = np.linalg.solve(x.T @ x + 3 * np.eye(len(others)), x.T @ matrix[:, item])
    return matrix @ weights


@pytest.mark.parametrize(
    ("baseline", "slow"),
    list(zip(RETRIEVAL, (popularity, own_frequency, own_recency, item_knn, ease), strict=True)),
)
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


@pytest.mark.parametrize("baseline", [OwnFrequency(), OwnRecency(), ItemKnn(), Ease()])
def test_users_without_a_past_have_scores_of_zero(baseline, events):
    assert not baseline.rank(events, CUT, ITEMS)(np.array([3, 12])).any()


@pytest.mark.parametrize("baseline", RETRIEVAL)
def test_no_events_before_the_cut(baseline, events):
    assert not baseline.rank(events, 0, ITEMS)(np.arange(USERS)).any()


def test_item_knn_of_a_sparse_catalog_equals_the_dense_one(events):
    padded = ItemKnn().rank(events, CUT, 50)(np.arange(USERS))
    np.testing.assert_allclose(padded[:, :ITEMS], item_knn(events), atol=1e-12)
    assert not padded[:, ITEMS:].any()


def test_grids():
    assert [baseline.half_life for baseline in OwnRecency().grid()] == [15, 30, 60, 120, 240, 480]
    assert [baseline.l2 for baseline in Ease().grid()] == [500, 1000, 2000, 5000, 10000]
    assert Popularity().grid() == (Popularity(),)


def test_ease_refuses_a_catalog_that_is_too_large(events):
    with pytest.raises(DataError, match=r"at most 5 items, got 9 .*leave it out"):
        Ease(max_items=5).rank(events, CUT, ITEMS)


def labeled(labels, weights=None, classes=2, **columns):
    weights = np.ones(len(labels)) if weights is None else np.array(weights)
    columns = {f"item.{name}": np.array(values) for name, values in columns.items()}
    return LabeledRows(columns, np.array(labels), weights.astype(np.float32), classes)


def test_majority_gives_weighted_frequencies():
    rows = labeled([0, 0])
    np.testing.assert_allclose(Majority().predict(labeled([1, 0, 0], [2, 1, 1]), rows), [0.5, 0.5])
    train = labeled([2, 0, 2], [1, 2, 1], classes=4)
    np.testing.assert_allclose(Majority().predict(train, labeled([0], classes=4)), [[0.5, 0, 0.5, 0]])


@pytest.fixture
def texts():
    """Rows of few distinct texts in two columns, and labels that depend on them."""
    generator = np.random.default_rng(0)
    title = generator.choice(np.array(["red apple", "green apple", "blue car", "Red car", None], object), 400)
    brand = generator.choice(np.array(["apple", "acme", float("nan")], object), 400)
    labels = (np.array(["car" in (t or "") for t in title]) ^ (generator.random(400) < 0.2)).astype(int)
    return {"title": title, "brand": brand, "price": generator.random(400)}, labels, generator.random(400)


def test_bag_of_words_equals_a_regression_on_all_rows(texts):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    columns, labels, weights = texts
    documents = [
        " ".join(
            f"{name}_{word}" for name in ("title", "brand") for word in str(columns[name][row] or "").lower().split()
        )
        for row in range(400)
    ]
    documents = [document.replace("brand_nan", "") for document in documents]
    vectorizer = TfidfVectorizer().fit(sorted(set(documents[:300])))
    features = vectorizer.transform(documents)
    slow = LogisticRegression(C=1, max_iter=2000, tol=1e-8).fit(features[:300], labels[:300], weights[:300])
    train = labeled(labels[:300], weights[:300], **{name: values[:300] for name, values in columns.items()})
    rows = labeled(labels[300:], **{name: values[300:] for name, values in columns.items()})
    np.testing.assert_allclose(BagOfWords().predict(train, rows), slow.predict_proba(features[300:])[:, 1], atol=2e-3)


def test_bag_of_words_for_classes_of_which_some_do_not_occur():
    train = labeled([3, 3, 1, 1], classes=5, text=["milk", "milk fat", "bread", "white bread"])
    predictions = BagOfWords().predict(train, labeled([1, 3], classes=5, text=["black bread", "skim milk"]))
    assert predictions.shape == (2, 5)
    assert predictions.argmax(axis=1).tolist() == [1, 3]
    np.testing.assert_allclose(predictions.sum(axis=1), 1)
    assert not predictions[:, [0, 2, 4]].any()


def test_bag_of_words_of_one_class_is_the_majority():
    train = labeled([1, 1], text=["milk", "bread"])
    np.testing.assert_allclose(BagOfWords().predict(train, labeled([0], text=["milk"])), [1])


def test_bag_of_words_does_not_apply():
    assert BagOfWords().predict(labeled([0, 1], age=[3, 4]), labeled([0], age=[5])) is None
    assert BagOfWords().predict(labeled([0, 1], text=["", "!"]), labeled([0], text=["?"])) is None
    many = labeled([0, 1], text=["milk", "bread"])
    assert BagOfWords(max_texts=1).predict(many, many) is None
