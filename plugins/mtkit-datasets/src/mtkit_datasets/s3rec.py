"""The benchmark sequences of S3-Rec: what each user of a shop reviewed, in order of time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal

from pydantic import Field

from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import PublishedData, RemoteFile
from mtkit.types import Dataset
from mtkit_datasets.files import Published

_LAST = datetime(2000, 1, 2, tzinfo=UTC)
_COUNTS = {
    "Beauty": {"actions": 198_502, "users": 22_363, "items": 12_101},
    "Toys_and_Games": {"actions": 167_597, "users": 19_412, "items": 11_924},
}


class S3rec(Published):
    """Sequences of items of which every user and item has 5 or more; there are no times.

    Reads `Beauty.txt` or `Toys_and_Games.txt` (folder `s3rec`): a line holds a user and the user's items, the oldest
    first. With `attributes`, items have a list of these, categories and a brand by numbers, from
    `NAME_item2attributes.json`. As there are no times, days stand for positions, counted from the end: the last item of
    every user is at 2000-01-02, the one before at 2000-01-01, and so on. So the split `leave_one_out`, which is the
    benchmark's, is also `time` with `valid = 2000-01-01` and `test = 2000-01-02`. Positions of different users do not
    compare: what was popular at a time, and ages in days, say nothing.

    License: none is stated; for benchmarks only. Files: https://github.com/RUCAIBox/CIKM2020-S3Rec, folder `data`.
    Source: Zhou et al., "S3-Rec", 2020, from reviews collected by McAuley et al., 2015.
    """

    published: ClassVar[PublishedData] = PublishedData(
        name="s3rec",
        folder="s3rec",
        license="none is stated; for benchmarks only",
        page="https://github.com/RUCAIBox/CIKM2020-S3Rec",
        files=tuple(
            RemoteFile(f"https://raw.githubusercontent.com/RUCAIBox/CIKM2020-S3Rec/master/data/{name}{ending}")
            for name in ("Beauty", "Toys_and_Games")
            for ending in (".txt", "_item2attributes.json")
        ),
        like="shop",
    )

    name: Literal["Beauty", "Toys_and_Games"] = Field(description="which of the sets, by name of its file")

    attributes: bool = Field(False, description="whether items have their attributes, a list of categories")

    def schema(self) -> Schema:
        """The declared columns."""
        return Schema(
            interactions={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "time": Column(kind="time"),
            },
            entities={"user": {}, "item": {"attributes": Column(kind="list")} if self.attributes else {}},
        )

    def load(self) -> Dataset:
        """Reads one file."""
        import numpy as np
        import pyarrow as pa

        users, sequences = self._sequences()
        lengths = np.array([len(sequence) for sequence in sequences])
        remaining = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(lengths.sum())
        day = int(timedelta(days=1).total_seconds())
        interactions = pa.table(
            {
                "user": np.repeat(np.array(users), lengths),
                "item": np.concatenate(sequences),
                "time": int(_LAST.timestamp()) - remaining * day,
            }
        )
        entities = {name: pa.table({"id": interactions[name].unique()}) for name in ("user", "item")}
        if self.attributes:
            found_of = self._attributes()
            lists = [found_of.get(str(item), []) for item in entities["item"]["id"].to_pylist()]
            entities["item"] = entities["item"].append_column("attributes", pa.array(lists, pa.list_(pa.string())))
        found = {"actions": len(interactions), "users": len(entities["user"]), "items": len(entities["item"])}
        self.check(found, _COUNTS[self.name])
        return Dataset(interactions, entities, self.schema())

    def _attributes(self) -> dict[str, list[str]]:
        """Item, as text -> its attributes."""
        path = self.file(f"{self.name}_item2attributes.json")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {item: [str(int(number)) for number in numbers] for item, numbers in found.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: expected lists of numbers by item, as JSON: {error}") from error

    def _sequences(self) -> tuple[list[int], list[list[int]]]:
        path = self.file(f"{self.name}.txt")
        users, sequences = [], []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            fields = line.split()
            if len(fields) < 2 or not all(field.isdecimal() for field in fields):
                raise DataError(f"{path}:{number}: expected the number of a user and those of items, got {line[:60]!r}")
            user, *items = map(int, fields)
            users.append(user)
            sequences.append(items)
        if not users:
            raise DataError(f"{path}: expected lines of a user and items, got none")
        return users, sequences
