"""What tasks do for one another, as it was measured: the file that `mtkit tasks` writes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtkit.errors import DataError, nearest


def read_affinity(path: Path, tasks: Sequence[str]) -> list[list[float]]:
    """What the task of a row does for that of a column, 0 where it was not measured, for some tasks in their order.

    The file is JSON, `{"affinity": {"tasks": [name, ...], "matrix": [[number or null, ...], ...]}}`; what else it has is not
    looked at.

    Raises:
        DataError: it cannot be read, is not as described, or lacks one of the tasks.
    """
    names, matrix = _parts(path)
    for task in tasks:
        if task not in names:
            raise DataError(f"{path}: affinity has no task {task!r}; {nearest(task, names)}")
    places = [names.index(task) for task in tasks]
    return [[float(matrix[one][other] or 0.0) for other in places] for one in places]


def _parts(path: Path) -> tuple[list[str], list[list[float | None]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected what `mtkit tasks` writes") from error
    except ValueError as error:
        raise DataError(f"{path}: is no JSON ({error}); expected what `mtkit tasks` writes") from error
    held = content.get("affinity") if isinstance(content, dict) else None
    if not isinstance(held, dict) or not {"tasks", "matrix"} <= held.keys():
        raise DataError(f"{path}: has no affinity with tasks and matrix; expected what `mtkit tasks` writes")
    names, matrix = held["tasks"], held["matrix"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise DataError(f"{path}: affinity.tasks: expected names of tasks, each once")
    if not _is_square(matrix, len(names)):
        raise DataError(
            f"{path}: affinity.matrix: expected {len(names)} rows of {len(names)} numbers, one for each two tasks, null where "
            "it was not measured"
        )
    return names, matrix


def _is_square(matrix: Any, size: int) -> bool:
    if not isinstance(matrix, list) or len(matrix) != size:
        return False
    return all(isinstance(row, list) and len(row) == size and all(map(_is_number, row)) for row in matrix)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value is None or is_number
