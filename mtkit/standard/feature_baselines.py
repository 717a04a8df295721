"""What a model has to beat in prediction from the features that it reads: linear models and trees, by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mtkit.spec import Baseline, PositiveFloat, PositiveInt
from mtkit.standard.prediction_baselines import Majority, of_form

if TYPE_CHECKING:
    import numpy as np

    from mtkit.types import LabeledRows

_LISTED = 64
"""Values of a list of which trees are told, those that are most frequent in training."""
_CATEGORIES = 254
"""Values that scikit-learn's trees tell apart in a categorical feature, besides a missing one."""


class _FeatureBaseline(Baseline):
    """Learns from the categorical, numeric and list features, and the ids, that the task's embeddings depend on."""

    form: ClassVar[Literal["retrieval", "prediction"]] = "prediction"
    weighs: ClassVar[bool] = True

    max_rows: PositiveInt = Field(200_000, description="most training rows; of a larger table, this many are drawn")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of the rows that are drawn")

    def predict(self, train: LabeledRows, rows: LabeledRows) -> np.ndarray | None:
        """Probabilities, `[rows]` or `[rows, classes]`, or numbers; None where the task reads no such features."""
        import numpy as np

        if train.labels.ndim == 2:
            return self._of_each_class(train, rows)
        drawn = self._drawn(train)
        labels, weights = train.labels[drawn], train.weights[drawn].astype(np.float64)
        if not list(_features(train)):
            return None
        train = _without_unknown(train, drawn)
        if len(occurring := np.unique(labels)) == 1 or not list(_features(train)):
            return Majority().predict(train, rows)
        if not train.classes:
            return self._learned(train, drawn, rows, labels, weights)
        probabilities = np.zeros((len(rows.labels), train.classes))
        probabilities[:, occurring.astype(int)] = self._learned(train, drawn, rows, labels.astype(int), weights)
        return of_form(probabilities)

    def _of_each_class(self, train: LabeledRows, rows: LabeledRows) -> np.ndarray | None:
        """Probabilities `[rows, classes]` of labels of any number of classes, each learned for itself."""
        import numpy as np

        pairs = [
            [replace(part, labels=part.labels[:, each], classes=2) for part in (train, rows)]
            for each in range(train.classes)
        ]
        found = [values for pair in pairs if (values := self.predict(*pair)) is not None]
        return np.column_stack(found) if found else None

    def _drawn(self, train: LabeledRows) -> np.ndarray:
        """Numbers of the training rows of positive weight, `max_rows` of them at most."""
        import numpy as np

        there = np.flatnonzero(train.weights > 0)
        if len(there) <= self.max_rows:
            return there
        return np.sort(np.random.default_rng(self.seed).choice(there, self.max_rows, replace=False))

    def _learned(
        self, train: LabeledRows, drawn: np.ndarray, rows: LabeledRows, labels: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """Learned on the drawn training rows: of `rows` probabilities `[rows, classes that occur]`, or numbers `[rows]`."""
        raise NotImplementedError


class LogisticRegression(_FeatureBaseline):
    """Logistic regression on the features that the task reads, by scikit-learn.

    Numbers are standardized, a missing one is the mean and has an indicator; each value of a categorical feature or an id
    has a weight, so that there is a bias for every user and item that the task reads, and so has each value of a list, by its
    own weight in the row. Histories and texts are left out. Where any number of classes applies, each is learned for itself.
    """

    multi_label: ClassVar[bool] = True

    c: PositiveFloat = Field(1, description="inverse strength of the l2 regularization, as in scikit-learn")
    cs: tuple[PositiveFloat, ...] = Field((0.1, 1, 10), min_length=1, description="values of `c` tried on validation")
    iterations: PositiveInt = Field(200, description="iterations of L-BFGS, at most")

    def grid(self) -> Sequence[Baseline]:
        """One for each of `cs`."""
        return tuple(self.model_copy(update={"c": c}) for c in self.cs)

    def _learned(
        self, train: LabeledRows, drawn: np.ndarray, rows: LabeledRows, labels: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        import numpy as np
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression as Classifier

        known, asked = _matrices(train, drawn, rows)
        model = Classifier(C=self.c, max_iter=self.iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `iterations` is a budget
            model.fit(known, labels, sample_weight=weights)
        return np.asarray(model.predict_proba(asked))


class Ridge(_FeatureBaseline):
    """Ridge regression of a number on the features that the task reads, by scikit-learn.

    Features are those of `logistic_regression`. With the ids of users and items as features it is the model of biases that
    rating prediction starts from: a mean, and a bias for each user and item. It does not apply to classes.
    """

    numeric: ClassVar[bool] = True

    alpha: PositiveFloat = Field(1, description="strength of the l2 regularization, as in scikit-learn")
    alphas: tuple[PositiveFloat, ...] = Field(
        (1, 10, 100), min_length=1, description="values of `alpha` tried on validation"
    )

    def grid(self) -> Sequence[Baseline]:
        """One for each of `alphas`."""
        return tuple(self.model_copy(update={"alpha": alpha}) for alpha in self.alphas)

    def predict(self, train: LabeledRows, rows: LabeledRows) -> np.ndarray | None:
        """Numbers `[rows]`; None where the label is a class, or the task reads no such features."""
        return None if train.classes else super().predict(train, rows)

    def _learned(
        self, train: LabeledRows, drawn: np.ndarray, rows: LabeledRows, labels: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        import numpy as np
        from sklearn.linear_model import Ridge as Regression

        known, asked = _matrices(train, drawn, rows)
        return np.asarray(Regression(alpha=self.alpha).fit(known, labels, sample_weight=weights).predict(asked))


class GradientBoosting(_FeatureBaseline):
    """Gradient-boosted trees on the features that the task reads, by scikit-learn's histogram method; of numbers, too.

    Missing numbers have branches of their own. Of a categorical feature or an id the 254 values that are most frequent in
    training are told apart; of a list, there is a column for each of the 64 most frequent values. A leaf holds at least 20
    rows, whatever they weigh. Histories and texts are left out.
    """

    numeric: ClassVar[bool] = True

    trees: PositiveInt = Field(100, description="boosting rounds")
    learning_rate: PositiveFloat = Field(0.1, description="share of each round that counts")
    leaves: Annotated[int, Field(ge=2)] = Field(31, description="leaves of a tree, at most")
    learning_rates: tuple[PositiveFloat, ...] = Field(
        (0.03, 0.1), min_length=1, description="`learning_rate` tried on validation"
    )
    leaves_tried: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (8, 31), min_length=1, description="`leaves` tried on validation"
    )

    def grid(self) -> Sequence[Baseline]:
        """Every combination of `learning_rates` and `leaves_tried`."""
        settings = product(self.learning_rates, self.leaves_tried)
        return tuple(self.model_copy(update={"learning_rate": rate, "leaves": leaves}) for rate, leaves in settings)

    def _learned(
        self, train: LabeledRows, drawn: np.ndarray, rows: LabeledRows, labels: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        import numpy as np
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        pairs = [
            (kind, *_tree_columns(kind, known, asked, weights)) for kind, known, asked in _columns(train, drawn, rows)
        ]
        known, asked = (np.column_stack(parts) for parts in list(zip(*pairs, strict=True))[1:])
        categorical = [kind in ("categorical", "id") for kind, part, _ in pairs for _ in np.atleast_2d(part.T)]
        kind_of_model = HistGradientBoostingClassifier if train.classes else HistGradientBoostingRegressor
        model = kind_of_model(
            max_iter=self.trees,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.leaves,
            categorical_features=categorical,
            early_stopping=False,
        )
        model.fit(known, labels, sample_weight=weights)
        return np.asarray(model.predict_proba(asked) if train.classes else model.predict(asked))


def _features(rows: LabeledRows) -> Iterator[tuple[str, str]]:
    """Address and kind of the columns, without texts."""
    for address, kind in rows.kinds.items():
        if kind in ("numeric", "categorical", "id", "list"):
            yield address, kind


def _without_unknown(train: LabeledRows, drawn: np.ndarray) -> LabeledRows:
    """The rows without the columns that are null in all that are drawn, as one is that was recorded only later."""
    import pandas as pd

    from mtkit.data.list_values import values_of

    known = {address for address, _ in _features(train) if pd.notna(values_of(train.columns[address][drawn])).any()}
    return replace(train, kinds={address: kind for address, kind in train.kinds.items() if address in known})


def _columns(train: LabeledRows, drawn: np.ndarray, rows: LabeledRows) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Kind of each feature, its values in the drawn training rows, and in the rows asked for."""
    for address, kind in _features(train):
        yield kind, train.columns[address][drawn], rows.columns[address]


def _matrices(train: LabeledRows, drawn: np.ndarray, rows: LabeledRows) -> tuple[Any, Any]:
    """Sparse features `[rows, width]` of the drawn training rows, and of the rows asked for."""
    from scipy import sparse

    made = {
        "numeric": lambda known, asked: _standardized(known, asked, train.weights[drawn]),
        "categorical": _one_hot,
        "id": _one_hot,
        "list": _bags,
    }
    columns = [made[kind](known, asked) for kind, known, asked in _columns(train, drawn, rows)]
    known, asked = (sparse.hstack(parts, format="csr") for parts in zip(*columns, strict=True))
    return known, asked


def _standardized(known: np.ndarray, asked: np.ndarray, weights: np.ndarray) -> tuple[Any, Any]:
    """Sparse `[rows, 2]`: the number by weighted mean and deviation of the known ones, and whether it is missing."""
    import numpy as np
    from scipy import sparse

    there, by = (values[~np.isnan(known)].astype(np.float64) for values in (known, weights))
    mean, deviation = 0.0, 1.0
    if len(there):
        mean = np.average(there, weights=by)
        deviation = np.sqrt(np.average((there - mean) ** 2, weights=by)) or 1.0

    def matrix(values: np.ndarray) -> Any:
        missing = np.isnan(values)
        return sparse.csr_array(np.column_stack([np.where(missing, 0, (values - mean) / deviation), missing]))

    return matrix(known), matrix(asked)


def _one_hot(known: np.ndarray, asked: np.ndarray) -> tuple[Any, Any]:
    """Sparse `[rows, values]`: a column for each known value; values that are not known have none."""
    import numpy as np
    import pandas as pd
    from scipy import sparse

    code, values = pd.factorize(known)

    def matrix(codes: np.ndarray) -> Any:
        row = np.flatnonzero(codes >= 0)
        return sparse.csr_array((np.ones(len(row)), (row, codes[row])), shape=(len(codes), len(values)))

    return matrix(code), matrix(pd.Index(values).get_indexer(asked))


def _bags(known: np.ndarray, asked: np.ndarray, most: int | None = None) -> tuple[Any, Any]:
    """Sparse `[rows, values]`: the weight of each value of a list; `most` keeps those that are most frequent in training."""
    import pandas as pd
    from scipy import sparse

    from mtkit.data.list_values import bag

    values = pd.Series(bag(known)[1]).value_counts().index[:most]

    def matrix(lists: np.ndarray) -> Any:
        row, held, weights = bag(lists)
        code = values.get_indexer(held)
        there = code >= 0
        return sparse.csr_array((weights[there], (row[there], code[there])), shape=(len(lists), len(values)))

    return matrix(known), matrix(asked)


def _tree_columns(
    kind: str, known: np.ndarray, asked: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Floats `[rows]`, or `[rows, values]` of a list."""
    if kind == "numeric":
        return known, asked
    if kind != "list":
        return _codes(known, asked, weights)
    one, other = _bags(known, asked, _LISTED)
    return one.toarray(), other.toarray()


def _codes(known: np.ndarray, asked: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Floats `[rows]`: numbers of the known values that are most frequent by weight, nan for others."""
    import pandas as pd

    counts = pd.Series(known).value_counts()
    by_weight = pd.Series(weights).groupby(known).sum().reindex(counts.index)
    frequent = by_weight.sort_values(ascending=False, kind="stable").index[:_CATEGORIES]

    def codes(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = frequent.get_indexer(values).astype(float)
        found[found < 0] = float("nan")
        return found

    return codes(known), codes(asked)
