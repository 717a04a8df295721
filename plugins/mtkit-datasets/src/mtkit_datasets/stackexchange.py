"""Stack Exchange: who asks, answers, comments on and favors which question of a site."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import PublishedData
from mtkit.types import Dataset
from mtkit_datasets.files import Published, renamed

if TYPE_CHECKING:
    import pyarrow as pa

_COUNTS = {
    "quantum": {"events": 5788, "users": 555, "questions": 612},
    "beer": {"events": 4013, "users": 908, "questions": 591},
}
_DAY = 86_400_000
"""Milliseconds."""


class Stackexchange(Published):
    """Events of users at questions: quantum computing (2018), or beer, wine and spirits (2014 to 2016).

    Reads `events.csv` (user, question, event, time), `questions.csv` (question, title, tags, body) and `users.csv`,
    made from the published dump of a site (folder `stackexchange-SITE`). Label: `event`, one of ask, answer, comment
    and favorite, given that there is one. Of a favorite, the day is published; it counts at the end of that day. Views,
    scores and reputations are those of the moment of the dump, and left out: they know the future.

    License: CC BY-SA 3.0 and 4.0, with attribution to Stack Exchange and the authors. Dumps:
    https://archive.org/details/stackexchange.
    """

    published: ClassVar[PublishedData] = PublishedData(
        name="stackexchange",
        folder="stackexchange-SITE",
        license="CC BY-SA 3.0 and 4.0, with attribution to Stack Exchange and the authors",
        page="https://archive.org/details/stackexchange",
        like="social",
    )

    site: Literal["quantum", "beer"] = Field(description="the site")

    @property
    def folder(self) -> str:
        """The folder that is read by default, in the directory of all data."""
        return f"stackexchange-{self.site}"

    def schema(self) -> Schema:
        """The declared columns."""
        text = Column(kind="text")
        return Schema(
            interactions={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "time": Column(kind="time"),
                "event": Column(kind="label", classes=True),
            },
            entities={"user": {}, "item": {"title": text, "tags": text, "body": text}},
        )

    def load(self) -> Dataset:
        """Reads three files."""
        events = self._read("events", {"user": "user", "question": "item", "time": "time", "event": "event"})
        events = events.set_column(2, "time", _known(events))
        users = self._read("users", {"user": "id"})
        questions = self._read("questions", {"question": "id", "title": "title", "tags": "tags", "body": "body"})
        self.check(
            {"events": len(events), "users": len(users), "questions": len(questions)},
            _COUNTS[self.site],
        )
        return Dataset(events, {"user": users, "item": questions}, self.schema())

    def _read(self, name: str, columns: dict[str, str]) -> pa.Table:
        """Columns of a file by their new names."""
        import pyarrow as pa
        import pyarrow.csv

        path = self.file(f"{name}.csv")
        types = {"title": pa.string(), "tags": pa.string(), "body": pa.string(), "time": pa.timestamp("ms")}
        try:
            table = pyarrow.csv.read_csv(
                path,
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(column_types=types),
            )
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: {error}") from error
        return renamed(table, columns, path)


def _known(events: pa.Table) -> pa.ChunkedArray:
    """When an event is known: a favorite at the last moment of its day."""
    import pyarrow as pa
    import pyarrow.compute as pc

    moment = events["time"].cast(pa.int64())
    late = pc.if_else(pc.equal(events["event"], "favorite"), pc.add(moment, _DAY - 1), moment)
    return late.cast(pa.timestamp("ms"))
