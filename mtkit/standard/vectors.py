"""The built-in encoder of vectors that were made elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from mtkit.errors import DataError
from mtkit.schema import SCOPES
from mtkit.shown import shown
from mtkit.spec import Address, BuildContext, Encoder, Fraction

if TYPE_CHECKING:
    import numpy as np


class Vectors(Encoder):
    """Vectors of an entity that any model has made, joined by id, then a projection to `dim`.

    Entities that the file does not name have the unknown's vector, zeros. Users and items that are not in the data
    bring their vector along.
    """

    reads: tuple[Address] = Field(description="the id by which vectors are joined (`item.id`)")
    path: Path = Field(
        description="`.npy` of floats `[vectors, width]`, or `.parquet` with columns `id` and `vector` (a list of floats)"
    )
    ids: Path | None = Field(None, description="of an `.npy`: ids in the same order, `.npy` or text with one id a line")
    unit: bool = Field(True, description="scale every vector to length 1")
    dropout: Fraction = Field(0.0, description="dropout rate of the output")

    @model_validator(mode="after")
    def _joined_by_an_id(self) -> Self:
        if self.reads[0].column != "id" or self.reads[0].scope in SCOPES:
            raise ValueError(f"reads {self.reads[0]!r}, expected the id of an entity, such as 'item.id'")
        if self.path.suffix not in (".npy", ".parquet"):
            raise ValueError(f"path {str(self.path)!r}, expected a file that ends in .npy or .parquet")
        if (self.ids is None) == (self.path.suffix == ".npy"):
            need = "needs `ids`, a file with the id of every vector" if self.ids is None else "has its ids within"
            raise ValueError(f"path {str(self.path)!r} {need}")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The vectors, and their ids."""
        return (self.path,) if self.ids is None else (self.path, self.ids)

    @property
    def _entity(self) -> str:
        return self.reads[0].scope

    def _address(self, context: BuildContext) -> str:
        return f"{self._entity}.vector/{context.name}"

    def _vectors(self, context: BuildContext) -> tuple[np.ndarray, np.ndarray]:
        from mtkit.data.vector_files import vectors_of

        try:
            return vectors_of(context.column(self._entity, "id"), self.path, self.ids)
        except DataError as error:
            raise DataError(f"encoder {context.name}: {error}") from error

    def derive(self, context: BuildContext) -> Mapping[str, np.ndarray]:
        """The vectors float32 `[rows, width]`: zeros in row 0 and where the file has none, which is warned about.

        Raises:
            DataError: a file is missing, or is not as described.
        """
        import numpy as np

        vectors, there = self._vectors(context)
        rows = len(there) - 1
        if missing := rows - int(there.sum()):
            message = f"encoder {context.name}: {missing:,} of {rows:,} {self._entity}s have no vector in {self.path}"
            warnings.warn(shown(f"{message}; they have the unknown's"), stacklevel=2)
        if self.unit:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(lengths > 0, lengths, 1)
        return {self._address(context): vectors}

    def derivation(self, context: BuildContext) -> Any:
        """A `mtkit.layers.vectors.GivenVectors`."""
        from mtkit.layers.vectors import GivenVectors

        width = context.features[self._address(context)].width
        about = f"vector of the {self._entity} that `{context.name}` takes; zeros if there is none"
        name, address = f"{self._entity}_vector", self._address(context)
        return GivenVectors(name, width, unit=self.unit, about=about, address=address)

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.vectors.VectorProjection`."""
        from mtkit.layers.vectors import VectorProjection

        return VectorProjection(self._address(context), self.dim, self.dropout, name=context.name)
