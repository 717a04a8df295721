"""Built-in exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from mtkit.spec import Exporter


class SavedModel(Exporter):
    """One SavedModel with named signatures that TF Serving loads as it is."""

    unseen: bool = Field(
        True, description="signatures for users and items that are not in the data; frozen language models come along"
    )

    def export(self, pipeline: Any, directory: Path) -> Path:
        """Writes a new version directory under `directory`, whole or not at all, and returns it."""
        from mtkit.export import save

        return save(pipeline, directory, self.unseen)
