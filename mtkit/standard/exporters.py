"""Built-in exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtkit.spec import Exporter


class SavedModel(Exporter):
    """One SavedModel with named signatures that TF Serving loads as it is."""

    def export(self, pipeline: Any, directory: Path) -> Path:
        """Writes a new version directory under `directory`, whole or not at all, and returns it."""
        from mtkit.export import save

        return save(pipeline, pipeline.recipe.evaluate.main_task, directory)
