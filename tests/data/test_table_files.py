import bz2
import gzip
import json

import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from mtkit.data.table_files import Reading, read_table
from mtkit.errors import DataError

TEXT = "id,name,size\n007,Tea,1.20\n08,,\n"
READ = {"id": ["007", "08"], "name": ["Tea", ""], "size": ["1.20", ""]}


@pytest.mark.parametrize(
    ("name", "data", "reading"),
    [
        ("a.csv", TEXT.encode(), Reading()),
        ("a.CSV", TEXT.encode(), Reading()),
        ("bom.csv", TEXT.encode("utf-8-sig"), Reading()),
        ("a.tsv", TEXT.replace(",", "\t").encode(), Reading()),
        ("a.txt", TEXT.replace(",", "|").encode(), Reading()),
        ("semicolons.csv", TEXT.replace(",", ";").encode(), Reading()),
        ("odd.csv", TEXT.replace(",", "^").encode(), Reading(separator="^")),
        ("a.csv.gz", gzip.compress(TEXT.encode()), Reading()),
        ("a.csv.bz2", bz2.compress(TEXT.encode()), Reading()),
        ("a.csv.zst", pa.Codec("zstd").compress(TEXT.encode(), asbytes=True), Reading()),
        ("wide.csv", TEXT.encode("utf-16"), Reading(encoding="utf-16")),
        ("quoted.csv", b'"id","name","size"\n"007","Tea","1.20"\n"08","",""\n', Reading()),
        ("crlf.csv", TEXT.replace("\n", "\r\n").encode(), Reading()),
    ],
)
def test_text_stays_as_it_is(tmp_path, name, data, reading):
    (tmp_path / name).write_bytes(data)
    assert read_table(tmp_path / name, ("id", "name", "size"), reading).to_pydict() == READ


def test_line_breaks_in_fields(tmp_path):
    (tmp_path / "a.csv").write_text('id,text\n1,"two\nlines, and a ""quote"""\n')
    assert read_table(tmp_path / "a.csv", ("text",)).to_pydict() == {"text": ['two\nlines, and a "quote"']}


def test_other_formats_keep_their_types(tmp_path):
    table = pa.table({"id": [7, 8], "when": pa.array([1, 2], pa.timestamp("ms")), "unread": [[1], [2]]})
    parquet.write_table(table, tmp_path / "a.parquet")
    feather.write_feather(table, tmp_path / "a.arrow")
    with pa.OSFile(str(tmp_path / "stream.ipc"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    for name in ("a.parquet", "a.arrow", "stream.ipc"):
        assert read_table(tmp_path / name, ("when", "id")).equals(table.select(["when", "id"])), name


def test_lines_of_json(tmp_path):
    rows = [{"id": "007", "n": 1, "deep": {}}, {"id": "8", "n": 2.5}, {"id": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert read_table(tmp_path / "a.jsonl", ("id", "n")).to_pydict() == {"id": ["007", "8", None], "n": [1, 2.5, None]}
    (tmp_path / "large.jsonl.gz").write_bytes(
        gzip.compress(b'\xef\xbb\xbf{"id": 340282366920938463463374607431768211455}')
    )
    assert read_table(tmp_path / "large.jsonl.gz", ("id",))["id"].to_pylist() == [str(2**128 - 1)]


def test_parts(tmp_path):
    for part, text in {
        "b.csv": "id\n2\n",
        "a.csv": "other,id\nx,1\n",
        "_c.csv": "broken",
        ".d.csv": "",
        "e.md": "",
    }.items():
        (tmp_path / part).write_text(text)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "f.csv").write_text("id\n3\n")
    assert read_table(tmp_path, ("id",))["id"].to_pylist() == ["1", "2", "3"]
    assert read_table(tmp_path / "[ab].csv", ("id",))["id"].to_pylist() == ["1", "2"]


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


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"id,name\n", "there is a header, and no row after it"),
        ("a.csv", b"id,id,name\n1,2,x\n", "2 columns are called 'id'"),
        ("a.csv", b"ID,name\n1,x\n", "no column 'id'; it has 'ID', 'name'"),
        ("a.csv", b"id,name\n1,x\n2\n3,y\n4,z,w\n", "expected 2 fields between ',' .* line 3 has 1, line 5 has 3"),
        ("a.csv", "id,name\n1,café\n".encode("cp1252"), 'not in UTF-8; .* encoding = "cp1252"'),
        ("a.csv", "id,name\n1,x\n".encode("utf-16"), 'not in UTF-8; .* encoding = "utf-16"'),
        ("a.csv.gz", b"id,name\n1,x\n", "cannot be read"),
        ("a.parquet", b"id,name\n1,x\n", "cannot be read"),
        ("a.arrow", b"id,name\n1,x\n", "cannot be read"),
        ("a.jsonl", b'{"id": 1}\n{"id": \n', "line 2 is no JSON"),
        ("a.jsonl", b"[1]\n", "line 1: expected an object"),
        ("a.jsonl", b'{"id": 1, "name": 1}\n{"id": "x", "name": 1}\n', "'id': values of several types: int and text"),
        ("a.xlsx", b"", "expected a file that ends in .csv, "),
        ("a.parquet.gz", b"", "expected a file that ends in .csv, "),
        ("a.csv", b"id,name\n1,\x00\n2,\x00\x00\n", None),
    ],
)
def test_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    if message is None:
        assert len(read_table(tmp_path / name, ("id", "name"))) == 2
        return
    with pytest.raises(DataError, match=message) as caught:
        read_table(tmp_path / name, ("id", "name"))
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_nothing_there(tmp_path):
    for name, message in (
        ("gone.csv", "there is no such file"),
        ("log-*.csv", "no file has a name like this"),
        (".", "no file in this folder"),
    ):
        with pytest.raises(DataError, match=message):
            read_table(tmp_path / name, ("id",))


def test_a_key_of_another_name(tmp_path):
    (tmp_path / "items.csv").write_text("sku,name\n1,x\n")
    with pytest.raises(DataError, match=r"""no column 'id'; .* as in keys = \{item = "sku"\}"""):
        read_table(tmp_path / "items.csv", ("id", "name"), key_of="item")


def test_parts_that_do_not_fit(tmp_path):
    parquet.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    parquet.write_table(pa.table({"id": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="its parts have columns of different types"):
        read_table(tmp_path, ("id",))
