import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from mtkit.errors import RunError
from mtkit.files import write_text
from mtkit.runs.directory import RunDirectory, write_json, write_table

HOLD = """\
import sys, time
from pathlib import Path
from mtkit.runs.directory import RunDirectory, write_json, write_table
with RunDirectory(Path(sys.argv[1])).claimed(resume=False):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path / "run")


def begun(directory, lock="lock", data="data"):
    with directory.claimed(resume=False):
        directory.begin(lock, data, resume=False)
    return directory


def test_a_directory_of_a_live_process_is_refused_and_of_a_dead_one_taken_over(directory):
    process = subprocess.Popen([sys.executable, "-c", HOLD, directory.path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    try:
        for resume in (False, True):
            with pytest.raises(RunError, match=f"another run is at work here .process {process.pid}."):  # noqa: SIM117
                with directory.claimed(resume):
                    pytest.fail("it was given away twice")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (directory.path / ".lock").exists()
    with directory.claimed(resume=True):
        pass
    assert list(directory.path.iterdir()) == []


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("link", [True, False])
def test_a_lock_file_that_no_run_made_is_left_as_it_is(directory, tmp_path, link, resume):
    directory.path.mkdir()
    own = tmp_path / "thesis.txt" if link else directory.path / ".lock"
    own.write_text("years of work")
    if link:
        (directory.path / ".lock").symlink_to(own)
    with pytest.raises(RunError, match=r"is a symbolic link|was made by something else"), directory.claimed(resume):
        pass
    assert own.read_text() == "years of work"
    assert (directory.path / ".lock").is_symlink() == link


def test_links_in_a_run_directory_are_refused(directory, tmp_path):
    begun(directory)
    (tmp_path / "elsewhere").mkdir()
    (directory.path / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="checkpoints: is a symbolic link"), directory.claimed(resume=True):
        pass


@pytest.mark.parametrize("replace", [True, False])
def test_a_directory_that_is_removed_or_replaced_meanwhile_ends_the_run(directory, tmp_path, replace):
    other = tmp_path / "other"
    other.mkdir()
    (other / ".lock").write_text("mine")

    def run():
        with directory.claimed(resume=False):
            directory.path.rename(tmp_path / "gone")
            if replace:
                other.rename(directory.path)

    with pytest.raises(RunError, match="run: was removed or replaced while a run was at work in it"):
        run()
    if replace:
        assert (directory.path / ".lock").read_text() == "mine"


def test_a_run_ends_with_its_lock(directory):
    begun(directory)
    directory.check_kept("lock")
    with pytest.raises(RunError, match="was removed or replaced"):
        directory.check_kept("other")
    directory.lock.unlink()
    with pytest.raises(RunError, match=r"recipe.lock.toml was removed or replaced"):
        directory.check_kept("lock")


def test_a_directory_with_something_else_is_left_as_it_is(directory):
    directory.path.mkdir()
    (directory.path / "thesis.txt").write_text("")
    with pytest.raises(RunError, match="not empty; choose another with --run-dir, or continue it with --resume"):
        begun(directory)
    with pytest.raises(RunError, match=r"nothing to resume: there is no recipe.lock.toml"), directory.claimed(True):
        pass
    assert [path.name for path in directory.path.iterdir()] == ["thesis.txt"]


def test_only_the_same_recipe_on_the_same_data_is_resumed(directory):
    begun(directory)
    directory.begin("lock", "data", resume=True)
    with pytest.raises(RunError, match="of another recipe"):
        directory.begin("other", "data", resume=True)
    with pytest.raises(RunError, match=r"the data have changed .*data, now other"):
        directory.begin("lock", "other", resume=True)


def test_a_run_that_was_killed_before_it_wrote_its_lock_is_resumed(directory):
    write_json(directory.data, {"fingerprint": "data"})
    with directory.claimed(resume=True):
        directory.begin("lock", "data", resume=True)
    assert directory.lock.read_text() == "lock"


def test_seeds_are_resumed_from_the_directory_around_them(directory):
    for seed in (2, 10):
        write_text(directory.path / f"seed-{seed}" / "recipe.lock.toml", "")
    with directory.claimed(resume=True):
        pass
    write_text(directory.path / "seed-x" / "notes.txt", "")
    assert [path.name for path in directory.replicates()] == ["seed-2", "seed-10"]
    directory.check_replicates(["seed-2", "seed-10", "seed-11"])
    with pytest.raises(RunError, match=r"holds seed-2, seed-10, of which seed-10 is not asked for"):
        directory.check_replicates(["seed-2"])


def test_one_run_is_not_resumed_as_several(directory):
    begun(directory)
    directory.check_replicates([])
    with pytest.raises(RunError, match=r"holds one run, and 2 \(seed-1, seed-2\) are asked for"):
        directory.check_replicates(["seed-1", "seed-2"])


def test_history_has_each_epoch_once(directory):
    for epoch, loss in ((1, 0.5), (2, 0.4), (2, 0.3)):
        directory.append_history({"phase": "valid", "epoch": epoch, "next_loss": loss})
    assert directory.history.read_text() == "phase,epoch,next_loss\nvalid,1,0.5\nvalid,2,0.3\n"


def test_counters_add_up_over_runs(directory):
    assert directory.read_counters() == {}
    directory.count({"texts_encoded": 3})
    assert directory.read_counters() == {"texts_encoded": 3}
    RunDirectory(directory.path).count({"texts_encoded": 0, "pages": 1})
    assert directory.read_counters() == {"texts_encoded": 3, "pages": 1}


def test_undefined_numbers_are_null(tmp_path):
    write_json(tmp_path / "x.json", {"test": {"auc": float("nan"), "f1": 0.5}, "list": [float("inf"), 1]})
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "format": 1, "test": {"auc": None, "f1": 0.5}, "list": [None, 1]
    }  # fmt: skip


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only file")])
@pytest.mark.parametrize("call", ["replace", "mkdir"])
def test_what_cannot_be_written_is_one_message_and_leaves_nothing(tmp_path, monkeypatch, number, reason, call):
    (tmp_path / "text").write_text("before")

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, call, fail)
    table = pa.table({"a": [1]})
    for name, write in (("text", lambda path: write_text(path, "x")), ("table", lambda path: write_table(path, table))):
        with pytest.raises(RunError, match=f"{name}: cannot be written: {reason}"):
            write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
    assert (tmp_path / "text").read_text() == "before"


def test_a_directory_that_cannot_be_made_is_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunError, match="cannot be written: Not a directory"),
        RunDirectory(tmp_path / "file" / "run").claimed(resume=False),
    ):
        pass


def test_paths_that_cannot_be_run_directories(tmp_path):
    with pytest.raises(RunError, match=r"a{300}: cannot be a run directory: File name too long$"):
        RunDirectory(tmp_path / ("a" * 300))
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "below", "Not a directory")):
        with (
            pytest.raises(RunError, match=rf"^{path}: cannot be written: {reason}$"),
            RunDirectory(path).claimed(False),
        ):
            pass


def test_files_that_an_encoder_reads_are_those_of_the_run(directory):
    with directory.claimed(resume=False):
        directory.begin("lock", "data", False, {"made": "1f"})
    directory.check_data("data", {"made": "1f"})
    with pytest.raises(RunError, match="the files that encoder 'made' reads are damaged, or others than when"):
        directory.check_data("data", {"made": "2e"})


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ((), []),
        (("evidence/data.json",), []),
        (("evidence/data.json", "evidence/valid.json"), ["data.json", "evidence", "recipe.lock.toml"]),
        (("evidence/data.json", "valid.json"), ["data.json", "evidence", "recipe.lock.toml", "valid.json"]),
    ],
)
def test_what_a_run_begins_with_is_taken_back_where_nothing_followed(directory, more, left):
    begun(directory)
    for name in more:
        write_json(directory.path / name, {})
    directory.withdraw()
    assert sorted(path.name for path in directory.path.iterdir()) == left
