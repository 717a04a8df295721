import gzip

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from mtkit.data.table_files import column_names, read_table
from mtkit.errors import DataError

TEXT = "id,name,size\n007,Tea,1.20\n08,,\n"
READ = {"id": ["007", "08"], "name": ["Tea", ""], "size": ["1.20", ""]}


def test_other_formats_keep_their_types(tmp_path):
    table = pa.table({"id": [7, 8], "when": pa.array([1, 2], pa.timestamp("ms")), "unread": [[1], [2]]})
    parquet.write_table(table, tmp_path / "a.parquet")
    feather.write_feather(table, tmp_path / "a.arrow")
    with pa.OSFile(str(tmp_path / "stream.ipc"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    for name in ("a.parquet", "a.arrow", "stream.ipc"):
        assert read_table(tmp_path / name, ("when", "id")).equals(table.select(["when", "id"])), name


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


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("sheet.csv", b"PK\x03\x04xx\n", "is no text, but a spreadsheet or another archive"),
        ("zipped.csv", gzip.compress(TEXT.encode(), mtime=0), "is no text, but compressed by gzip; name it so"),
        ("hint.csv", b"sep=;\nid;name\n1;2\n", "first line is 'sep=;', a hint to spreadsheets; remove it"),
        (
            "bare.csv",
            b"1,2\n3,4\n",
            "none of the columns 'id', 'name' is there; it has '1', '2'; the first line of a text",
        ),
        ("rows.json", b'[{"id": 1},\n{"id": 2}]\n', "line 1 is no JSON: .*; expected an object such as"),
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


def test_names_of_columns(tmp_path):
    table = pa.table({"a": [1, 2], "b": ["x", "y"]})
    parquet.write_table(table, tmp_path / "t.parquet")
    feather.write_feather(table, tmp_path / "t.arrow")
    (tmp_path / "t.csv").write_text('a;b\n1;"x\ny"\n', encoding="utf-8")
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n\n{"b": 2, "a": 3}\n', encoding="utf-8")
    (tmp_path / "parts").mkdir()
    for name in ("1.csv", "2.csv"):
        (tmp_path / "parts" / name).write_text("a,b\n1,2\n", encoding="utf-8")
    with gzip.open(tmp_path / "t.tsv.gz", "wb") as file:
        file.write(b"a\tb\n1\t2\n")
    for name in ("t.parquet", "t.arrow", "t.csv", "t.jsonl", "parts", "t.tsv.gz"):
        assert column_names(tmp_path / name) == ("a", "b"), name
    for name, message in (("t.xls", r"expected a file that ends in \.csv"), ("no.csv", "there is no such file")):
        if name == "t.xls":
            (tmp_path / name).write_bytes(b"x")
        with pytest.raises(DataError, match=message):
            column_names(tmp_path / name)
    (tmp_path / "t.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match=r"t\.parquet: cannot be read"):
        column_names(tmp_path / "t.parquet")
