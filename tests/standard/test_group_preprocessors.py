import numpy as np
import pytest
from sklearn import decomposition, preprocessing

from mtkit.data.columns import layer_input
from mtkit.data.fit_features import together
from mtkit.schema import Address
from mtkit.spec import FeatureInfo
from mtkit.standard.group_preprocessors import Pca, TruncatedSvd
from mtkit.testing import check_import_is_light, check_preprocessor, check_spec

RANDOM = np.random.default_rng(0)
WEIGHT, PRICE = (RANDOM.normal(size=(2, 80)) * [[3], [0.1]] + [[0], [7]]).astype(np.float32)
COLOR = RANDOM.choice(["red", "green", "blue", None], 80).astype(object)
COLUMNS = {"item.weight": WEIGHT, "item.price": PRICE, "item.color": COLOR}


def joined(columns):
    return together({Address(name): values for name, values in columns.items()})


def applied(spec, state, columns):
    given = [layer_input(values) for values in columns]
    return spec.build(state)(tuple(given)).numpy()


def entries():
    """The columns as scikit-learn has them side by side."""
    numbers = preprocessing.StandardScaler().fit_transform(np.stack([WEIGHT, PRICE], 1).astype(float))
    return np.hstack([numbers, np.stack([color == COLOR for color in ("blue", "green", "red")], 1)])


def same_but_for_signs(found, expected):
    np.testing.assert_allclose(found * np.sign((found * expected).sum(0)), expected, atol=1e-5)


@pytest.mark.parametrize("whiten", [True, False])
def test_principal_components_are_those_of_scikit_learn(whiten):
    spec = Pca(columns=tuple(COLUMNS), components=3, whiten=whiten)
    state = spec.fit(joined(COLUMNS))
    assert spec.info(state) == FeatureInfo(width=3)
    expected = decomposition.PCA(3, whiten=whiten, svd_solver="full").fit_transform(entries())
    same_but_for_signs(applied(spec, state, COLUMNS.values()), expected)


def test_singular_vectors_are_those_of_scikit_learn():
    plain = TruncatedSvd(columns=tuple(COLUMNS), components=2, whiten=False)
    expected = decomposition.TruncatedSVD(2, algorithm="arpack", random_state=0).fit_transform(entries())
    same_but_for_signs(applied(plain, plain.fit(joined(COLUMNS)), COLUMNS.values()), expected)
    whitened = TruncatedSvd(columns=tuple(COLUMNS), components=2)
    expected = (expected - expected.mean(0)) / expected.std(0, ddof=1)
    same_but_for_signs(applied(whitened, whitened.fit(joined(COLUMNS)), COLUMNS.values()), expected)


def test_by_hand():
    # Two equal columns: one direction, along which a value z of both is z sqrt(2).
    columns = {"item.a": np.float32([1, 2, 3]), "item.b": np.float32([10, 20, 30])}
    spec = Pca(columns=tuple(columns), components=2, whiten=False)
    state = spec.fit(joined(columns))
    assert spec.info(state) == FeatureInfo(width=1)
    z = np.sqrt(1.5)
    found = applied(spec, state, [np.float32([3, np.nan, np.inf]), np.float32([10, 30, 20])])
    np.testing.assert_allclose(np.abs(found[:, 0]), [0, z / np.sqrt(2), 0], atol=1e-6)


@pytest.mark.parametrize("cls", [Pca, TruncatedSvd])
@pytest.mark.parametrize(
    "columns",
    [
        COLUMNS,
        {"item.weight": WEIGHT},
        {"item.color": COLOR},
        {"item.a": np.full(9, np.nan, np.float32), "item.b": np.full(9, None, object)},
        {"item.a": np.full(9, 0.1, np.float32), "item.b": np.full(9, "x", object)},
        {"item.a": np.float32([3e38, -3e38, np.inf, np.nan]), "item.b": np.float32([1e-42, 2e-42, 0, 0])},
        {"item.a": np.float32([4]), "item.b": np.array(["x"], object)},
        {"item.a": np.float32([]), "item.b": np.array([], object)},
    ],
    ids=["usual", "number", "category", "missing", "constant", "extreme", "one", "none"],
)
def test_conformance(cls, columns):
    for whiten in (True, False):
        check_preprocessor(cls(columns=tuple(columns), components=4, whiten=whiten), joined(columns))


def test_specs():
    for cls in (Pca, TruncatedSvd):
        check_spec(cls(columns=("item.weight", "item.price")))


def test_the_most_frequent_values_are_told_apart():
    values = np.array(list("aaabbc"), object)
    spec = Pca(columns=("item.kind",), max_size=2, min_count=2)
    assert spec.fit(joined({"item.kind": values}))["columns"] == [{"values": ["a", "b"]}]


def test_import_is_light():
    check_import_is_light("mtkit.standard.group_preprocessors")
