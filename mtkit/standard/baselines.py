"""What a model has to beat: popularity, the user's own past, linear item-item models, and simple classifiers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from mtkit.errors import DataError
from mtkit.spec import Baseline, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from mtkit.types import Events, LabeledRows

    Scorer = Callable[[np.ndarray], np.ndarray]

DAY = 86400
"""Seconds."""


class RetrievalBaseline(Baseline):
    """A baseline that scores the catalog. Users without a past get equal scores, unless it says otherwise."""

    form: ClassVar[Literal["retrieval", "prediction"]] = "retrieval"


class Popularity(RetrievalBaseline):
    """Number of distinct users who bought the item; the same for every user."""

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        import numpy as np

        buyers = _bought(events, cut, items).sum(axis=0)
        return lambda users: np.broadcast_to(buyers, (len(users), items))


class OwnFrequency(RetrievalBaseline):
    """Number of the user's distinct baskets that held the item."""

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        past = _purchases(events, cut)
        return _dense_rows(_sum(past.user, past.item, _shape(events, items)))


class OwnRecency(RetrievalBaseline):
    """The user's distinct baskets that held the item, each weighted by `0.5 ** (age / half_life)`."""

    half_life: PositiveFloat = Field(120, description="days after which a basket counts half")
    half_lives: tuple[PositiveFloat, ...] = Field(
        (15, 30, 60, 120, 240, 480), min_length=1, description="half-lives tried on validation, days"
    )

    def grid(self) -> Sequence[Baseline]:
        """One for each of `half_lives`."""
        return tuple(self.model_copy(update={"half_life": half_life}) for half_life in self.half_lives)

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        past = _purchases(events, cut)
        weight = 0.5 ** ((cut - past.time) / DAY / self.half_life)
        return _dense_rows(_sum(past.user, past.item, _shape(events, items), weight))


