"""Built-in exporters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from mtkit.spec import BuildContext, Encoder, Exporter, Trained


class SavedModel(Exporter):
    """One SavedModel with named signatures that TF Serving loads as it is."""

    unseen: bool = Field(
        True, description="signatures for users and items that are not in the data; frozen language models come along"
    )
    text_signatures: bool = Field(
        False, description="beside signatures that take texts as token ids, others that take strings (`..._text`)"
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

        return save(trained, directory, self.unseen, self.text_signatures)
