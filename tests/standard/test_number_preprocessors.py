import numpy as np
import pytest
from sklearn import preprocessing as sklearn
from sklearn.impute import SimpleImputer

from mtkit.errors import DeclarationError
from mtkit.spec import FeatureInfo
from mtkit.standard.number_preprocessors import Buckets, Log, MinMax, Quantile, Robust, Standardize
from mtkit.testing import check_import_is_light, check_preprocessor, check_spec

AGE = ("user.age",)
RANDOM = np.random.default_rng(0)
SKEWED = np.exp(RANDOM.normal(size=700)).astype(np.float32)
SIGNED = (RANDOM.normal(size=700) * 30 - 20).astype(np.float32)
OF_SCIKIT = [
    (Standardize, {}, sklearn.StandardScaler()),
    (Robust, {}, sklearn.RobustScaler()),
    (Robust, {"quantiles": (0.1, 0.8)}, sklearn.RobustScaler(quantile_range=(10, 80))),
    (MinMax, {}, sklearn.MinMaxScaler()),
    (MinMax, {"range": (-1, 3)}, sklearn.MinMaxScaler((-1, 3))),
    (Quantile, {"count": 50}, sklearn.QuantileTransformer(n_quantiles=50, subsample=None)),
    (Quantile, {}, sklearn.QuantileTransformer(n_quantiles=500, subsample=None)),
    (
        Quantile,
        {"count": 100, "output": "normal"},
        sklearn.QuantileTransformer(n_quantiles=100, output_distribution="normal", subsample=None),
    ),
    (Log, {}, None),
    (Log, {"negative": "shift"}, None),
]
ALL = [(spec, options) for spec, options, _ in OF_SCIKIT]


def transformed(spec, values, others=None):
    return spec.build(spec.fit(values))(values if others is None else others).numpy()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 3, np.nan, np.inf], (2.0, 1.0)),
        ([5, 5], (5.0, 1.0)),
        ([np.nan], (0.0, 1.0)),
        ([], (0.0, 1.0)),
    ],
)
def test_standardize_learns_from_known_values(values, expected):
    state = Standardize(columns=()).fit(np.array(values, dtype=np.float32))
    assert (state["center"], state["scale"]) == expected
    assert Standardize(columns=()).info(state) == FeatureInfo(width=2)


def test_buckets_hold_about_as_many_values_each():
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    state = Buckets(columns=(), count=4).fit(np.append(values, np.nan))
    filled = np.bincount(np.searchsorted(state["edges"], values, side="right"))
    assert filled.tolist() == [250] * 4
    assert Buckets(columns=()).info(state) == FeatureInfo(size=5)


def test_buckets_of_repeated_and_of_no_values():
    spec = Buckets(columns=(), count=10)
    assert spec.fit(np.array([1, 1, 1, 1, 2], dtype=np.float32)) == {"edges": pytest.approx([1, 1.2, 1.6])}
    assert spec.info(spec.fit(np.array([np.nan], dtype=np.float32))) == FeatureInfo(size=2)
    with pytest.raises(DeclarationError, match="count: expected a whole number of at least 2, got 1"):
        Buckets(columns=(), count=1)


@pytest.mark.parametrize("values", [SKEWED, SIGNED], ids=["skewed", "signed"])
@pytest.mark.parametrize(("spec", "options", "of_scikit"), [case for case in OF_SCIKIT if case[2] is not None])
def test_as_scikit_learn(spec, options, of_scikit, values):
    values = values.copy()
    values[100:140] = values[100]  # some that repeat
    of_scikit.fit(values[:500, None])
    expected = of_scikit.transform(values[:, None].astype(float))[:, 0]
    found = transformed(spec(columns=AGE, **options), values[:500], values)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    assert not found[:, 1].any()


@pytest.mark.parametrize("fill", ["mean", "median", "most_frequent", 4.5])
@pytest.mark.parametrize("spec", [Standardize, Robust, MinMax, Log, Quantile])
def test_missing_values_are_as_scikit_learn_imputes_them(spec, fill):
    values = np.round(SKEWED, 1)
    values[::9] = np.nan
    chosen = spec(columns=AGE, fill=fill)
    imputer = SimpleImputer(strategy="constant", fill_value=fill) if fill == 4.5 else SimpleImputer(strategy=fill)
    imputed = imputer.fit_transform(values[:, None].astype(float))[:, 0].astype(np.float32)
    found = transformed(chosen, values)
    np.testing.assert_allclose(found[:, 0], transformed(chosen, values, imputed)[:, 0], atol=1e-6)
    np.testing.assert_array_equal(found[:, 1], np.isnan(values))


