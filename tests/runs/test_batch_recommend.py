"""Lists for all users, in shards: what one user is told, made once, and made again where they are damaged."""

import functools
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.errors import RunError
from mtkit.runs import batch_recommend
from mtkit.runs.batch_recommend import Batch
from mtkit.runs.recommend import Servant


@functools.cache
def batch(run, k=3, exclude_seen=False, shard=30):
    return Batch(run, k, exclude_seen=exclude_seen, shard=shard)


@pytest.fixture
def small(monkeypatch):
    """Batches of seven users."""
    monkeypatch.setattr(batch_recommend, "MOST_USERS", 7)


def rows(out):
    return [row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_everyone_gets_what_one_user_gets(tiny_run, tmp_path, small):
    told = []
    done = batch(tiny_run).write(tmp_path / "lists", told.append)
    found = rows(tmp_path / "lists")
    assert done.users == sum(told) == len(found) == batch(tiny_run).asked.users
    assert max(told) <= 30
    assert [len(pq.read_table(path)) for path in sorted((tmp_path / "lists").glob("*.parquet"))][:2] == [30, 30]
    servant = Servant(tiny_run)
    for row in (found[0], found[45], found[-1]):
        expected = servant.recommend(str(row["user_id"]), 3)
        assert row["item_ids"] == [one.item for one in expected]
        np.testing.assert_allclose(row["scores"], [one.score for one in expected], rtol=1e-4, atol=1e-5)
    assert isinstance(found[0]["user_id"], int)  # as in the data


def test_what_is_in_the_past_can_be_left_out(tiny_run, tmp_path):
    batch(tiny_run, 50, exclude_seen=True).write(tmp_path / "new")
    row = rows(tmp_path / "new")[5]
    had = {one.item for one in Servant(tiny_run).past(str(row["user_id"]))}
    assert had
    assert not had & set(row["item_ids"])
    assert len(row["item_ids"]) == 40 - len(had)


def test_a_call_that_was_stopped_goes_on(tiny_run, tmp_path, small):
    made = []

    def stop(users):
        made.append(users)
        if sum(made) > 40:
            raise KeyboardInterrupt

    out = tmp_path / "lists"
    with pytest.raises(KeyboardInterrupt):
        batch(tiny_run).write(out, stop)
    assert sorted(path.name for path in out.iterdir()) == ["batch.json", "part-00000.parquet"]
    first = (out / "part-00000.parquet").stat().st_mtime_ns
    done = batch(tiny_run).write(out)
    assert (done.kept, done.damaged) == (30, ())
    assert (out / "part-00000.parquet").stat().st_mtime_ns == first
    assert batch(tiny_run).write(out).users == 0
    assert len(rows(out)) == batch(tiny_run).asked.users


@pytest.mark.parametrize("damage", ["truncated", "garbled", "other"])
def test_shards_that_are_damaged_are_made_anew_and_named(tiny_run, tmp_path, damage):
    out = tmp_path / "lists"
    batch(tiny_run).write(out)
    path, whole = out / "part-00001.parquet", rows(out)
    data = path.read_bytes()
    middle = len(data) // 3
    {
        "truncated": lambda: path.write_bytes(data[: len(data) // 2]),
        "garbled": lambda: path.write_bytes(data[:middle] + bytes(40) + data[middle + 40 :]),
        "other": lambda: path.write_bytes((out / "part-00000.parquet").read_bytes()),
    }[damage]()
    done = batch(tiny_run).write(out)
    assert done.users == 30
    assert len(done.damaged) == 1
    assert done.damaged[0].startswith("part-00001.parquet: ")
    assert rows(out) == whole


def test_directories_with_something_else_are_refused(tiny_run, tmp_path):
    out = tmp_path / "lists"
    batch(tiny_run).write(out)
    with pytest.raises(RunError, match=r"has lists of another kind: k = 3 \(now 4\); choose another --out"):
        batch(tiny_run, 4).write(out)
    with pytest.raises(RunError, match="expected a new directory, or one with lists of this command"):
        batch(tiny_run).write(tmp_path)
    (out / "batch.json").write_text("{")
    with pytest.raises(RunError, match=r"batch.json: is damaged: "):
        batch(tiny_run).write(out)


def test_the_command_says_what_it_did(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("mtkit.runs.batch_recommend.Batch", batch)
    words = ["recommend", str(tiny_run), "--all", "--out", str(tmp_path / "lists"), "-k", "3", "--shard", "30"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert f"lists for {batch(tiny_run).asked.users} users in " in done.output
    assert f"; {batch(tiny_run).asked.users} were there" in CliRunner().invoke(main, words).output
    told = json.loads((tmp_path / "lists" / "batch.json").read_text())
    assert told.keys() == {"format", "export", "checksum", "users", "k", "exclude_seen", "shard"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected --user ID, or --all and --out FOLDER"),
        (("--all",), "expected --user ID, or --all and --out FOLDER"),
        (("--user", "1", "--out", "x"), "expected --user ID, or --all and --out FOLDER"),
        (("--user", "1", "--all", "--out", "x"), "expected --user ID, or --all and --out FOLDER"),
        (("--all", "--out", "x", "--json"), "--filter and --json are of one user"),
    ],
)
def test_one_user_or_all(tmp_path, words, message):
    done = CliRunner().invoke(main, ["recommend", str(tmp_path), *words])
    assert done.exit_code == 2
    assert message in done.output
