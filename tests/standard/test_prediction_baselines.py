import numpy as np
import pytest

from mtkit.standard.prediction_baselines import BagOfWords, Majority
from mtkit.types import LabeledRows


def labeled(labels, weights=None, classes=2, **columns):
    """Rows of an item's columns: texts, and numbers."""
    weights = np.ones(len(labels)) if weights is None else np.array(weights)
    columns = {f"item.{name}": np.array(values) for name, values in columns.items()}
    kinds = {name: "numeric" if values.dtype.kind in "fi" else "text" for name, values in columns.items()}
    return LabeledRows(columns, np.array(labels), weights.astype(np.float32), classes, kinds)


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
    # A text that is recorded only after training: nothing was learned of it.
    assert BagOfWords().predict(labeled([0, 1], text=["", ""]), labeled([0], text=["milk"])) is None
    many = labeled([0, 1], text=["milk", "bread"])
    assert BagOfWords(max_texts=1).predict(many, many) is None
