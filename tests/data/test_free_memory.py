import resource

import pytest

from mtkit.data.free_memory import available

FREE = 2000 * 1024


@pytest.fixture
def proc(tmp_path):
    """A machine with 2000 kB free, on which the process is in the group a/b."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:  9000000 kB\nMemAvailable:   2000 kB\nHugePages_Total:  0\n")
    (tmp_path / "proc/self/cgroup").write_text("3:cpu:/else\n4:memory:/a/b\n0::/a/b\n")
    (tmp_path / "proc/self/status").write_text("Name:\tpython\nVmSize:\t  300 kB\nVmData:\t  200 kB\n")
    return tmp_path / "proc"


def group(path, **files):
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("_", ".", 1)).write_text(f"{text}\n")


def test_without_limits_it_is_what_the_machine_has(proc, tmp_path):
    assert available(proc, tmp_path / "none") == FREE
    group(tmp_path / "group", memory_max="max", memory_current=500_000)
    assert available(proc, tmp_path / "group") == FREE
    assert available(tmp_path / "none", tmp_path / "group") is None


@pytest.mark.parametrize("where", ["", "a", "a/b"])
def test_a_group_of_version_2_limits_it_with_those_above(proc, tmp_path, where):
    top = tmp_path / "group"
    group(top / "a/b", memory_max="max", memory_current=1)
    group(top / where, memory_max=1_500_000, memory_current=500_000, memory_stat="anon 7\ninactive_file 1000")
    assert available(proc, top) == 1_001_000


@pytest.mark.parametrize("where", ["memory", "memory/a", "memory/a/b"])
def test_a_group_of_version_1_limits_it_with_those_above(proc, tmp_path, where):
    top = tmp_path / "group"
    group(top / "memory/a/b", memory_limit_in_bytes=2**63 - 4096, memory_usage_in_bytes=5)
    files = {"memory_limit_in_bytes": 1_500_000, "memory_usage_in_bytes": 500_000}
    group(top / where, memory_stat="inactive_file 5\ntotal_inactive_file 1000", **files)
    assert available(proc, top) == 1_001_000
    group(top / where, memory_usage_in_bytes=9_000_000)
    assert available(proc, top) == 0


@pytest.mark.parametrize(("limit", "used"), [(resource.RLIMIT_AS, 300), (resource.RLIMIT_DATA, 200)])
def test_a_limit_of_the_process(proc, tmp_path, monkeypatch, limit, used):
    limits = {limit: 1_000_000}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limits.get(which, resource.RLIM_INFINITY), 0))
    assert available(proc, tmp_path / "none") == 1_000_000 - used * 1024


def test_this_machine_tells():
    assert available() is None or available() > 0
