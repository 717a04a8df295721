"""What a model has to beat in prediction: the frequency of the classes or the mean, and the words of the texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mtkit.spec import Baseline, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from mtkit.types import LabeledRows


class Majority(Baseline):
    """The frequency of each class among the training rows, by weight, or the mean of numbers; the same for every row."""

    form: ClassVar[Literal["retrieval", "prediction"]] = "prediction"
    numeric: ClassVar[bool] = True
    weighs: ClassVar[bool] = True
    multi_label: ClassVar[bool] = True

    def predict(self, train: LabeledRows, rows: LabeledRows) -> np.ndarray:
        """Numbers, probabilities `[rows]` for binary labels, `[rows, classes]` otherwise."""
        import numpy as np

        if not train.classes:
            return np.full(len(rows.labels), np.average(train.labels, weights=train.weights))
        if train.labels.ndim == 2:
            return np.tile(np.average(train.labels, axis=0, weights=train.weights), (len(rows.labels), 1))
        weight = np.bincount(train.labels.astype(int), train.weights, minlength=train.classes)
        return of_form(np.tile(weight / weight.sum(), (len(rows.labels), 1)))


class BagOfWords(Baseline):
    """Logistic regression on the tf-idf of the words of all texts of the row's entities; a word counts apart in each text.

    Rows of equal texts are joined, with the weight of each label summed, which leaves the likelihood as it is. So the
    cost depends on the number of distinct texts, and many rows are no obstacle.
    """

    form: ClassVar[Literal["retrieval", "prediction"]] = "prediction"
    weighs: ClassVar[bool] = True

    c: PositiveFloat = Field(1, description="inverse strength of the l2 regularization, as in scikit-learn")
    max_texts: PositiveInt = Field(100_000, description="more distinct texts than this, and it does not apply")

    def predict(self, train: LabeledRows, rows: LabeledRows) -> np.ndarray | None:
        """Probabilities, `[rows]` or `[rows, classes]`; None without words to learn from, or with more than `max_texts`."""
        import numpy as np

        names = [name for name in train.columns if train.kinds.get(name) == "text"]
        if not names:
            return None
        known, asked, texts = _distinct_texts(names, train, rows)
        joint = np.zeros((len(texts), train.classes))
        np.add.at(joint, (known, train.labels.astype(int)), train.weights)
        learned_from = (texts[i] for i in np.flatnonzero(joint.any(axis=1)))
        if len(texts) > self.max_texts or not any(map(_words, learned_from)):
            return None
        if np.count_nonzero(joint.sum(axis=0)) < 2:
            return Majority().predict(train, rows)
        return of_form(self._classify(texts, joint)[asked])

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


def of_form(probabilities: np.ndarray) -> np.ndarray:
    """`[rows]` for two classes, `[rows, classes]` otherwise."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities
