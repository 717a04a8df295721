"""Adult: answers to the US census of 1994, by person."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mtkit.schema import Column, Schema
from mtkit.spec import PublishedData, RemoteFile
from mtkit.types import Dataset
from mtkit_datasets.files import Published, numbers, separated

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship", "race",
    "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "wage_class",
)  # fmt: skip
_NUMBERS = {"age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
_MISSING = "?"


class Adult(Published):
    """48,842 persons, each a row with context alone: there are no users, no items and no times.

    Reads `adult.data` and `adult.test` (folder `adult`), whose first line may be a heading. They are one table; its column
    `part` is `train` or `test`, so that the split `column` tests on the published test. Labels: `income`, above 50,000
    dollars a year, and `never_married`. What these follow from is no feature: `wage_class`, `marital_status` and
    `relationship`. `fnlwgt` is how many persons a row stands for.

    License: CC BY 4.0. Files: https://archive.ics.uci.edu/dataset/2/adult. Source: Becker and Kohavi, "Adult", 1996.
    """

    published: ClassVar[PublishedData] = PublishedData(
        name="adult",
        folder="adult",
        license="CC BY 4.0",
        page="https://archive.ics.uci.edu/dataset/2/adult",
        files=(
            RemoteFile(
                "https://archive.ics.uci.edu/static/public/2/adult.zip",
                members={"adult.data": "adult.data", "adult.test": "adult.test"},
            ),
        ),
        like="finance",
    )

    def schema(self) -> Schema:
        """The declared columns."""
        kinds = {name: Column(kind="numeric" if name in _NUMBERS else "categorical") for name in _COLUMNS}
        labels = {
            "income": Column(kind="label", sources=("wage_class",)),
            "never_married": Column(kind="label", sources=("marital_status", "relationship")),
        }
        return Schema(interactions=kinds | {"part": Column(kind="categorical")} | labels, entities={})

    def load(self) -> Dataset:
        """Reads two files."""
        import pyarrow as pa
        import pyarrow.compute as pc

        train, test = self._part("adult.data"), self._part("adult.test")
        self.check(
            {"rows of adult.data": len(train), "rows of adult.test": len(test)},
            {"rows of adult.data": 32_561, "rows of adult.test": 16_281},
        )
        persons = pa.concat_tables([train, test])
        persons = persons.append_column("part", pa.array(["train"] * len(train) + ["test"] * len(test)))
        persons = persons.append_column("income", pc.equal(persons["wage_class"], ">50K"))
        persons = persons.append_column("never_married", pc.equal(persons["marital_status"], "Never-married"))
        return Dataset(persons, {}, self.schema())

    def _part(self, name: str) -> pa.Table:
        import pyarrow as pa

        path = self.file(name)
        with path.open(encoding="utf-8") as file:
            headed = file.readline().startswith((_COLUMNS[0], "|"))
        columns = dict(zip(_COLUMNS, separated(path, ", ", len(_COLUMNS), skip=int(headed)), strict=True))
        columns["wage_class"] = tuple(value.removesuffix(".") for value in columns["wage_class"])
        return pa.table(
            {
                name: numbers(values, pa.int64(), path)
                if name in _NUMBERS
                else pa.array([None if value == _MISSING else value for value in values], pa.string())
                for name, values in columns.items()
            }
        )
