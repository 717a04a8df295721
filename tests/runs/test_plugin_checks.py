"""What `mtkit plugins --check` finds, one planted fault at a time."""

import pytest
from toy_components import entry

from mtkit.recipe.registry import Registry
from mtkit.runs.plugin_checks import check_entries, hook_mistakes, misnamed_groups, unmet_requirements

FINE = """
from mtkit.hooks import hookimpl
from mtkit.spec import Encoder, Split
class E(Encoder): pass
class S(Split): pass
class Ring:
    @hookimpl
    def run_end(self): pass
    def helper(self): pass
class Misspelt:
    @hookimpl
    def run_end(self): pass
    def epoch_ends(self): pass
    def run_start(self): pass
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Modules that fail in different ways, importable here and in processes started here."""
    (tmp_path / "broken_import.py").write_text("import module_that_does_not_exist")
    (tmp_path / "broken_exit.py").write_text("import os; os._exit(9)")
    (tmp_path / "heavy_spec.py").write_text("import numpy\nfrom mtkit.spec import Encoder\nclass E(Encoder): pass")
    (tmp_path / "fine_spec.py").write_text(FINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return tmp_path


@pytest.fixture
def install(modules):
    """`install(name, requires=(), groups={})` installs a distribution."""

    def install(name, requires=(), groups=None):
        directory = modules / f"{name}-1.0.dist-info"
        directory.mkdir()
        lines = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{lines}")
        points = [f"[{group}]\n{entry}\n" for group, entry in (groups or {}).items()]
        (directory / "entry_points.txt").write_text("".join(points))

    return install


def test_what_cannot_be_imported_or_is_heavy_is_found(modules):
    good, wrong = entry("encoder", "e", "fine_spec:E"), entry("encoder", "s", "fine_spec:S")
    failing, exiting = entry("encoder", "f", "broken_import:E"), entry("encoder", "x", "broken_exit:E")
    strange, heavy = entry("encodr", "y", "fine_spec:E"), entry("encoder", "h", "heavy_spec:E")
    hooks = [entry("hooks", "ring", "fine_spec:Ring"), entry("hooks", "wrong", "fine_spec:Misspelt")]
    twice = [entry("split", "t", "fine_spec:S", "one"), entry("split", "t", "fine_spec:S", "two")]
    reasons = check_entries(Registry([good, wrong, failing, exiting, strange, heavy, *hooks, *twice]))
    assert not {good, hooks[0]} & reasons.keys()
    assert "expected a subclass of mtkit.spec.Encoder" in reasons[wrong]
    assert "module_that_does_not_exist" in reasons[failing]
    assert "ended Python with code 9" in reasons[exiting]
    assert "there is no kind 'encodr'; did you mean 'encoder'?" in reasons[strange]
    assert "encoder 'h' of toys 1.2 (heavy_spec:E): its module imports numpy" in reasons[heavy]
    assert "'epoch_ends' is no hook, and not marked with @hookimpl; did you mean 'epoch_end'?" in reasons[hooks[1]]
    assert "'run_start' is not marked with @hookimpl, so nobody calls it" in reasons[hooks[1]]
    assert all("recipes have to say which: one:t or two:t" in reasons[e] for e in twice)


def test_marked_methods_that_are_no_hooks_are_found():
    from toy_components import Guard, Mistaken

    assert not list(hook_mistakes(Guard))
    (message,) = hook_mistakes(Mistaken)
    assert message.startswith("there is no hook 'epoch_ends'; did you mean 'epoch_end'?")


def test_requirements_that_do_not_hold_are_found(install):
    lines = [
        "mtkit>=9",
        "numpy>=1",
        "no-such-distribution",
        'also-none; extra == "gpu"',
        'not-here; python_version < "3"',
    ]
    install("needy", requires=lines)
    found = list(unmet_requirements("needy"))
    assert found[0].startswith("needy needs mtkit>=9, but ")
    assert found[1].startswith("needy needs no-such-distribution, which is not installed; run: pip install")
    assert len(found) == 2
    assert not list(unmet_requirements("mine.py"))


def test_groups_that_nobody_reads_are_found(install):
    before = set(misnamed_groups())
    install(
        "lost",
        groups={
            "mtkit_encoder": "a = m:A",
            "mtkit-task_head": "b = m:B",
            "mktit.split": "c = m:C",
            "mttools.x": "d = m:D",
        },
    )
    found = sorted(set(misnamed_groups()) - before)
    assert [line.rpartition("did you mean ")[2] for line in found] == [
        "'mtkit.split'?",
        "'mtkit.task_head'?",
        "'mtkit.encoder'?",
    ]
    assert all(line.startswith("lost: the group ") for line in found)
