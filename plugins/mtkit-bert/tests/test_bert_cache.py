import subprocess
import sys

import numpy as np
import pytest

from mtkit.errors import DataError
from mtkit_bert.cache import VectorCache


def vectors(count, seed=0):
    return np.random.default_rng(seed).normal(size=[count, 3]).astype(np.float32)


def test_what_is_added_is_read_bit_by_bit(tmp_path):
    cache = VectorCache(tmp_path / "cache")
    texts, values = ["a", "牛奶", "a\x00", "\ud800"], vectors(4)
    assert cache.read(texts) == {}
    cache.add(texts[:2], values[:2])
    cache.add(texts[2:], values[2:])
    found = VectorCache(tmp_path / "cache").read([*texts, "unknown"])
    assert sorted(found) == sorted(texts)
    for text, value in zip(texts, values, strict=True):
        np.testing.assert_array_equal(found[text], value)


def test_a_directory_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=r"cannot be kept: .*file/texts.*: Not a directory; .* MTKIT_CACHE names another"
    ):
        VectorCache(tmp_path / "file" / "texts").add(["a"], vectors(1))


def test_damaged_shards_are_told_of_and_computed_anew_and_foreign_files_left_alone(tmp_path):
    cache = VectorCache(tmp_path)
    cache.add(["a"], vectors(1))
    (whole,) = tmp_path.glob("*.npy")
    cache.add(["b", "c"], vectors(2, 1))
    (torn,) = set(tmp_path.glob("*.npy")) - {whole}
    torn.write_bytes(torn.read_bytes()[:-5])
    (tmp_path / "empty.npy").touch()
    (tmp_path / "half.part").write_bytes(whole.read_bytes())
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.warns(UserWarning, match=f"{torn.name} is damaged: .* computed anew"):
        assert set(cache.read(["a", "b", "c"])) == {"a"}
    assert not torn.exists()
    assert {"empty.npy", "half.part", "other.npy"} <= {path.name for path in tmp_path.iterdir()}
    cache.add(["b", "c"], vectors(2, 1))
    assert set(cache.read(["a", "b", "c"])) == {"a", "b", "c"}


@pytest.mark.parametrize("place", [0, 20, -3])
def test_a_changed_byte_is_noticed(tmp_path, place):
    cache = VectorCache(tmp_path)
    cache.add(["a"], vectors(1))
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged"):
        assert cache.read(["a"]) == {}


def test_object_arrays_are_not_unpickled(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{}], object), allow_pickle=True)
    assert VectorCache(tmp_path).read(["a"]) == {}


WRITER = """
import sys
from pathlib import Path
import numpy as np
from mtkit_bert.cache import VectorCache
cache = VectorCache(Path(sys.argv[1]))
for block in range(40):
    texts = [f"{block}-{i}" for i in range(50)]
    cache.add(texts, np.full([50, 8], block, np.float32))
    found = cache.read(texts)
    assert len(found) == 50, len(found)
"""


def test_two_processes_at_once(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    found = VectorCache(tmp_path).read([f"{block}-{i}" for block in range(40) for i in range(50)])
    assert len(found) == 2000
    assert all((vector == int(text.split("-")[0])).all() for text, vector in found.items())
    assert len(list(tmp_path.iterdir())) == 40
