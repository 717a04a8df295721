"""Bank Marketing: the customers of a bank who were called about a deposit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import PublishedData, RemoteFile
from mtkit.types import Dataset
from mtkit_datasets.files import Published, renamed

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

_NUMBERS = ("age", "balance", "day", "campaign", "pdays", "previous")
_CATEGORIES = ("job", "marital", "education", "default", "contact", "month", "poutcome")
_PRODUCTS = ("deposit", "housing", "loan")


class BankMarketing(Published):
    """45,211 customers of a Portuguese bank, each a row with context alone: there are no users, no items and no times.

    Reads `bank.csv` (folder `bank-marketing`), which is `bank-full.csv` of the publisher: fields stand between commas or
    semicolons, and the deposit is called `deposit` or `y`. Labels: whether the customer has a term `deposit`, a `housing`
    loan, a personal `loan`. `duration`, of the call in which the deposit was agreed, is known only with the answer, and
    is left out.

    License: CC BY 4.0. Files: https://archive.ics.uci.edu/dataset/222/bank+marketing. Source: Moro, Rita and Cortez, "A
    data-driven approach to predict the success of bank telemarketing", 2014.
    """

    published: ClassVar[PublishedData] = PublishedData(
        name="bank_marketing",
        folder="bank-marketing",
        license="CC BY 4.0",
        page="https://archive.ics.uci.edu/dataset/222/bank+marketing",
        files=(
            RemoteFile(
                "https://archive.ics.uci.edu/static/public/222/bank+marketing.zip",
                members={"bank.csv": "bank.zip/bank-full.csv"},
            ),
        ),
        like="finance",
    )

    def schema(self) -> Schema:
        """The declared columns."""
        columns = {name: Column(kind="numeric") for name in _NUMBERS}
        columns |= {name: Column(kind="categorical") for name in _CATEGORIES}
        return Schema(interactions=columns | {name: Column(kind="label") for name in _PRODUCTS}, entities={})

    def load(self) -> Dataset:
        """Reads one file."""
        import pyarrow.compute as pc

        path = self.file("bank.csv")
        customers = _read(path)
        self.check({"customers": len(customers)}, {"customers": 45_211})
        for name in _PRODUCTS:
            if other := set(customers[name].unique().to_pylist()) - {"yes", "no"}:
                raise DataError(f"{path}: column {name!r} holds 'yes' and 'no', got {min(map(str, other))!r}")
            at = customers.column_names.index(name)
            customers = customers.set_column(at, name, pc.equal(customers[name], "yes"))
        return Dataset(customers, {}, self.schema())


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    with path.open(encoding="utf-8") as file:
        separator = ";" if ";" in file.readline() else ","
    types = dict.fromkeys(_NUMBERS, pa.float64())
    try:
        table = csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter=separator),
            convert_options=csv.ConvertOptions(column_types=types),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {error}") from error
    deposit = "y" if "y" in table.column_names else "deposit"
    names = {name: name for name in (*_NUMBERS, *_CATEGORIES, *_PRODUCTS[1:])}
    return renamed(table, names | {deposit: "deposit"}, path)
