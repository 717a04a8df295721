import json

import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from mtkit.data.table_files import read_table
from mtkit.errors import DataError


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl", "arrow"])
def test_columns_in_the_names_of_folders(tmp_path, suffix):
    months = {
        "year=2024/month=05": "a",
        "year=2024/month=__HIVE_DEFAULT_PARTITION__": "b",
        "year=2023/month=a%2Fb": "c",
    }
    for folder, value in months.items():
        (tmp_path / folder).mkdir(parents=True)
        write(tmp_path / folder / f"part-0.{suffix}", {"id": [value, value], "other": ["x", "y"]})
    columns = ("month", "id", "year")
    expected = {
        "id": list("ccaabb"),
        "year": ["2023"] * 2 + ["2024"] * 4,
        "month": ["a/b"] * 2 + ["05"] * 2 + [None] * 2,
    }
    for path in (tmp_path, tmp_path / "year=*", tmp_path / f"*/month=*/*.{suffix}"):
        read = read_table(path, columns)
        assert read.column_names == list(columns)
        assert read.to_pydict() == expected, path
    assert read_table(tmp_path, ("id",)).column_names == ["id"]
    # What stands above the folder that was named says nothing of its rows.
    with pytest.raises(DataError, match="no column 'year'; it has 'id', 'other'"):
        read_table(tmp_path / "year=2023", ("id", "year"))


def write(path, columns):
    table = pa.table(columns)
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".arrow":
        feather.write_feather(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        csv.write_csv(table, path)


def test_a_column_of_a_folder_is_not_in_its_file_as_well(tmp_path):
    (tmp_path / "user=7").mkdir()
    (tmp_path / "user=7" / "a.csv").write_text("user,n\n8,1\n")
    with pytest.raises(
        DataError, match=r"a\.csv: a column is called 'user', and a folder of the file user=7; rename one of"
    ):
        read_table(tmp_path, ("user", "n"))
    assert read_table(tmp_path, ("n",))["n"].to_pylist() == ["1"]
    assert read_table(tmp_path / "user=7", ("user", "n"))["user"].to_pylist() == ["8"]


def test_folders_whose_names_look_like_a_pattern(tmp_path):
    (tmp_path / "x[1]").mkdir()
    (tmp_path / "x[1]" / "a.csv").write_text("id\n2\n")
    (tmp_path / "x[1]" / "_day=3").mkdir()
    (tmp_path / "x[1]" / "_day=3" / "b.csv").write_text("id\n4\n")
    assert read_table(tmp_path / "x[1]/*.csv", ("id",))["id"].to_pylist() == ["2"]
    assert read_table(tmp_path / "x[1]/_day=*", ("id", "_day")).to_pydict() == {"id": ["4"], "_day": ["3"]}
