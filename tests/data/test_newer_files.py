"""Newer rows of tables of files."""

import pyarrow as pa
import pytest

from mtkit.data.newer_files import newer_paths, with_newer
from mtkit.errors import DataError

LOG = pa.table({"who": ["ä", "b", None], "when": ["1", "2", "3"], "price": ["5", "6", "7"]})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "later" / "day=3").mkdir(parents=True)
    return tmp_path


def test_files_are_called_as_the_older_ones(folder):
    for name in ("log.csv", "part-2.csv", "day=3/x.csv"):
        (folder / "later" / name).write_text("a\n1\n")
    later = folder / "later"
    asked = {"interactions": folder / "old" / "log.csv", "item": folder / "items.csv", "user": folder / "part-*.csv"}
    assert newer_paths(later, asked) == {"interactions": later / "log.csv", "user": later / "part-*.csv"}
    assert newer_paths(later, {"interactions": folder / "day=*/x.csv"}) == {"interactions": later / "day=*/x.csv"}


def test_a_folder_without_any_is_refused(folder):
    with pytest.raises(
        DataError, match=r"later: has no newer file; they are called there as the older ones are: log.csv, u.csv"
    ):
        newer_paths(folder / "later", {"interactions": folder / "log.csv", "user": folder / "u.csv"})
    with pytest.raises(DataError, match="nowhere: expected a folder with newer files; there is none"):
        newer_paths(folder / "nowhere", {"interactions": folder / "log.csv"})


def test_rows_are_added_and_those_of_entities_take_the_place_of_older_ones(tmp_path):
    newer = pa.table({"who": ["ä", None], "when": ["4", "3"], "price": ["1", "1"]})
    joined = with_newer(LOG, newer, "interactions", ["who", "when"], tmp_path)
    assert joined.to_pylist() == LOG.to_pylist() + newer.to_pylist()
    goods = pa.table({"id": ["é", "p", "q"], "shelf": ["1", "2", "3"]})
    moved = with_newer(goods, pa.table({"id": ["r", "é"], "shelf": ["4", "5"]}), "item", ["id"], tmp_path)
    assert moved.to_pydict() == {"id": ["p", "q", "r", "é"], "shelf": ["2", "3", "4", "5"]}


def test_files_that_have_the_older_rows_too_are_refused(tmp_path):
    newer = pa.concat_tables([LOG, pa.table({"who": ["z"], "when": ["9"], "price": ["1"]})])
    with pytest.raises(DataError, match="3 rows of 4 are in the older files, too, and would count twice"):
        with_newer(LOG, newer, "interactions", ["who", "when"], tmp_path / "log.csv")
    assert len(with_newer(LOG, newer.slice(2), "interactions", ["who", "when"], tmp_path)) == 5  # a day that is divided


def test_other_types_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"log.csv: has columns of other types than the older files: "):
        with_newer(LOG, pa.table({"who": ["a"], "when": [1], "price": ["1"]}), "interactions", [], tmp_path / "log.csv")