def test_by_hand():
    values = np.array([0, 1, 3, 7, np.nan], np.float32)
    assert transformed(MinMax(columns=AGE), values).tolist() == pytest.approx(
        np.array([[0, 0], [1 / 7, 0], [3 / 7, 0], [1, 0], [2.75 / 7, 1]])
    )
    logs = np.log([1, 2, 4, 8])
    signed = transformed(Log(columns=AGE, fill=0), values, np.append(values, -3).astype(np.float32))
    expected = (np.append(logs, [0, -np.log(4)]) - logs.mean()) / logs.std()
    np.testing.assert_allclose(signed[:, 0], expected, rtol=1e-6)
    shifted = transformed(Log(columns=AGE, negative="shift"), values - 5, np.array([-5, -9, 2], np.float32))
    np.testing.assert_allclose(shifted[:, 0], (logs[[0, 0, 3]] - logs.mean()) / logs.std(), rtol=1e-6)
    # Median 2, quartiles 0.75 and 4.
    np.testing.assert_allclose(transformed(Robust(columns=AGE), values)[:, 0] * 3.25, [-2, -1, 1, 5, 0], rtol=1e-6)


def test_values_beyond_the_quantiles_of_clip_count_as_these():
    values = np.arange(101, dtype=np.float32)
    clipped = MinMax(columns=AGE, clip=(0.1, 0.9), indicator=False, fill=-20)
    found = transformed(clipped, values, np.array([3, 10, 50, 90, 1e30, np.nan], np.float32))
    assert found.tolist() == pytest.approx(np.array([[0], [0], [0.5], [1], [1], [-30 / 80]]))
    assert clipped.info({}) == FeatureInfo(width=1)
    assert transformed(MinMax(columns=AGE, clip=(0, 1)), values, np.array([-5, 500], np.float32))[:, 0].tolist() == [
        0,
        1,
    ]


def test_quantiles_of_values_that_repeat_are_the_middle_of_their_shares():
    values = np.repeat(np.float32([0, 1, 5]), [60, 20, 20])
    found = transformed(Quantile(columns=AGE), values, np.float32([-1, 0, 1, 5, 9]))[:, 0]
    assert found.tolist() == pytest.approx([59 / 2 / 99, 59 / 2 / 99, 69.5 / 99, 89.5 / 99, 89.5 / 99])


@pytest.mark.parametrize(("spec", "options"), ALL)
@pytest.mark.parametrize(
    "values",
    [
        SIGNED[:30],
        [0.1] * 30,
        [np.nan, 3, np.inf, -np.inf, 3.4e38, -3.4e38],
        [1e-42, 2e-42],
        [3.4e38, 3.3e38],
        [np.nan],
        [],
    ],
    ids=["usual", "constant", "extreme", "tiny", "huge", "missing", "none"],
)
def test_conformance(spec, options, values):
    for more in ({}, {"clip": (0.05, 0.95)}, {"indicator": False, "fill": "most_frequent"}):
        check_preprocessor(spec(columns=AGE, **options, **more), np.array(values, np.float32))


@pytest.mark.parametrize(("spec", "options"), ALL)
def test_a_constant_column_says_nothing(spec, options):
    found = transformed(spec(columns=AGE, **options), np.full(7, 0.1, np.float32))
    assert len(np.unique(found)) <= 2
    assert np.abs(found).max() <= 1


def test_specs():
    for spec, options in ALL:
        check_spec(spec(columns=AGE, **options))


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (Robust, {"clip": (0.9, 0.1)}, "expected the lower number first"),
        (Robust, {"clip": (0.1, 1.1)}, r"clip\[1\]: expected a number from 0 to 1, got 1\.1"),
        (Robust, {"quantiles": (0.5, 0.5)}, "expected the lower number first"),
        (MinMax, {"range": (1, 1)}, "expected the lower number first"),
        (Quantile, {"count": 1}, "count: expected a whole number from 2 to 10000, got 1"),
        (Standardize, {"fill": "max"}, "fill"),
    ],
)
def test_options_that_do_not_fit(spec, options, message):
    with pytest.raises(DeclarationError, match=message):
        spec(columns=AGE, **options)


def test_import_is_light():
    check_import_is_light("mtkit.standard.number_preprocessors")
