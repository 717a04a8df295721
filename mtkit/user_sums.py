"""What metrics are made of: sums by user, from which intervals and tests come; no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from mtkit.types import Entity


@dataclass(frozen=True)
class UserSums:
    """Sums of metrics' values per row, by user; a metric is the sum of its totals over that of the weights.

    Attributes:
        entity: whose rows the users are: the entity that acts, or that of the rows where nothing acts.
        users: `[users]`, distinct: row numbers of the entity, or ids of the data.
        weights: float64 `[users]`.
        totals: `metric[@k]` -> float64 `[users]`.
    """

    entity: str
    users: np.ndarray
    weights: np.ndarray
    totals: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, entity: str, users: np.ndarray, weights: np.ndarray, rows: Mapping[str, np.ndarray]) -> Self:
        """The sums of rows.

        Args:
            entity: whose rows the users are.
            users: int `[rows]`.
            weights: float `[rows]`.
            rows: `metric[@k]` -> values float64 `[rows]`.
        """
        distinct, place = np.unique(users, return_inverse=True)
        weights = weights.astype(np.float64)

        def summed(values: np.ndarray) -> np.ndarray:
            return np.bincount(place, values, minlength=len(distinct))

        totals = {key: summed(weights * values) for key, values in rows.items()}
        return cls(entity, distinct, summed(weights), totals)


class Measured(dict[str, float]):
    """Metric key -> value, with what the values are made of.

    Attributes:
        sums: `task/[slice/]` -> sums of the metrics under it that are means.
        counts: `task[/slice]` -> number of rows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[str, UserSums] = {}
        self.counts: dict[str, int] = {}

    def __ior__(self, other: Measured) -> Self:  # type: ignore[override,misc]  # others have no sums
        """Takes over what another has."""
        self.update(other)
        self.sums |= other.sums
        self.counts |= other.counts
        return self


Sums = Mapping[str, Mapping[str, UserSums]]
"""Model -> `task/[slice/]` -> sums; users are ids of the data, as strings, sorted."""

MODEL = "model"
"""Key of the model in `Sums`; the others are baselines."""


def named(measured: Mapping[str, Measured], entities: Mapping[str, Entity]) -> Sums:
    """The sums of models, with users by their ids in the data."""
    return {
        name: {path: _named(sums, entities[sums.entity]) for path, sums in of_model.sums.items()}
        for name, of_model in measured.items()
    }


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
    columns: dict[str, list[pa.Array]] = {name: [] for name in ("model", "metric", "entity", "user", "weight", "total")}
    for model, parts in sums.items():
        for path, part in parts.items():
            for key, total in part.totals.items():
                for name, value in (("model", model), ("metric", f"{path}{key}"), ("entity", part.entity)):
                    columns[name].append(_repeated(value, len(total)))
                columns["user"].append(pa.array(part.users, pa.string()))
                columns["weight"].append(pa.array(part.weights, pa.float64()))
                columns["total"].append(pa.array(total, pa.float64()))
    return pa.table({name: pa.chunked_array(arrays or [pa.array([], pa.string())]) for name, arrays in columns.items()})


def from_table(table: pa.Table) -> Sums:
    """The inverse of `to_table`."""
    sums: dict[str, dict[str, UserSums]] = {}
    names = ["model", "metric", "entity"]
    frame = table.to_pandas(categories=names)
    for (model, metric, entity), rows in frame.groupby(names, sort=False, observed=True):
        path, _, key = metric.rpartition("/")
        parts = sums.setdefault(model, {})
        totals = dict(parts[f"{path}/"].totals) if f"{path}/" in parts else {}
        totals[key] = rows["total"].to_numpy()
        parts[f"{path}/"] = UserSums(entity, rows["user"].to_numpy(object), rows["weight"].to_numpy(), totals)
    return sums


def _named(sums: UserSums, entity: Entity) -> UserSums:
    users = entity.ids[sums.users].astype(str).astype(object)
    order = np.argsort(users, kind="stable")
    totals = {key: total[order] for key, total in sums.totals.items()}
    return UserSums(sums.entity, users[order], sums.weights[order], totals)


def _mean(several: Sequence[UserSums]) -> UserSums:
    first = several[0]
    totals = {key: np.mean([sums.totals[key] for sums in several], axis=0) for key in first.totals}
    return UserSums(first.entity, first.users, np.mean([sums.weights for sums in several], axis=0), totals)


def _repeated(value: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, np.int32)), pa.array([value]))
