"""MovieLens 100K: ratings of movies, 1997 to 1998 (GroupLens)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import PublishedData, RemoteFile
from mtkit.types import Dataset
from mtkit_datasets.files import Published, numbers, separated

if TYPE_CHECKING:
    import pyarrow as pa

_LIKED = 4


#: The genres of `u.item`, in their order, behind five other fields; the first stands for none.
_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_TITLE = re.compile(r"(?P<title>.*?)(?: \((?P<year>\d{4})\))? *")


def atomic_files(directory: Path) -> None:
    """Makes the atomic files of those that GroupLens publishes: `u.data`, `u.item` and `u.user`."""
    ratings = (directory / "u.data").read_text(encoding="latin-1").splitlines()
    _write(directory / "ml-100k.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float", ratings)
    users = (line.replace("|", "\t") for line in (directory / "u.user").read_text(encoding="latin-1").splitlines())
    _write(
        directory / "ml-100k.user", "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token", users
    )
    movies = map(_movie, (directory / "u.item").read_text(encoding="latin-1").splitlines())
    _write(
        directory / "ml-100k.item", "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq", movies
    )


def _movie(line: str) -> str:
    number, title, _, _, _, *flags = line.split("|")
    found = _TITLE.fullmatch(title)
    assert found is not None, "every title is one"
    genres = " ".join(genre for genre, flag in zip(_GENRES, flags, strict=True) if flag == "1")
    return "\t".join((number, found["title"], found["year"] or "", genres))


def _write(path: Path, header: str, lines: Iterable[str]) -> None:
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")


class Movielens100k(Published):
    """100,000 ratings, 1 to 5, of 1,682 movies by 943 users, each with 20 or more.

    Reads the atomic files `ml-100k.inter`, `.item` and `.user` of RecBole (folder `ml-100k`). Labels of a rating: `rating`
    itself, and `liked`, from 4 on. Users: age, gender, occupation, ZIP code. Movies: title, genres, and year (null if
    unknown).

    License: research only, no redistribution; see https://grouplens.org/datasets/movielens/100k/. Files:
    https://recbole.io/dataset_list.html. Source: Harper and Konstan, "The MovieLens datasets", 2015.
    """

    published: ClassVar[PublishedData] = PublishedData(
        name="movielens_100k",
        folder="ml-100k",
        license="research only, no redistribution",
        page="https://grouplens.org/datasets/movielens/100k/",
        files=(
            RemoteFile(
                "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
                size=4_924_029,
                checksum="md5:0e33842e24a9c977be4e0107933c0723",
                members={name: f"ml-100k/{name}" for name in ("u.data", "u.item", "u.user")},
            ),
        ),
        like="media",
        prepare=atomic_files,
    )

    def schema(self) -> Schema:
        """The declared columns."""
        categorical, numeric, text = Column(kind="categorical"), Column(kind="numeric"), Column(kind="text")
        return Schema(
            interactions={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "time": Column(kind="time"),
                "rating": Column(kind="label"),
                "liked": Column(kind="label", sources=("rating",)),
            },
            entities={
                "user": {"age": numeric, "gender": categorical, "occupation": categorical, "zip_code": categorical},
                "item": {"title": text, "genres": text, "year": numeric},
            },
        )

    def load(self) -> Dataset:
        """Reads three files."""
        ratings, users, items = self._ratings(), self._users(), self._items()
        self.check(
            {"ratings": len(ratings), "users": len(users), "movies": len(items)},
            {"ratings": 100_000, "users": 943, "movies": 1682},
        )
        return Dataset(ratings, {"user": users, "item": items}, self.schema())

    def _ratings(self) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        path, fields = self._fields("inter", "user_id", "item_id", "timestamp", "rating")
        rating = numbers(fields["rating"], pa.float64(), path)
        return pa.table(
            {
                "user": numbers(fields["user_id"], pa.int64(), path),
                "item": numbers(fields["item_id"], pa.int64(), path),
                "time": numbers(fields["timestamp"], pa.int64(), path),
                "rating": rating,
                "liked": pc.greater_equal(rating, _LIKED),
            }
        )

    def _users(self) -> pa.Table:
        import pyarrow as pa

        path, fields = self._fields("user", "user_id", "age", "gender", "occupation", "zip_code")
        user, age = numbers(fields["user_id"], pa.int64(), path), numbers(fields["age"], pa.float64(), path)
        return pa.table({"id": user, "age": age, **{n: fields[n] for n in ("gender", "occupation", "zip_code")}})

    def _items(self) -> pa.Table:
        import pyarrow as pa

        path, fields = self._fields("item", "item_id", "movie_title", "release_year", "class")
        years = [float(year) if year.isdecimal() else None for year in fields["release_year"]]
        return pa.table(
            {
                "id": numbers(fields["item_id"], pa.int64(), path),
                "title": fields["movie_title"],
                "genres": [genres.replace(" ", ", ") for genres in fields["class"]],
                "year": pa.array(years, pa.float64()),
            }
        )

    def _fields(self, kind: str, *columns: str) -> tuple[Path, dict[str, tuple[str, ...]]]:
        """An atomic file, whose header says `name:type`, and what its columns say."""
        path = self.file(f"ml-100k.{kind}")
        with path.open(encoding="utf-8") as file:
            header = [field.split(":")[0] for field in file.readline().rstrip("\n").split("\t")]
        if missing := [name for name in columns if name not in header]:
            raise DataError(f"{path}: no column {missing[0]!r}; it has {', '.join(header)}")
        return path, dict(zip(header, separated(path, "\t", len(header), skip=1), strict=True))
