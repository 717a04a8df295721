"""Files as tables to look at."""

import numpy as np
import pandas as pd
import pytest

from mtkit.draft.tables import SAMPLE, find_tables
from mtkit.errors import DataError


def test_files_of_a_folder_are_tables_each(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.tsv").write_text("x\ty\n1\t2\n")
    (tmp_path / "c.jsonl").write_text('{"x": 1}\n{"x": 2, "y": 3}\n')
    pd.DataFrame({"x": [1, 2, 3]}).to_parquet(tmp_path / "d.parquet")
    (tmp_path / "picture.png").write_bytes(b"\0")
    (tmp_path / "readme.txt").write_text("one line\nand, another, one\n")
    found = find_tables([tmp_path])
    assert {table.name: table.rows for table in found.tables} == {"a.csv": 1, "b.tsv": 1, "c.jsonl": 2, "d.parquet": 3}
    assert [table.columns for table in found.tables] == [["x", "y"]] * 3 + [["x"]]
    assert list(found.passed_over) == ["readme.txt"]


def test_a_sample_of_a_large_table_is_spread_evenly(tmp_path):
    rows = 5 * SAMPLE
    pd.DataFrame({"number": np.arange(rows)}).to_csv(tmp_path / "a.csv", index=False)
    (table,) = find_tables([tmp_path / "a.csv"]).tables
    numbers = np.asarray(table.sample["number"].to_pylist(), int)
    assert table.rows == rows
    assert SAMPLE <= len(numbers) < 2 * SAMPLE
    assert set(np.diff(numbers)) == {4}


def test_names_are_plain_and_hints_are_kept(tmp_path):
    (tmp_path / "a.inter").write_text("user_id:token\tthe price:float\n1\t2\n")
    (table,) = find_tables([tmp_path / "a.inter"]).tables
    assert table.columns == ["user_id", "the_price"]
    assert table.headers == {"user_id": "user_id:token", "the_price": "the price:float"}
    assert table.hints == {"user_id": "token", "the_price": "float"}
    assert table.read(["the_price"])["the_price"].to_pylist() == ["2"]


@pytest.mark.parametrize("between", ["::", " ", ";", "\t"])
def test_a_log_of_ratings_without_a_header_has_names_by_place(tmp_path, between):
    (tmp_path / "r.dat").write_text(
        "\n".join(between.join(row) for row in (("1", "20", "3.5"), ("2", "10", "4"))) + "\n"
    )
    (table,) = find_tables([tmp_path / "r.dat"]).tables
    assert table.columns == ["user", "item", "rating"]
    assert table.rows == 2
    assert table.read(["rating"])["rating"].to_pylist() == ["3.5", "4"]


def test_names_can_be_given(tmp_path):
    (tmp_path / "m.dat").write_text("1::Toy: the story::a|b\n2::Heat::c\n")
    (table,) = find_tables([tmp_path / "m.dat"], names={"m.dat": ["id", "title", "genres"]}).tables
    assert table.sample.to_pylist()[0] == {"id": "1", "title": "Toy: the story", "genres": "a|b"}
    with pytest.raises(DataError, match=r"n\.dat.*m\.dat"):
        find_tables([tmp_path / "m.dat"], names={"n.dat": ["id"]})


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2,3\n")
    (tmp_path / "b.csv").write_bytes(b"x,y\n\xff,1\n")
    with pytest.raises(DataError, match="line 2 has 3"):
        find_tables([tmp_path / "a.csv"])
    with pytest.raises(DataError, match="not in UTF-8"):
        find_tables([tmp_path / "b.csv"])
    assert find_tables([tmp_path / "b.csv"], encoding="cp1252").tables[0].rows == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no table was found"):
        find_tables([tmp_path / "empty"])
    with pytest.raises(DataError, match="no such file"):
        find_tables([tmp_path / "nothing.csv"])
