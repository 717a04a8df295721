"""What changed between two exports, and that it makes the later of the earlier, and of no other."""

import json
import shutil

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.serving.delta import apply_delta, export_hash, make_delta, read_delta

IDS = ["", "käse", "茶"]


class Shop(tf.Module):
    """A table with a row for each id, one with a column for each, and the ids."""

    def __init__(self, ids, table, bias=0.0):
        super().__init__()
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(ids), tf.range(len(ids)))
        self.lookup = tf.lookup.StaticHashTable(initializer, 0)
        self.ids, self.table = tf.Variable(ids), tf.Variable(table)
        self.turned, self.bias = tf.Variable(np.transpose(table)), tf.Variable(bias)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def rows(self, ids):
        found = self.lookup.lookup(ids)
        turned = tf.transpose(tf.gather(self.turned, found, axis=1))
        return {"row": tf.gather(self.table, found) + turned + self.bias, "id": tf.gather(self.ids, found)}


def save(path, *arguments):
    shop = Shop(*arguments)
    tf.saved_model.save(shop, str(path), signatures={"rows": shop.rows})
    (path / "signatures.md").write_text("of " + ", ".join(arguments[0]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Two versions, 1 and 2: of twenty rows one is other, and three are new."""
    folder = tmp_path_factory.mktemp("exports")
    table = np.random.default_rng(0).random((20, 4), np.float32)
    table[5, 0] = np.nan
    ids = [*IDS, *(f"id {i}" for i in range(17))]
    later = np.concatenate([table, np.ones((3, 4), np.float32)])
    later[7] = -0.0
    return save(folder / "1", ids, table), save(folder / "2", [*ids, "новый", "b", "c"], later, 1.0)


@pytest.fixture(scope="module")
def delta(exports, tmp_path_factory):
    out = tmp_path_factory.mktemp("delta") / "delta"
    make_delta(*exports, out)
    return out


@pytest.fixture
def served(exports, tmp_path):
    """A directory of versions that has the earlier one, as number 7."""
    shutil.copytree(exports[0], tmp_path / "served" / "7")
    return tmp_path / "served"


def answer(path, ids):
    return {
        name: value.numpy()
        for name, value in tf.saved_model.load(str(path)).signatures["rows"](tf.constant(ids)).items()
    }


def test_rows_that_changed_are_all_that_it_holds_of_a_table(delta):
    told = read_delta(delta)
    kinds = {name.split("/")[0]: change for name, change in told.tensors.items()}
    assert (kinds["table"].kind, kinds["table"].axis, kinds["table"].size, kinds["table"].changed) == ("rows", 0, 23, 4)
    assert (kinds["turned"].kind, kinds["turned"].axis, kinds["turned"].changed) == ("rows", 1, 4)
    assert (kinds["ids"].kind, kinds["ids"].changed) == ("rows", 3)
    assert kinds["bias"].kind == "new"
    assert kinds["_CHECKPOINTABLE_OBJECT_GRAPH"].kind == "same"


def test_it_makes_the_later_export(exports, delta, served):
    made = apply_delta(delta, served)
    assert made == served / "8"
    assert export_hash(made) == export_hash(exports[1])
    ids = ["", "茶", "id 4", "новый", "nobody"]
    found, expected = answer(made, ids), answer(exports[1], ids)
    np.testing.assert_array_equal(found["row"], expected["row"])
    assert found["id"].tolist() == expected["id"].tolist()
    assert (made / "signatures.md").read_text(encoding="utf-8") == (exports[1] / "signatures.md").read_text(
        encoding="utf-8"
    )
    assert sorted(path.name for path in served.iterdir()) == ["7", "8"]


def test_one_of_another_parent_is_refused(exports, delta, served):
    shutil.copytree(exports[1], served / "9")
    with pytest.raises(
        RunError, match=r"goes on from another export than .*9 \(checksum .*apply the deltas in their order"
    ):
        apply_delta(delta, served)
    assert sorted(path.name for path in served.iterdir()) == ["7", "9"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("rows.data-00000-of-00001", "truncated"),
        ("rows.index", "gone"),
        ("files/saved_model.pb.gz", "truncated"),
        ("files/saved_model.pb.gz", "gone"),
        ("delta.json", "truncated"),
        ("delta.json", "other"),
    ],
)
def test_one_that_is_damaged_leaves_nothing(delta, served, tmp_path, name, damage):
    copy = shutil.copytree(delta, tmp_path / "copy")
    path = copy / name
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        told = json.loads(path.read_text())
        path.write_text(json.dumps({**told, "result": "0" * 32}))
    with pytest.raises(RunError, match=r"is damaged|cannot be read|is no delta, for|is no description of a delta"):
        apply_delta(copy, served)
    assert [path.name for path in served.iterdir()] == ["7"]


def test_what_cannot_be_made_or_applied(exports, delta, tmp_path):
    with pytest.raises(RunError, match=r"is the same as .*, so there is nothing to hand on"):
        make_delta(exports[0], exports[0], tmp_path / "none")
    with pytest.raises(RunError, match="is there already; choose another directory"):
        make_delta(*exports, delta)
    with pytest.raises(RunError, match="has no version of an export"):
        apply_delta(delta, tmp_path)
    with pytest.raises(RunError, match="cannot be read: No such file"):
        export_hash(tmp_path)
    with pytest.raises(RunError, match=r"is no delta, for there is no delta\.json; make one"):
        read_delta(tmp_path)


def test_what_is_smaller_or_of_another_shape_comes_as_a_whole(exports, tmp_path):
    small = save(tmp_path / "2", IDS, np.zeros((3, 4), np.float32))
    told = make_delta(exports[0], small, tmp_path / "delta")
    assert {change.kind for name, change in told.tensors.items() if name.split("/")[0] in ("ids", "table")} == {"new"}
