"""All checks that fit a distribution: of what is generated they hold, and a planted fault is named."""

import sys

import pytest

from mtkit.errors import PluginError
from mtkit.recipe.registry import Entry, Registry
from mtkit.scaffold.new import write_new
from mtkit.scaffold.templates import made
from mtkit.testing.suite import results as run_checks


@pytest.fixture
def results(tmp_path, monkeypatch):
    """`results(kind, old, new)` makes a distribution, changes its code, and gives check -> failure."""

    def results(kind, old="", new=""):
        directory, found = write_new(kind, "own", tmp_path), made(kind, "own")
        for path in (directory / "src" / "mtkit_own").glob("*.py"):
            path.write_text(path.read_text().replace(old, new) if old else path.read_text())
        monkeypatch.syspath_prepend(directory / "src")
        monkeypatch.setenv("PYTHONPATH", str(directory / "src"), prepend=":")
        entry = Entry(kind, "own", found.value, "mtkit-own", "0.1.0")
        monkeypatch.setattr("mtkit.testing.suite.unmet_requirements", lambda _: iter(()))
        return {result.check: result.failure or result.skipped for result in run_checks("mtkit-own", Registry([entry]))}

    yield results
    for name in [name for name in sys.modules if name.startswith("mtkit_own")]:
        del sys.modules[name]


def test_what_is_generated_holds(results):
    assert results("encoder") == dict.fromkeys(("import", "check_spec", "check_encoder", "check_options"), "")


@pytest.mark.parametrize(
    ("kind", "old", "new", "check", "message"),
    [
        ("encoder", "        return self.length", "        return 50", "check_options", "option 'length'"),
        ("correlation", "tf.reduce_mean(states, 1", "tf.reduce_mean(states, 0", "check_correlation", "differ"),
        ("baseline", "rows.groups]", "rows.groups] * 0 + rows.labels", "check_baseline", "with other labels of the rows"),
        ("ranking_metric", "hits.argmax(1)", "hits.argmax(0).sum()", "check_ranking_metric", "differ"),
        ("split", '"""The last days', 'import numpy\n"""The last days', "import", "imports numpy"),
    ],
)  # fmt: skip
def test_a_fault_is_named(results, kind, old, new, check, message):
    assert message in results(kind, old, new)[check]


def test_a_distribution_that_is_not_there_is_said():
    with pytest.raises(PluginError, match="no distribution 'mtkit-berd' offers components"):
        list(run_checks("mtkit-berd", Registry([Entry("encoder", "bert", "m:B", "mtkit-bert", "1")])))


def test_own_components_hold(monkeypatch):
    """Those without a layer, and a head; what cannot be made here says why."""
    monkeypatch.setattr("mtkit.testing.suite.check_entries", lambda _: {})
    chosen = {
        ("cleaner", "keep"),
        ("split", "rolling"),
        ("split", "column"),
        ("preprocessor", "pca"),
        ("task_head", "fm"),
    }
    skipped = {("cleaner", "join"): "it needs file", ("task_head", "listwise"): "all rows of a query"}
    entries = [e for e in Registry.installed().entries() if (e.kind, e.name) in {*chosen, *skipped}]
    found = list(run_checks("mtkit", Registry(entries)))
    assert {(r.entry.kind, r.entry.name): r.failure for r in found if r.failure} == {}
    ran = {(r.entry.kind, r.entry.name) for r in found if r.check not in ("import", "check_spec") and not r.skipped}
    assert ran == chosen
    for component, why in skipped.items():
        assert any(why in r.skipped for r in found if (r.entry.kind, r.entry.name) == component)
