import os
import subprocess
import sys

import pytest

from mtkit.errors import RunError
from mtkit.files import holding, new_version, sweep, versions, whole, write_text


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_file_takes_its_place_in_the_end(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with whole(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(target.parent) == ["file.txt"]


def test_nothing_is_left_of_what_failed(tmp_path):
    write_text(tmp_path / "file.txt", "old")

    def half():
        with whole(tmp_path / "file.txt") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert (tmp_path / "file.txt").read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_directory_takes_the_place_of_another(tmp_path):
    for text in ("old", "new"):
        with whole(tmp_path / "step") as temporary:
            temporary.mkdir()
            (temporary / text).write_text(text)
    assert names(tmp_path / "step") == ["new"]


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/inner: cannot be written: "):
        write_text(tmp_path / "file" / "inner", "")


def test_versions_count_up(tmp_path):
    for number in (1, 2, 10):
        made = new_version(tmp_path, lambda directory: (directory / "model").write_text("x"))
        assert (made / "model").read_text() == "x"
        if number == 2:
            (tmp_path / "9").mkdir()
    assert made.name == "10"
    assert versions(tmp_path) == [1, 2, 9, 10]


def test_a_version_that_fails_is_not_there(tmp_path):
    def write(directory):
        (directory / "half").write_text("x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        new_version(tmp_path, write)
    assert names(tmp_path) == []


def test_what_killed_processes_were_writing_is_removed(tmp_path):
    program = "import os, sys, mtkit.files as f\nwith f.whole(f.Path(sys.argv[1])) as p:\n    p.write_text('x')\n    os._exit(9)"
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "file")], check=False)
    assert len(names(tmp_path)) == 1
    (tmp_path / f".mine.{os.getpid()}-00000000").write_text("x")
    (tmp_path / ".other").write_text("x")
    sweep(tmp_path)
    assert names(tmp_path) == [f".mine.{os.getpid()}-00000000", ".other"]


def test_links_are_replaced_or_refused_and_what_is_behind_them_stays(tmp_path):
    behind = tmp_path / "behind"
    (behind / ".step.1-0123abcd").mkdir(parents=True)
    (behind / "file").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/file").symlink_to(behind / "file")
    (tmp_path / "run/folder").symlink_to(behind)
    write_text(tmp_path / "run/file", "new")
    sweep(tmp_path / "run/folder")
    with pytest.raises(RunError, match=r"folder: is a symbolic link to .*behind, and nothing is written or removed"):
        new_version(tmp_path / "run/folder", lambda _: None)
    assert names(behind) == [".step.1-0123abcd", "file"]
    assert (behind / "file").read_text() == "mine"
    assert not (tmp_path / "run/file").is_symlink()


def test_nothing_is_written_in_a_directory_that_took_the_place_of_a_held_one(tmp_path):
    held, other = tmp_path / "held", tmp_path / "other"
    for path in (held, other):
        path.mkdir()

    def replaced():
        with holding(held):
            write_text(held / "sub/file", "x")
            held.rename(tmp_path / "gone")
            other.rename(held)
            for write in (lambda: write_text(held / "file", "x"), lambda: new_version(held / "export", lambda _: None)):
                with pytest.raises(RunError, match="held: was removed or replaced while a run was at work"):
                    write()
            assert names(held) == []

    with pytest.raises(RunError, match="held: was removed or replaced"):
        replaced()
    write_text(held / "file", "it is held no more")


def test_a_removed_directory_is_not_made_anew(tmp_path):
    (tmp_path / "held").mkdir()

    def removed():
        with holding(tmp_path / "held"):
            (tmp_path / "held").rmdir()
            write_text(tmp_path / "held/file", "x")

    with pytest.raises(RunError, match="was removed or replaced"):
        removed()
    assert names(tmp_path) == []
