import pytest

from mtkit.data import memory
from mtkit.data.memory import available, check_memory
from mtkit.errors import DataError


def test_available_is_what_machine_and_container_leave(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       9000000 kB\nMemAvailable:   2000 kB\nSwapFree:  1 kB\n")
    assert available(meminfo, tmp_path / "none") == 2000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("500000\n")
    assert available(meminfo, tmp_path) == 2000 * 1024
    (tmp_path / "memory.max").write_text("1500000\n")
    assert available(meminfo, tmp_path) == 1_000_000
    assert available(tmp_path / "none") is None


def test_the_limit_is_between_what_fits_and_what_does_not(tiny_pipeline, monkeypatch):
    arguments = (tiny_pipeline.recipe, tiny_pipeline.plan, tiny_pipeline.fold, tiny_pipeline.tables)
    monkeypatch.setattr(memory, "available", lambda: None)
    check_memory(*arguments)
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    check_memory(*arguments)
    monkeypatch.setattr(memory, "available", lambda: 10**5)
    with pytest.raises(DataError, match=r"of memory are needed at least, and 0\.0 GB are free; most of it:\n  .*rows"):
        check_memory(*arguments)
