"""Runs as TensorBoard shows them: scalars by epoch, the recipe as text, and embeddings in the projector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtkit.backend import tf
from mtkit.errors import PluginError, RunError
from mtkit.files import write_text
from mtkit.runs.answers import of_saved
from mtkit.runs.directory import RunDirectory
from mtkit.runs.recommend import open_export
from mtkit.runs.tracked import Noted, epoch_figures, final_figures, runs_in
from mtkit.shown import shown, shown_line

#: The folder of a run that TensorBoard is given.
FOLDER = "tensorboard"
_ROWS = 1024


def require() -> None:
    """Whether TensorBoard is there.

    Raises:
        PluginError: it is not.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise PluginError(
            f"hook 'tensorboard' needs tensorboard ({error}); run: pip install 'mtkit[tensorboard]'"
        ) from error


class TensorBoardLog:
    """Writes the events of runs, each below its own directory, a line in TensorBoard for each phase."""

    def __init__(self) -> None:
        self._writers: dict[Path, Any] = {}

    def epoch(self, directory: Path, phase: str, epoch: int, metrics: Any) -> None:
        """The figures of an epoch, unless they are there from before a run was stopped."""
        noted = Noted(directory / FOLDER / "epochs.json")
        if not noted.is_new(phase, epoch):
            return
        with self._writer(directory / FOLDER / phase).as_default(step=epoch) as writer:
            for name, value in epoch_figures(metrics).items():
                tf.summary.scalar(name, value)
            writer.flush()
        noted.note(phase, epoch)

    def end(self, directory: Path, embeddings: int) -> None:
        """The figures of the test, the recipe, and the embeddings of some rows of what is recommended."""
        for run in runs_in(directory):
            folder = run.path / FOLDER / "result"
            with self._writer(folder).as_default(step=0) as writer:
                for name, value in final_figures(run).items():
                    tf.summary.scalar(name, value)
                recipe = run.lock.read_text(encoding="utf-8")
                tf.summary.text("recipe", "    " + shown(recipe).replace("\n", "\n    "))
                writer.flush()
            if embeddings:
                _project(run, folder, embeddings)
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, folder: Path) -> Any:
        if folder not in self._writers:
            self._writers[folder] = tf.summary.create_file_writer(str(folder))
        return self._writers[folder]


def _project(run: RunDirectory, folder: Path, most: int) -> None:
    """Writes embeddings of the candidates of the main task, with what is known of each; none where there are none."""
    from tensorboard.plugins import projector

    try:
        _, loaded = open_export(run)
    except RunError:
        return  # an exporter of another form: nothing can be asked
    signatures = of_saved(loaded, lambda entity: run.read_catalog("test", entity, ("id",))["id"].to_numpy()[1:])
    schema = run.read_recipe().data.source.schema()
    config = projector.ProjectorConfig()
    for role, entity in list(schema.roles.items())[1:]:
        name = f"embed_{role}"
        if name not in signatures.inputs:
            continue
        rows = _some(len(signatures.ids(entity)), most)
        ids = signatures.ids(entity)[rows].astype(str)
        vectors = signatures.in_parts(name, len(ids), _ROWS, {f"{role}_id": ids})["embedding"]
        write_text(folder / f"{role}.tsv", "".join("\t".join(f"{x:.6g}" for x in row) + "\n" for row in vectors))
        write_text(folder / f"{role}_labels.tsv", _labels(run, entity, rows))
        config.embeddings.add(tensor_name=role, tensor_path=f"{role}.tsv", metadata_path=f"{role}_labels.tsv")
    if config.embeddings:
        projector.visualize_embeddings(str(folder), config)


def _some(rows: int, most: int) -> np.ndarray:
    """Rows from all over a table."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).astype(np.int64)) if rows else np.zeros(0, np.int64)


def _labels(run: RunDirectory, entity: str, rows: np.ndarray) -> str:
    """What is known of rows of a catalog, tab-separated, with a header; lists are left out."""
    table: pa.Table = pq.read_table(run.catalog("test", entity)).take(pa.array(rows + 1))
    names = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
    if names == ["id"]:  # with one column, there is no header
        return "".join(f"{shown_line(value)}\n" for value in table["id"].to_pylist())
    columns = [["" if value is None else shown_line(value) for value in table[name].to_pylist()] for name in names]
    return "".join("\t".join(line) + "\n" for line in [names, *zip(*columns, strict=True)])