class ItemKnn(RetrievalBaseline):
    """Sum, over the user's distinct items, of their cosine similarity with the candidate by who bought them.

    Source: Deshpande and Karypis, 2004, with all neighbors; an item is no neighbor of itself.
    """

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`."""
        import numpy as np
        from scipy import sparse

        bought = _bought(events, cut, items)
        together = (bought.T @ bought).tocsr()
        buyers = together.diagonal()
        scale = sparse.diags_array(1 / np.sqrt(buyers.clip(min=1)))
        similarity = (scale @ (together - sparse.diags_array(buyers)) @ scale).tocsr()
        if similarity.nnz > 0.1 * items**2:
            return _linear(bought, similarity.toarray())
        return lambda users: (bought[users] @ similarity).toarray()


class Ease(RetrievalBaseline):
    """Linear item-item model with a closed form, on who bought what.

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019, equation 8.
    """

    l2: PositiveFloat = Field(5000, description="the regularization λ")
    l2s: tuple[PositiveFloat, ...] = Field(
        (500, 1000, 2000, 5000, 10000), min_length=1, description="values of λ tried on validation"
    )
    max_items: PositiveInt = Field(20_000, description="largest catalog; the model is a dense matrix of its square")

    def grid(self) -> Sequence[Baseline]:
        """One for each of `l2s`."""
        return tuple(self.model_copy(update={"l2": l2}) for l2 in self.l2s)

    def rank(self, events: Events, cut: int, items: int) -> Scorer:
        """A scorer of the catalog, see `Baseline.rank`.

        Raises:
            DataError: the catalog is larger than `max_items`.
        """
        import numpy as np
        from scipy import linalg

        if items > self.max_items:
            raise DataError(
                f"baseline ease inverts a dense matrix of items x items: expected at most {self.max_items} items, got "
                f"{items} ({8 * items**2 / 2**30:.0f} GB); leave it out of [evaluate] baselines, or raise max_items"
            )
        bought = _bought(events, cut, items)
        gram = (bought.T @ bought).toarray()
        gram[np.diag_indices(items)] += self.l2
        weights = linalg.inv(gram, overwrite_a=True)
        weights /= -np.diag(weights)
        np.fill_diagonal(weights, 0)
        return _linear(bought, weights)


class Majority(Baseline):
    """The frequency of each class among the training rows, by weight; the same for every row."""

    form: ClassVar[Literal["retrieval", "prediction"]] = "prediction"

    def predict(self, train: LabeledRows, rows: LabeledRows) -> np.ndarray:
        """Probabilities, `[rows]` for binary labels, `[rows, classes]` otherwise."""
        import numpy as np

        weight = np.bincount(train.labels.astype(int), train.weights, minlength=train.classes)
        return _of_form(np.tile(weight / weight.sum(), (len(rows.labels), 1)))


class BagOfWords(Baseline):
    """Logistic regression on the tf-idf of the words of all string columns; a word counts apart in each column.

    Rows of equal texts are joined, with the weight of each label summed, which leaves the likelihood as it is. So the
    cost depends on the number of distinct texts, and many rows are no obstacle.
    """

    form: ClassVar[Literal["retrieval", "prediction"]] = "prediction"

    c: PositiveFloat = Field(1, description="inverse strength of the l2 regularization, as in scikit-learn")
    max_texts: PositiveInt = Field(100_000, description="more distinct texts than this, and it does not apply")

    def predict(self, train: LabeledRows, rows: LabeledRows) -> np.ndarray | None:
        """Probabilities, `[rows]` or `[rows, classes]`; None without words, or with more than `max_texts`."""
        import numpy as np

        names = [name for name, values in train.columns.items() if values.dtype.kind not in "biufMm"]
        if not names:
            return None
        known, asked, texts = _distinct_texts(names, train, rows)
        if len(texts) > self.max_texts or not any(map(_words, texts)):
            return None
        joint = np.zeros((len(texts), train.classes))
        np.add.at(joint, (known, train.labels.astype(int)), train.weights)
        if np.count_nonzero(joint.sum(axis=0)) < 2:
            return Majority().predict(train, rows)
        return _of_form(self._classify(texts, joint)[asked])

    def _classify(self, texts: Sequence[tuple[str, ...]], joint: np.ndarray) -> np.ndarray:
        """Probabilities `[texts, classes]` from the training weight `[texts, classes]` of each text with each class."""
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        text, label = np.nonzero(joint)
        vectorizer = TfidfVectorizer(analyzer=_words).fit([texts[i] for i in np.unique(text)])
        features = vectorizer.transform(texts)
        model = LogisticRegression(C=self.c, max_iter=2000)
        model.fit(features[text], label, sample_weight=joint[text, label])
        probabilities = np.zeros(joint.shape)
        probabilities[:, model.classes_] = model.predict_proba(features)
        return probabilities


def _words(texts: tuple[str, ...]) -> list[str]:
    return [f"{column}:{word}" for column, text in enumerate(texts) for word in re.findall(r"\w+", text.lower())]


def _distinct_texts(
    names: Sequence[str], train: LabeledRows, rows: LabeledRows
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, ...]]]:
    """The number of each training row's texts and of each asked row's, and the distinct texts in order of number."""
    import numpy as np
    import pandas as pd

    columns = {name: np.concatenate([train.columns[name], rows.columns[name]]) for name in names}
    frame = pd.DataFrame(columns, dtype=object)
    frame = frame.where(frame.notna(), "")
    number = frame.groupby(list(names), sort=False).ngroup().to_numpy()
    texts = list(frame.drop_duplicates().itertuples(index=False, name=None))
    return number[: len(train.labels)], number[len(train.labels) :], texts


def _of_form(probabilities: np.ndarray) -> np.ndarray:
    """`[rows]` for two classes, `[rows, classes]` otherwise."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


@dataclass(frozen=True)
class _Purchases:
    """Distinct (user, basket, item) in order of user and time: arrays `[purchases]`."""

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray


def _purchases(events: Events, cut: int) -> _Purchases:
    """What lies strictly before the cut; the first event stands for others of the same basket and item."""
    import numpy as np

    users, items = _pairs(events)
    before = np.flatnonzero(events.time < cut)
    keys = (items[before], events.group[before], users[before])
    order = np.lexsort(keys)
    first = np.ones(len(order), bool)
    first[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    kept = np.sort(before[order[first]])
    return _Purchases(users[kept], items[kept], events.time[kept])


def _pairs(events: Events) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the entity that acts, and of the one that is acted on."""
    users, items, *_ = events.ids.values()
    return users, items


def _shape(events: Events, items: int) -> tuple[int, int]:
    return len(events.offsets) - 1, items


def _bought(events: Events, cut: int, items: int) -> Any:
    """Sparse `[users, items]`: 1 where the user bought the item strictly before the cut."""
    import numpy as np

    users, bought = _pairs(events)
    before = events.time < cut
    matrix = _sum(users[before], bought[before], _shape(events, items))
    matrix.data = np.ones_like(matrix.data)
    return matrix


def _sum(users: np.ndarray, items: np.ndarray, shape: tuple[int, int], weights: np.ndarray | None = None) -> Any:
    """Sparse `[users, items]` of weights (default 1), summed in order: equal series have equal sums to the bit."""
    import numpy as np
    from scipy import sparse

    keys, place = np.unique(users.astype(np.int64) * shape[1] + items, return_inverse=True)
    sums = np.bincount(place, weights).astype(np.float64)
    return sparse.csr_array((sums, np.divmod(keys, shape[1])), shape=shape)


def _dense_rows(matrix: Any) -> Scorer:
    return lambda users: matrix[users].toarray()


def _linear(bought: Any, weights: np.ndarray) -> Scorer:
    return lambda users: bought[users].toarray() @ weights
