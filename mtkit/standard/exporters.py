"""Built-in exporters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from mtkit.spec import BuildContext, Encoder, Exporter, Trained

if TYPE_CHECKING:
    from mtkit.serving.similar_items import Neighbors


class SavedModel(Exporter):
    """One SavedModel with named signatures that TF Serving loads as it is."""

    unseen: bool = Field(
        True, description="signatures for users and items that are not in the data; frozen language models come along"
    )
    text_signatures: bool = Field(
        False, description="beside signatures that take texts as token ids, others that take strings (`..._text`)"
    )

    together: Annotated[int, Field(ge=0)] = Field(
        20, description="items kept for each item that most go with it by who had both (`items_together`); 0 = none"
    )
    shrinkage: Annotated[float, Field(ge=0)] = Field(
        10, description="common users at which the cosine of two such items counts half"
    )

    verify: bool = Field(
        True,
        description="whether the export has to give the same answers in a process with TensorFlow alone before it counts as done",
    )

    @model_validator(mode="after")
    def _texts_are_of_the_unseen(self) -> Self:
        if self.text_signatures and not self.unseen:
            raise ValueError("text_signatures = true is about what is not in the data; expected unseen = true with it")
        return self

    def unfit(
        self, encoders: Mapping[str, Encoder], contexts: Mapping[str, BuildContext]
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Encoders whose texts cannot come as strings, where they are to."""
        for name, encoder in encoders.items() if self.text_signatures else ():
            if why := encoder.string_refusal(contexts[name]):
                yield ("text_signatures",), f"encoder {name}: {why}"

    def export(self, trained: Trained, directory: Path) -> Path:
        """Writes a new version directory under `directory`, whole or not at all, and returns it."""
        from mtkit.serving.export import save

        return save(trained, directory, self.unseen, self.text_signatures, self._together(trained), self.verify)

    def prepare(self) -> None:
        """Starts the process that the export will be asked in."""
        if self.verify:
            from mtkit.serving.reload import begin

            begin()

    def _together(self, trained: Trained) -> Neighbors | None:
        """For each item those that most go with it, as of the end of the data, like all that a servable knows of the past."""
        from mtkit.serving.similar_items import Neighbors
        from mtkit.standard.neighbor_baselines import ItemKnn

        fold = trained.fold
        if not self.together or not fold.events.item:
            return None
        knn = ItemKnn(neighbors=self.together, shrinkage=self.shrinkage)
        return Neighbors(*knn.nearest(fold.events, fold.end, len(fold.catalog(fold.events.item))))
