import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mtkit.data.vector_files import vectors_of
from mtkit.errors import DataError

CATALOG = np.array([None, "a", "b", "c"], object)
VECTORS = np.arange(8, dtype=np.float16).reshape(4, 2)
NAMES = ["c", "other", "a", "b"]


@pytest.fixture
def write(tmp_path):
    """A function that writes vectors and ids as `npy` or `parquet`, and returns the arguments of `vectors_of`."""

    def write(kind, names=NAMES, vectors=VECTORS, dtype=None):
        if kind == "parquet":
            column = vectors if isinstance(vectors, list) else list(vectors.astype(np.float32))
            table = pa.table({"id": names, "vector": pa.array(column, dtype), "more": names})
            parquet.write_table(table, tmp_path / "vectors.parquet")
            return (tmp_path / "vectors.parquet",)
        np.save(tmp_path / "vectors.npy", vectors)
        (tmp_path / "ids.txt").write_text("\n".join(map(str, names)) + "\n", "utf-8")
        return tmp_path / "vectors.npy", tmp_path / "ids.txt"

    return write


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_joins_by_id(write, kind):
    vectors, there = vectors_of(CATALOG, *write(kind))
    np.testing.assert_array_equal(vectors, [[0, 0], [4, 5], [6, 7], [0, 1]])
    assert vectors.dtype == np.float32
    assert there.tolist() == [False, True, True, True]


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_missing_ids_are_zeros(write, kind):
    vectors, there = vectors_of(CATALOG, *write(kind, ["c", "d", "e", "f"]))
    np.testing.assert_array_equal(vectors, [[0, 0], [0, 0], [0, 0], [0, 1]])
    assert there.tolist() == [False, False, False, True]


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_ids_of_other_data_are_refused(write, kind):
    with pytest.raises(DataError, match=r"none of its vectors has an id of the data, which are as 'x'$"):
        vectors_of(np.array([None, "x", "y"], object), *write(kind, ["d", "e", "f", "g"]))


def test_integers_meet_strings(write, tmp_path):
    path, _ = write("npy")
    np.save(tmp_path / "ids.npy", [3, 4, 1, 2])
    vectors, _ = vectors_of(np.array([None, "1", "2"], object), path, tmp_path / "ids.npy")
    np.testing.assert_array_equal(vectors[1:], [[4, 5], [6, 7]])
    vectors, _ = vectors_of(np.array([None, 1, 2], object), *write("parquet", [3, 4, 1, 2]))
    np.testing.assert_array_equal(vectors[1:], [[4, 5], [6, 7]])


def test_lists_of_fixed_size_and_blocks(write, monkeypatch):
    monkeypatch.setattr("mtkit.data.vector_files._BLOCK", 3)
    vectors, _ = vectors_of(CATALOG, *write("parquet", dtype=pa.list_(pa.float32(), 2)))
    np.testing.assert_array_equal(vectors, [[0, 0], [4, 5], [6, 7], [0, 1]])


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_repeated_ids_are_refused(write, kind):
    with pytest.raises(DataError, match="id 'a' is there more than once"):
        vectors_of(CATALOG, *write(kind, ["a", "b", "a", "c"]))


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_numbers_that_are_none_are_refused(write, kind):
    with pytest.raises(DataError, match="nan or infinite"):
        vectors_of(CATALOG, *write(kind, vectors=np.full([4, 2], np.nan, np.float32)))


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (VECTORS[:3], r"ids.txt has 4 ids, but .*vectors.npy has 3 vectors"),
        (VECTORS[0], r"float16 \[2\], expected floats \[vectors, width\]"),
        (VECTORS.astype(int), r"int64 \[4, 2\], expected floats"),
        (VECTORS.astype(object), r"vectors.npy: cannot be read: .*objects"),
    ],
)
def test_other_arrays_are_refused(write, vectors, message):
    with pytest.raises(DataError, match=message):
        vectors_of(CATALOG, *write("npy", vectors=vectors))


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0], [1.0, 2.0], [1.0], [1.0]], "vectors are 1 and 2 wide"),
        ([[1.0], None, [1.0], [1.0]], "column vector has nulls"),
        ([1.0, 2.0, 3.0, 4.0], "column vector is double, expected a list of floats"),
        (["a", "b", "c", "d"], "column vector is string, expected a list of floats"),
    ],
)
def test_other_columns_are_refused(write, vectors, message):
    with pytest.raises(DataError, match=message):
        vectors_of(CATALOG, *write("parquet", vectors=vectors))


def test_files_that_are_not_there(write, tmp_path):
    path, ids = write("npy")
    with pytest.raises(DataError, match=r"none.npy: there is no such file"):
        vectors_of(CATALOG, tmp_path / "none.npy", ids)
    with pytest.raises(DataError, match=r"none.txt: there is no such file"):
        vectors_of(CATALOG, path, tmp_path / "none.txt")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"torn.parquet: cannot be read"):
        vectors_of(CATALOG, tmp_path / "torn.parquet")
    parquet.write_table(pa.table({"id": ["a"], "embedding": [[1.0]]}), tmp_path / "named.parquet")
    with pytest.raises(DataError, match=r"no column vector; expected id and vector, got id, embedding"):
        vectors_of(CATALOG, tmp_path / "named.parquet")
