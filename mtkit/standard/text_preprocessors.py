"""Preprocessors of texts: what is changed before encoders read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from mtkit.schema import ColumnKind
from mtkit.spec import FeatureInfo, Preprocessor

if TYPE_CHECKING:
    import numpy as np


class CleanText(Preprocessor):
    """Texts without markup, and without several spaces in a row or spaces around; in the order of its options.

    All encoders of the texts read them cleaned, in the catalog and in requests that bring strings; token ids of requests are to
    be made of cleaned texts. Baselines, and what compares items by a column, have texts as they are.
    """

    column_kinds: ClassVar[tuple[ColumnKind, ...]] = ("text",)

    html: bool = Field(
        True,
        description="whether comments, scripts and tags are left out, and entities (`&amp;`, `&#228;`) are characters",
    )
    urls: bool = Field(False, description="whether addresses (`https://...`, `www...`) are left out")
    unicode: bool = Field(
        True,
        description="whether characters are those of NFKC: full-width and ligatures as usual letters, accents in one character",
    )
    lower: bool = Field(
        False, description="whether letters become lower-case; tokenizers of uncased checkpoints do it themselves"
    )

    def fit(self, values: np.ndarray) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def info(self, state: Mapping[str, Any]) -> FeatureInfo:
        """A text."""
        return FeatureInfo()

    def build(self, state: Mapping[str, Any]) -> Any:
        """A `mtkit.layers.text_cleaning.CleanText`: strings `[rows]` to strings."""
        from mtkit.layers.text_cleaning import CleanText as Layer

        return Layer(html=self.html, urls=self.urls, unicode=self.unicode, lower=self.lower)
