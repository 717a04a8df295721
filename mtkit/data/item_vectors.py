"""Vectors of the catalog's rows, whose products say how much two rows have in common; no TensorFlow."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mtkit.data.columns import raw
from mtkit.data.list_values import bag
from mtkit.errors import DataError
from mtkit.schema import Address
from mtkit.types import Fold


def item_vectors(fold: Fold, address: str) -> Any:
    """A SciPy sparse array float64 `[rows, width]`, rows of length 1, or 0 where the column is null.

    Texts become tf-idf of their words, so that the product of two rows is their cosine; values of other columns become
    one-hot, so that it is 1 where they are equal; of lists it is the cosine of what they hold, by their weights.

    Args:
        fold: the fold.
        address: a column of an entity, as in `item.category`.

    Raises:
        DataError: the column holds numbers that are no categories.
    """
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import TfidfVectorizer

    entity, name = Address(address).scope, Address(address).column
    declared = fold.schema.columns(entity)[name]
    values = raw(fold.catalog(entity).columns[name], declared)
    if declared.listed:
        return _of_lists(values)
    if values.dtype != object:
        raise DataError(f"{address} is numeric; what items have in common is told by categories and texts")
    there = np.array([value is not None for value in values])
    if declared.kind == "text":
        words = re.compile(r"\w+").findall
        texts = [text.lower() for text in np.where(there, values, "")]
        if not any(map(words, texts)):
            return csr_array((len(texts), 1))
        return csr_array(TfidfVectorizer(analyzer=words, lowercase=False).fit_transform(texts))
    _, code = np.unique(np.where(there, values, ""), return_inverse=True)
    rows = np.flatnonzero(there)
    return csr_array((np.ones(len(rows)), (rows, code[rows])), (len(values), code.max() + 1))


def _of_lists(values: np.ndarray) -> Any:
    """Rows of the weights of their values, of length 1; no values are 0."""
    from scipy.sparse import csr_array
    from sklearn.preprocessing import normalize

    rows, held, weights = bag(values)
    known, code = np.unique(held, return_inverse=True)
    return csr_array(normalize(csr_array((weights, (rows, code)), (len(values), max(len(known), 1)))))
