"""What metrics are made of: sums by user, from which intervals and tests come; no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from mtkit.spec import Contributions
from mtkit.types import Fold, MetricKey, Ranking

#: Lists that are kept of a task.
MOST_LISTS = 5000


@dataclass(frozen=True)
class UserSums:
    """Sums of metrics' values per row, by user; a metric is the sum of its totals over that of its weights.

    Attributes:
        entity: whose rows the users are: the entity that acts, or that of the rows where nothing acts; `ROWS` where rows are of
            no entity, and each stands for itself.
        users: `[users]`, distinct: row numbers of the entity, or ids of the data.
        rows: float64 `[users]`, weight of the rows that were measured.
        totals: `metric[@k]` -> float64 `[users]`.
        weights: `metric[@k]` -> float64 `[users]`; those of `rows`, or of the rows that a ratio is over.
    """

    entity: str
    users: np.ndarray
    rows: np.ndarray
    totals: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]

    @classmethod
    def of(cls, entity: str, users: np.ndarray, rows: np.ndarray, means: Mapping[str, Contributions]) -> Self:
        """The sums of rows.

        Args:
            entity: whose rows the users are.
            users: int `[rows]`.
            rows: float `[rows]`, weights.
            means: `metric[@k]` -> values and weights, float `[rows]` each.
        """
        distinct, place = np.unique(users, return_inverse=True)

        def summed(values: np.ndarray) -> np.ndarray:
            return np.bincount(place, values.astype(np.float64), minlength=len(distinct))

        totals = {key: summed(values * weights) for key, (values, weights) in means.items()}
        return cls(
            entity, distinct, summed(rows), totals, {key: summed(weights) for key, (_, weights) in means.items()}
        )


class TopLists(NamedTuple):
    """The top of the catalog for some of a task's rows, evenly spread over them.

    Attributes:
        rows: int64 `[n]`, numbers of the rows in their table.
        items: int32 `[n, k]`, best first; 0 where there were fewer candidates.
        hits: bool `[n, k]`, which of them are relevant.
        relevant: int64 `[n]`, how many candidates are relevant.
    """

    rows: np.ndarray
    items: np.ndarray
    hits: np.ndarray
    relevant: np.ndarray

    @classmethod
    def of(cls, ranking: Ranking, rows: np.ndarray) -> TopLists:
        """At most `MOST_LISTS` of a ranking."""
        some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_LISTS)).astype(np.int64))
        return cls(rows[some], ranking.items[some], ranking.hits[some], ranking.relevant[some])


class Measured(dict[str, float]):
    """Metric key -> value, with what the values are made of.

    Attributes:
        sums: `task/[slice/]` -> sums of the metrics under it that are means.
        counts: `task[/slice]` -> number of rows.
        beside: name -> values of baselines that are measured in the same pass, those of self-supervised heads.
        lists: task -> some of its lists, where the whole catalog was ranked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[str, UserSums] = {}
        self.counts: dict[str, int] = {}
        self.beside: dict[str, Measured] = {}
        self.lists: dict[str, TopLists] = {}

    def __ior__(self, other: Measured) -> Self:  # type: ignore[override,misc]  # others have no sums
        """Takes over what another has, where both have it, too."""
        self.update(other)
        self.sums |= other.sums
        self.counts |= other.counts
        self.lists |= other.lists
        for name, values in other.beside.items():
            merged = self.beside.setdefault(name, Measured())
            merged |= values
        return self

    def __or__(self, other: Mapping[str, float]) -> Measured:  # type: ignore[override]  # sums and counts are kept
        """Both together, with their sums and counts; of figures that both have, those of the other.

        Raises:
            TypeError: the other has no sums and counts.
        """
        if not isinstance(other, Measured):
            raise TypeError(f"expected figures with sums and counts (Measured), got {type(other).__name__}")
        both = Measured()
        both |= self
        both |= other
        return both


Sums = Mapping[str, Mapping[str, UserSums]]
"""Model -> `task/[slice/]` -> sums; users are ids of the data, as strings, sorted."""

ROWS = "row"
"""The entity of rows that are of none: each is a user of its own."""

MODEL = "model"
"""Key of the model in `Sums`; the others are baselines."""


def named(measured: Mapping[str, Measured], fold: Fold) -> Sums:
    """The sums of models, with users by their ids in the data."""
    return {
        name: {path: _named(sums, _ids(sums, fold)) for path, sums in of_model.sums.items()}
        for name, of_model in measured.items()
    }


def _ids(sums: UserSums, fold: Fold) -> np.ndarray:
    """The ids of the users, by their numbers."""
    return np.arange(sums.users.max(initial=-1) + 1) if sums.entity == ROWS else fold.catalog(sums.entity).ids


def mean_of(several: Sequence[Sums]) -> Sums:
    """The mean over runs, user by user, of everything in which the runs have the same users."""
    first, *others = several
    means: dict[str, dict[str, UserSums]] = {}
    for model, parts in first.items():
        for path, sums in parts.items():
            same = [sums, *(found for other in others if (found := other.get(model, {}).get(path)))]
            if len(same) == len(several) and all(np.array_equal(sums.users, other.users) for other in same):
                means.setdefault(model, {})[path] = _mean(same)
    return means


def to_table(sums: Sums) -> pa.Table:
    """One row for each model, metric and user."""
    names = ("model", "metric", "entity", "user", "rows", "weight", "total")
    columns: dict[str, list[pa.Array]] = {name: [] for name in names}
    for model, parts in sums.items():
        for path, part in parts.items():
            for key, total in part.totals.items():
                for name, value in (("model", model), ("metric", f"{path}{key}"), ("entity", part.entity)):
                    columns[name].append(_repeated(value, len(total)))
                columns["user"].append(pa.array(part.users, pa.string()))
                for name, values in (("rows", part.rows), ("weight", part.weights[key]), ("total", total)):
                    columns[name].append(pa.array(values, pa.float64()))
    return pa.table({name: pa.chunked_array(arrays or [pa.array([], pa.string())]) for name, arrays in columns.items()})


def from_table(table: pa.Table) -> Sums:
    """The inverse of `to_table`."""
    sums: dict[str, dict[str, UserSums]] = {}
    names = ["model", "metric", "entity"]
    frame = table.to_pandas(categories=names)
    for (model, metric, entity), rows in frame.groupby(names, sort=False, observed=True):
        found = MetricKey.parse(metric)
        part = sums.setdefault(model, {}).setdefault(
            f"{found.group}/", UserSums(entity, rows["user"].to_numpy(object), rows["rows"].to_numpy(), {}, {})
        )
        part.totals[found.label], part.weights[found.label] = rows["total"].to_numpy(), rows["weight"].to_numpy()
    return sums


def _named(sums: UserSums, ids: np.ndarray) -> UserSums:
    users = ids[sums.users].astype(str).astype(object)
    order = np.argsort(users, kind="stable")
    totals, weights = ({key: v[order] for key, v in of.items()} for of in (sums.totals, sums.weights))
    return UserSums(sums.entity, users[order], sums.rows[order], totals, weights)


def _mean(several: Sequence[UserSums]) -> UserSums:
    first = several[0]
    keys = [key for key in first.totals if all(key in sums.totals for sums in several)]
    totals, weights = (
        {key: np.mean([values[key] for values in each], axis=0) for key in keys}
        for each in ([sums.totals for sums in several], [sums.weights for sums in several])
    )
    return UserSums(first.entity, first.users, first.rows, totals, weights)


def _repeated(value: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, np.int32)), pa.array([value]))
