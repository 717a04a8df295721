import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.column_files import LISTED, intact, read_columns, writing_columns
from mtkit.errors import DataError


@pytest.fixture
def directory(tmp_path):
    with writing_columns(tmp_path / "part") as writer:
        writer.add("time", np.arange(5))
        writer.add("time", np.arange(3))
        writer.add("lists/own/channels", np.zeros((0, 2), np.float32))
        writer.add_table(
            "columns", pa.table({"x": ["a", None]}).cast(pa.schema([("x", pa.dictionary(pa.int32(), pa.string()))]))
        )
        writer.add_table("columns", pa.table({"x": ["b"]}))
        writer.about["names"] = ["é/"]
    return tmp_path / "part"


def test_parts_are_joined_and_mapped(directory):
    found = read_columns(directory)
    np.testing.assert_array_equal(found.arrays["time"], [0, 1, 2, 3, 4, 0, 1, 2])
    assert isinstance(found.arrays["time"].base, np.memmap)
    assert found.arrays["lists/own/channels"].shape == (0, 2)
    assert found.tables["columns"]["x"].to_pylist() == ["a", None, "b"]
    assert found.about == {"names": ["é/"]}
    assert intact(directory) == ""


def test_parts_of_an_array_are_alike(tmp_path):
    def write():
        with writing_columns(tmp_path / "part") as writer:
            writer.add("time", np.arange(5))
            writer.add("time", np.arange(5.0))

    with pytest.raises(ValueError, match=r"float64 .* after int64"):
        write()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["000.npy", "002.arrow", LISTED])
def test_damage_is_named(directory, name):
    file = directory / name
    content = file.read_bytes()
    file.write_bytes(content[:-9])
    with pytest.raises(DataError, match=f"{name}: .*mtkit prepare"):
        read_columns(directory)
    file.write_bytes(bytes([content[-1] ^ 1]).join([content[:-1], b""]))
    assert name in intact(directory)
    file.unlink()
    with pytest.raises(DataError, match=f"{name}: is missing"):
        read_columns(directory)
