"""Labels of row tables: finite placeholders, and weights that say where there is a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.conditions import Where
from mtkit.data.columns import plain, raw
from mtkit.data.conditions import holding
from mtkit.data.list_values import bag, padded
from mtkit.errors import DataError
from mtkit.schema import INTERACTIONS, Column
from mtkit.types import Fold, Part


@dataclass(frozen=True)
class Labels:
    """Labels of a row table, their weights, the names of classes, and how many rows have another class, by label.

    Of labels of any number of classes, `lacking` says how many of each row's training does not have, int32 `[rows]`.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: dict[str, int] = field(default_factory=dict)
    lacking: dict[str, np.ndarray] = field(default_factory=dict)

    def remarks(self) -> str:
        """What readers of the rows should know: classes that training lacks, and labels that are always the same."""
        found = [f"{count:,} with a {name} that training lacks" for name, count in self.unseen.items() if count]
        for name, weights in self.weights.items():
            values = self.values[name][weights > 0]
            if len(values) and values.ndim == 1 and (values == values[0]).all():
                shown = self.classes[name][values[0]] if name in self.classes else f"{values[0]:g}"
                found.append(f"{name} is always {shown}")
        return "".join(f"; {remark}" for remark in found)

    def add(self, name: str, column: pa.ChunkedArray, declared: Column, known: pa.ChunkedArray) -> None:
        """Adds the label of a column; its classes are the distinct values of `known`."""
        if declared.multi_label:
            self._add_several(name, column, known)
            return
        if declared.classes:
            classes = pc.unique(_strings(known)).drop_null().sort()
            self.classes[name] = tuple(classes.to_pylist())
            values = pc.index_in(_strings(column), value_set=classes).fill_null(-1).to_numpy()
            missing = values < 0
            self.unseen[name] = int(missing.sum()) - column.null_count
        else:
            values = raw(column, declared)
            missing = np.isnan(values)
        self.values[name] = np.where(missing, values.dtype.type(0), values)
        self.weights[name] = (~missing).astype(np.float32)

    def add_condition(self, name: str, where: Where, fold: Fold, positions: np.ndarray) -> None:
        """Adds a label that is 1 where a condition holds, and 0 elsewhere.

        Raises:
            DataError: a column is called like the label.
        """
        if name in fold.schema.interactions:
            raise DataError(f"{INTERACTIONS}.{name}: a condition makes a label of this name; call the column otherwise")
        events = fold.events.columns.select(list(where.columns)).take(pa.array(positions))
        self.values[name] = holding(where, events, fold.schema.interactions).astype(np.float32)
        self.weights[name] = np.ones(len(positions), np.float32)

    def _add_several(self, name: str, column: pa.ChunkedArray, known: pa.ChunkedArray) -> None:
        """Adds a label of any number of classes, as 0 and 1, float32 `[rows, classes]`."""
        classes = np.unique(bag(padded(known))[1])
        row, held, _ = bag(padded(column))
        code = np.minimum(np.searchsorted(classes, held), max(len(classes) - 1, 0))
        there = classes[code] == held if len(classes) else np.zeros(len(held), bool)
        self.classes[name] = tuple(classes.tolist())
        self.values[name] = np.zeros((len(column), len(classes)), np.float32)
        self.values[name][row[there], code[there]] = 1
        self.weights[name] = np.asarray(column.is_valid().to_numpy(), np.float32)
        self.lacking[name] = np.bincount(row[~there], minlength=len(column)).astype(np.int32)
        self.unseen[name] = int(np.count_nonzero(self.lacking[name]))


def event_labels(fold: Fold, positions: np.ndarray, names: Sequence[str], part: Part) -> Labels:
    """Labels of events. Classes are the ones seen in training.

    The weight is 0 where the label is null, its class was not seen in training, or its horizon crosses the end of the
    part.

    Raises:
        DataError: a name is no label of the interactions.
    """
    available = fold.schema.of_kind("label")
    if wrong := sorted(set(names) - set(available)):
        raise DataError(f"{wrong} are no labels of the interactions; they have {list(available)}")
    time, end = fold.events.time, fold.fit if part == "train" else fold.end
    labels = Labels()
    for name in names:
        declared, column = fold.schema.interactions[name], fold.events.columns[name]
        ahead = declared.horizon.total_seconds() if declared.horizon else 0
        known = column.filter(pa.array(learned_of(fold, declared))) if name not in fold.classes else None
        known = _as_known(fold.classes[name], declared) if known is None else known
        labels.add(name, column.take(pa.array(positions)), declared, known)
        if ahead:
            labels.weights[name][time[positions] + ahead > end] = 0
    return labels


def _as_known(classes: Sequence[str], declared: Column) -> pa.ChunkedArray:
    """A column that has these classes."""
    return pa.chunked_array([pa.array([list(classes)]) if declared.multi_label else pa.array(classes, pa.string())])


def learned_of(fold: Fold, declared: Column) -> np.ndarray:
    """Which events training knows a label of, bool `[events]`: of one that looks ahead, what is over by its end."""
    ahead = declared.horizon.total_seconds() if declared.horizon else 0
    learned: np.ndarray = fold.events.time + ahead <= fold.fit if ahead else fold.events.time < fold.fit
    return learned


def entity_labels(fold: Fold, entity: str, rows: np.ndarray) -> Labels:
    """Labels `<entity>.<column>` of rows of an entity table. Classes are those of the whole catalog."""
    labels = Labels()
    for name in fold.schema.of_kind("label", entity):
        column = fold.entities[entity].columns[name]
        labels.add(f"{entity}.{name}", column.take(pa.array(rows)), fold.schema.entities[entity][name], column)
    return labels


def _strings(column: pa.ChunkedArray) -> pa.Array:
    return plain(column).cast(pa.string()).combine_chunks()
