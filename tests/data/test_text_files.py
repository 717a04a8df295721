import bz2
import gzip
import json

import pyarrow as pa
import pytest

from mtkit.data.table_files import read_table
from mtkit.data.text_files import Reading
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
        ("a.csv.gz", gzip.compress(TEXT.encode(), mtime=0), Reading()),
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


def test_a_quote_that_is_never_closed(tmp_path):
    rows = "".join(f"{row},x\n" for row in range(2, 9))
    for name, text in {
        "a.csv": f'id,text\n0,5" disk\n1,"7 inch\n{rows}',
        "b.csv": f'id,text\n1,"7 inch\n{rows}'[:-1],
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(
            DataError, match=r"column 'text': the quote before '7 inch' is never closed, so that [78] lines"
        ):
            read_table(tmp_path / name, ("id",))
    (tmp_path / "long.csv").write_text('id,text\n1,"7 inch\n' + rows * 100_000)
    with pytest.raises(DataError, match="a field is longer than 1 MB; is a quote before it not closed"):
        read_table(tmp_path / "long.csv", ("id",))
    for name, text in {"good.csv": b'id,text\n1,"seven\ninch"\n', "other.csv": b"id,text\n1,caf\xe9\n"}.items():
        (tmp_path / name).write_bytes(text)
        assert read_table(tmp_path / name, ("id",))["id"].to_pylist() == ["1"]


def test_quotes_behind_backslashes(tmp_path):
    (tmp_path / "spark.csv").write_text('id,text\n1,"a \\"b\\", c"\n')
    assert read_table(tmp_path / "spark.csv", ("text",), Reading(escape="\\")).to_pydict() == {"text": ['a "b", c']}


def test_lines_of_json(tmp_path):
    rows = [{"id": "007", "n": 1, "deep": {}}, {"id": "8", "n": 2.5}, {"id": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert read_table(tmp_path / "a.jsonl", ("id", "n")).to_pydict() == {"id": ["007", "8", None], "n": [1, 2.5, None]}
    (tmp_path / "large.jsonl.gz").write_bytes(
        gzip.compress(b'\xef\xbb\xbf{"id": 340282366920938463463374607431768211455}', mtime=0)
    )
    assert read_table(tmp_path / "large.jsonl.gz", ("id",))["id"].to_pylist() == [str(2**128 - 1)]
