"""What the directory of a run keeps, as a report reads it; nothing of it is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mtkit.errors import RunError
from mtkit.evaluation.user_sums import MODEL
from mtkit.recipe.loader import Recipe
from mtkit.report.markup import clipped
from mtkit.report.measures import ListFacts, Reliability, list_facts, reliability
from mtkit.report.numbers import value_of
from mtkit.report.records import (
    LISTS,
    OF_CLASSES,
    PREDICTIONS,
    VECTORS,
    DataEvidence,
    ModelEvidence,
    Predicted,
    TaskRecord,
)
from mtkit.runs.damage import read_json, reading
from mtkit.runs.directory import RunDirectory
from mtkit.runs.results import RunResults
from mtkit.types import MetricKey

_AGAIN = "remove it, and the report does without; or run the recipe anew"
#: Names of columns that say what a row is.
_TITLES = ("title", "name", "label")
#: Characters of an id that stands beside a text.
_ID = 20
#: Categories by which items can be told apart.
_GROUPS = 40


class KeptRun:
    """A finished run, or several of one recipe.

    Args:
        path: its directory; of several seeds or folds, that above them. What there is one of for each, such as curves, is
            taken of the first.
        tasks: a task report, `tasks.json` of `mtkit tasks`; None = there is none.

    Raises:
        RunError: no run is here, or it is not finished.
    """

    def __init__(self, path: Path, tasks: Path | None = None) -> None:
        self.path, self._tasks = path, tasks
        self.several = RunDirectory(path).replicates()
        self.directory = RunDirectory(self.several[0]) if self.several else RunDirectory(path)
        self.directory.check_run()
        whole = RunDirectory(path)
        if not whole.metrics.is_file():
            raise RunError(
                f"{path}: the run is not finished: there is no {whole.metrics.name}; continue it with --resume"
            )
        results: RunResults = read_json(whole.metrics, RunResults, "restore it, or run the recipe anew")
        self.metrics: Mapping[str, Any] = results.plain()
        self.finished = whole.metrics.stat().st_mtime

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, by its lock."""
        return self.directory.read_recipe()

    @cached_property
    def lock(self) -> str:
        """The text of the lock."""
        return self.directory.lock.read_text(encoding="utf-8")

    @property
    def test(self) -> Mapping[str, Any]:
        """The model's figures on the test; none where there is no model."""
        return self.metrics.get("test") or {}

    @property
    def baselines(self) -> Mapping[str, Mapping[str, Any]]:
        """Baseline -> its figures on the test."""
        return self.metrics.get("baselines") or {}

    @property
    def verdicts(self) -> Sequence[Mapping[str, Any]]:
        """Each task beside its best baseline."""
        return self.metrics.get("verdicts") or ()

    @property
    def valid(self) -> Mapping[str, Any]:
        """The model's figures on validation; none of several runs."""
        return (self.metrics.get("valid") or {}).get("model") or {}

    def interval(self, key: str, baseline: str = "") -> Sequence[float] | None:
        """Bounds of a figure of the model, or of a baseline."""
        found = self.metrics.get("intervals") or {}
        of = found.get("baselines", {}).get(baseline, {}) if baseline else found.get("test", {})
        bounds: Sequence[float] | None = of.get(key)
        return bounds

    def rows(self, group: str) -> int | None:
        """How many rows are behind figures; of several runs, of the first."""
        count = (self.metrics.get("counts") or {}).get(group)
        return count[0] if isinstance(count, list) else count

    def deciding(self, task: str) -> str | None:
        """The key of the figure by which a task stands beside others; None where it has none."""
        keys = [f"{line['task']}/{line['metric']}" for line in self.verdicts if line["task"] == task]
        return keys[0] if keys else next((key for key in self.test if MetricKey.parse(key).task == task), None)

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        return self.directory.read_history()

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row for each phase and epoch."""
        frame = pd.DataFrame(self._rows)
        numbers = [name for name in frame.columns if name != "phase"]
        frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
        return frame

    @cached_property
    def scores(self) -> Mapping[str, np.ndarray]:
        """Task -> its score on validation after each epoch, more being better, nan = undefined."""
        if not self.directory.scores.exists():
            return {}
        return {task: np.array(values, np.float64) for task, values in self.directory.read_scores().items()}

    @cached_property
    def data(self) -> DataEvidence:
        """What a first look found in the data."""
        path = self.directory.found
        return read_json(path, DataEvidence, _AGAIN) if path.exists() else {}

    @cached_property
    def said(self) -> ModelEvidence:
        """What the model said of the test, beside its figures."""
        path = self.directory.evidence / "test.json"
        return read_json(path, ModelEvidence, _AGAIN) if path.exists() else {}

    def _predicted(self, task: str) -> Predicted | None:
        return self.said.get("predictions", {}).get(task)

    def form(self, task: str) -> str:
        """What the predictions of a task are; empty where none are kept."""
        found = self._predicted(task)
        return found["form"] if found else ""

    def classes(self, task: str) -> Sequence[str]:
        """Names of the classes of a task."""
        found = self._predicted(task)
        return found["classes"] if found else ()

    def predictions(self, task: str) -> pd.DataFrame | None:
        """Kept predictions of a task; None where there are none."""
        more = OF_CLASSES if self.form(task) == "classes" else ()
        return self._frame(f"predictions-{task}", (*PREDICTIONS, *more)) if self.form(task) else None

    def lists(self, task: str) -> pd.DataFrame | None:
        """Kept lists of a task; None where there are none."""
        return self._frame(f"lists-{task}", LISTS)

    def vectors(self, task: str) -> pd.DataFrame | None:
        """Kept vectors of items; None where there are none."""
        return self._frame(f"vectors-{task}", VECTORS)

    def _frame(self, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
        path = self.directory.evidence / f"{name}.parquet"
        if path not in self._frames:
            found = None
            if path.exists():
                with reading(path, _AGAIN):
                    found = pq.read_table(path).select(columns).to_pandas()
            self._frames[path] = found
        return self._frames[path]

    @cached_property
    def _frames(self) -> dict[Path, pd.DataFrame | None]:
        return {}

    @property
    def _entities(self) -> list[str]:
        """Who acts, what is acted on, and others, by the columns of the interactions."""
        return list(self.recipe.data.source.schema().roles.values())

    @property
    def item_entity(self) -> str:
        """The entity that is ranked: what is acted on."""
        return self._entities[1]

    def names(self, entity: str) -> list[str]:
        """What stands for each row of a catalog: its id, and a text where there is one."""
        if entity not in self._names:
            self._names[entity] = self._named(entity)
        return self._names[entity]

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        return {}

    def _named(self, entity: str) -> list[str]:
        columns = ["id", *self._text_column(entity)]
        table = self.directory.read_catalog(self._fold(entity), entity, columns)
        ids, *texts = (table[name].to_pylist() for name in columns)
        if not texts:
            return [str(one) for one in ids]
        return [_called(str(one), text) for one, text in zip(ids, texts[0], strict=True)]

    def _fold(self, entity: str) -> str:
        """The fold whose catalog is kept: that of validation where the model is not trained anew for the test."""
        tested, valid = (self.directory.catalog(fold, entity).exists() for fold in ("test", "valid"))
        return "valid" if valid and not tested else "test"

    def _text_column(self, entity: str) -> list[str]:
        """The column that says what a row of a catalog is, if there is one."""
        schema = self.recipe.data.source.schema()
        texts, categories = (schema.of_kind(kind, entity) for kind in ("text", "categorical"))
        titles = [name for name in (*texts, *categories) if name.lower() in _TITLES]
        return [*titles, *texts][:1]

    def groups(self, entity: str) -> list[str] | None:
        """A category of each row of a catalog, by which items can be colored; None where there is none with few values."""
        schema = self.recipe.data.source.schema()
        labels = [name for name in schema.of_kind("label", entity) if schema.entities[entity][name].classes]
        names = (*schema.of_kind("categorical", entity), *labels)
        path = self.directory.catalog(self._fold(entity), entity)
        with reading(path, _AGAIN):
            table = pq.read_table(path)
        for values in (table[name].to_pylist() for name in names if name in table.column_names):
            if 2 <= len({*values} - {None}) <= _GROUPS:
                return [str(value) for value in values]
        return None

    @property
    def export_bytes(self) -> int:
        """The size of the newest export; 0 where there is none."""
        made = sorted(
            (path for path in self.directory.export.glob("*") if path.name.isdigit()), key=lambda path: int(path.name)
        )
        return sum(path.stat().st_size for path in made[-1].rglob("*") if path.is_file()) if made else 0

    def seeds(self, key: str) -> list[float]:
        """The values of a figure of each of several runs; none of one."""
        found = self.test.get(key)
        values = found.get("values", ()) if isinstance(found, Mapping) else ()
        return [number for value in values if (number := value_of(value)) is not None]

    def losses(self, task: str, phase: str, *, finite: bool = True) -> np.ndarray:
        """The loss of a task after each epoch of a phase in which it trained; those that are numbers, or all."""
        rows = [row for row in self._rows if row["phase"] == phase]
        written = [text for row in rows if (text := row.get(f"{task}_loss"))]  # of a task that has left, there is none
        values = np.array([float(text) for text in written])
        return values[np.isfinite(values)] if finite else values

    @cached_property
    def users(self) -> Mapping[str, int]:
        """Task -> how many users, or what else acts, are behind its figures."""
        path = self.directory.per_user
        if not path.exists():
            return {}
        with reading(path, _AGAIN):
            table = pq.read_table(path, columns=["metric"], filters=[("model", "=", MODEL)])
        counts = table["metric"].combine_chunks().cast(pa.string()).value_counts().to_pylist()
        keys = [(MetricKey.parse(one["values"]), one["counts"]) for one in counts]
        return {key.task: count for key, count in keys if not key.slice}

    def reliability(self, task: str) -> Reliability:
        """How often the predictions of a task come true."""
        if task not in self._reliability:
            rows = self.predictions(task)
            assert rows is not None, "there are predictions"
            self._reliability[task] = reliability(rows, self.form(task))
        return self._reliability[task]

    @cached_property
    def _reliability(self) -> dict[str, Reliability]:
        return {}

    def list_facts(self, task: str) -> ListFacts | None:
        """What the lists of a task are like together; None where none are kept."""
        if task not in self._list_facts:
            lists, items = self.lists(task), self.said.get("items")
            found = None
            if lists is not None and items and len(lists):
                found = list_facts(lists, items["catalog"], items["popular"])
            self._list_facts[task] = found
        return self._list_facts[task]

    @cached_property
    def _list_facts(self) -> dict[str, ListFacts | None]:
        return {}

    @cached_property
    def tasks(self) -> TaskRecord | None:
        """What a task report says, where one is given."""
        if self._tasks is None:
            return None
        return read_json(self._tasks, TaskRecord, "give the tasks.json of mtkit tasks")

    def item(self, row: int) -> str:
        """What stands for an item."""
        return clipped(self.names(self.item_entity)[row], 80)

    def user(self, row: int) -> str:
        """What stands for who acts."""
        return self.names(self._entities[0])[row]


def _called(one: str, text: str | None) -> str:
    """An id with what it is of, or the text alone where the id is a text itself."""
    if not text:
        return one
    return text if len(one) > _ID else f"{text} ({one})"
