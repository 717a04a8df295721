"""Checkpoints that are whole: written beside their place and renamed, read in full before anything is restored."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.files import refuse_link, remove, sweep, whole, writing

KEEP = 2
_PREFIX = "step-"
_NAME = re.compile(rf"{_PREFIX}\d{{8,}}")
CHECKPOINT = "checkpoint"
"""Name of what TensorFlow writes, in the directory of a step."""


@contextlib.contextmanager
def writing_tensors(path: Path) -> Iterator[None]:
    """As `mtkit.files.writing`, for what TensorFlow writes.

    Raises:
        RunError: `path` cannot be written.
    """
    with writing(path):
        try:
            yield
        except (tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError, tf.errors.NotFoundError) as error:
            reason = error.message.rpartition(";")[2].partition(" [Op")[0].strip()
            raise RunError(f"{path}: cannot be written: {reason}") from error


def directory_of(directory: Path, step: int) -> Path:
    """The directory of a step's checkpoint."""
    return directory / f"{_PREFIX}{step:08d}"


class Checkpoints:
    """The last checkpoints of a fit, a directory `step-N` each.

    Args:
        checkpoint: what is kept.
        directory: where.
        warn: is told when a checkpoint cannot be used.
    """

    def __init__(self, checkpoint: tf.train.Checkpoint, directory: Path, warn: Callable[[str], None]) -> None:
        self._checkpoint, self._directory, self._warn = checkpoint, directory, warn

    def save(self, step: int) -> None:
        """Writes the checkpoint of a step, and removes all but the last ones.

        Raises:
            RunError: it could not be written.
        """
        target = directory_of(self._directory, step)
        refuse_link(self._directory)
        with writing_tensors(target):
            sweep(self._directory)
            with whole(target) as temporary:
                self._checkpoint.write(str(temporary / CHECKPOINT))
        for old in self._all()[KEEP:]:
            remove(old)

    def restore(self, until: int | None = None) -> None:
        """Takes up the last checkpoint that can be read; leaves everything as it is where there is none.

        Args:
            until: leaves out checkpoints of later steps.

        Raises:
            RunError: it is of another model.
        """
        for path in self._all():
            if until is not None and int(path.name.removeprefix(_PREFIX)) > until:
                continue
            if reason := _damage(path):
                self._warn(f"{path} is damaged and left out: {reason}")
                continue
            try:
                self._checkpoint.read(str(path / CHECKPOINT)).assert_consumed()
            except (AssertionError, ValueError, tf.errors.OpError) as error:  # TensorFlow's ways to say it
                reason = str(error).splitlines()[0]
                raise RunError(
                    f"{path}: is of another model: {reason}; restore it, or train anew in another --run-dir"
                ) from error
            return

    def _all(self) -> list[Path]:
        """From the last to the first; what is called otherwise, or lies behind a link, was not made here."""
        found = self._directory.glob(f"{_PREFIX}*")
        return sorted((path for path in found if _NAME.fullmatch(path.name) and not path.is_symlink()), reverse=True)


def _damage(path: Path) -> str:
    """Why a checkpoint cannot be used, found by reading all of it; empty if it can."""
    try:
        reader = tf.train.load_checkpoint(str(path / CHECKPOINT))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:  # the reader's ways to say it
        return str(error).splitlines()[0]
    return ""
