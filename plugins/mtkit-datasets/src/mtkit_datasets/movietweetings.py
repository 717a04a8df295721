"""MovieTweetings: ratings of movies that people tweeted from IMDb, 2013."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from mtkit.schema import Column, Schema
from mtkit.spec import PublishedData, RemoteFile
from mtkit.types import Dataset
from mtkit_datasets.files import Published, numbers, separated

if TYPE_CHECKING:
    import pyarrow as pa

_LIKED = 8
_TITLE = re.compile(r"(.*?)(?: \((\d{4})\))?")


class Movietweetings(Published):
    """100,000 ratings, 0 to 10, of 10,506 movies by 16,554 users: the snapshot of 100,000.

    Reads `ratings.dat` and `movies.dat` (folder `movietweetings`). Label of a rating: `liked`, from 8 on. Movies, by
    number at IMDb: title, genres (null where none is known) and year. Of users nothing is known.

    License: MIT. Files: https://github.com/sidooms/MovieTweetings, folder `snapshots/100K`. Source: Dooms et al.,
    "MovieTweetings: a movie rating dataset collected from Twitter", 2013.
    """

    published: ClassVar[PublishedData] = PublishedData(
        name="movietweetings",
        folder="movietweetings",
        license="MIT",
        page="https://github.com/sidooms/MovieTweetings",
        files=tuple(
            RemoteFile(f"https://raw.githubusercontent.com/sidooms/MovieTweetings/master/snapshots/100K/{name}")
            for name in ("ratings.dat", "movies.dat")
        ),
        like="media",
    )

    def schema(self) -> Schema:
        """The declared columns."""
        text, numeric = Column(kind="text"), Column(kind="numeric")
        return Schema(
            interactions={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "time": Column(kind="time"),
                "rating": numeric,
                "liked": Column(kind="label", sources=("rating",)),
            },
            entities={"user": {}, "item": {"title": text, "genres": text, "year": numeric}},
        )

    def load(self) -> Dataset:
        """Reads two files."""
        import pyarrow as pa
        import pyarrow.compute as pc

        path = self.file("ratings.dat")
        user, item, given, time = separated(path, "::", 4)
        rating = numbers(given, pa.float64(), path)
        interactions = pa.table(
            {
                "user": numbers(user, pa.int64(), path),
                "item": item,
                "time": numbers(time, pa.int64(), path),
                "rating": rating,
                "liked": pc.greater_equal(rating, _LIKED),
            }
        )
        users, items = pa.table({"id": interactions["user"].unique()}), self._movies()
        self.check(
            {"ratings": len(interactions), "users": len(users), "movies": len(items)},
            {"ratings": 100_000, "users": 16_554, "movies": 10_506},
        )
        return Dataset(interactions, {"user": users, "item": items}, self.schema())

    def _movies(self) -> pa.Table:
        import pyarrow as pa

        ids, names, genres = separated(self.file("movies.dat"), "::", 3)
        titles, years = zip(*(_TITLE.fullmatch(name).groups() for name in names), strict=True)
        return pa.table(
            {
                "id": ids,
                "title": titles,
                "genres": pa.array([each.replace("|", ", ") or None for each in genres], pa.string()),
                "year": pa.array([year and float(year) for year in years], pa.float64()),
            }
        )
