import sys

import pytest
from toy_components import Auc, Popularity, entry, one_device, toy_registry

from mtkit.errors import PluginError
from mtkit.recipe.registry import Registry


@pytest.fixture
def broken_modules(tmp_path, monkeypatch):
    """Modules that fail in different ways, importable here and in processes started here."""
    (tmp_path / "broken_import.py").write_text("import module_that_does_not_exist")
    (tmp_path / "broken_exit.py").write_text("import os; os._exit(9)")
    (tmp_path / "fine.py").write_text(
        "from mtkit.spec import Encoder, Split\nclass E(Encoder): pass\nclass S(Split): pass\nnumber = 1\nprint(0)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_code_is_imported_only_when_named(broken_modules):
    registry = Registry([entry("encoder", "e", "fine:E"), entry("encoder", "bad", "broken_import:E")])
    assert [e.name for e in registry.entries()] == ["bad", "e"]
    assert registry.names("encoder") == ("bad", "e")
    assert "fine" not in sys.modules
    assert registry.get("encoder", "e").__module__ == "fine"
    del sys.modules["fine"]


def test_get_returns_the_object():
    registry = toy_registry()
    assert registry.get("baseline", "popularity") is Popularity
    assert registry.get("strategy", "auto") is one_device
    assert registry.get("prediction_metric", "auc") is Auc


def test_own_components_say_which_options_they_have():
    own = Registry(
        [
            entry("baseline", "popularity", "toy_components:Popularity", distribution="mtkit"),
            entry("baseline", "recency", "toy_components:Recency", distribution="mtkit"),
            entry("baseline", "other", "broken_import:Other"),
            entry("encoder", "deep", "toy_components:Deep", distribution="mtkit"),
        ]
    )
    assert own.with_option("baseline", "half_life") == ("recency",)
    assert own.with_option("baseline", "rate") == ()


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("encoder", "broken_import:E", "is broken: ModuleNotFoundError: No module named 'module_that_does_not_exist'"),
        ("encoder", "fine:Missing", "is broken: AttributeError: "),
        ("encoder", "fine:S", "expected a subclass of mtkit.spec.Encoder, got <class 'fine.S'>"),
        ("encoder", "fine:number", "expected a subclass of mtkit.spec.Encoder, got 1"),
        ("strategy", "fine:number", "expected a callable, got 1"),
        ("hooks", "fine:print", "is broken"),
    ],
)
def test_a_broken_plugin_is_fatal_to_who_names_it(broken_modules, kind, value, message):
    registry = Registry([entry(kind, "x", value)])
    with pytest.raises(PluginError, match=r"toys 1\.2") as raised:
        registry.get(kind, "x")
    assert message in str(raised.value)


def test_a_name_offered_twice_names_both_distributions():
    two = [entry("split", "time", "a:A", "one", "1"), entry("split", "time", "b:B", "two", "2")]
    registry = Registry([*two, entry("encoder", "fine", "c:C")])
    with pytest.raises(PluginError, match=r"split 'time' is offered twice, by one 1 \(a:A\) and two 2 \(b:B\)"):
        registry.get("split", "time")


def test_an_unknown_name_gives_the_nearest_and_the_command():
    registry = toy_registry()
    with pytest.raises(PluginError, match=r"no baseline is named 'popularty'; did you mean 'popularity'\?"):
        registry.get("baseline", "popularty")
    with pytest.raises(PluginError, match="encoder 'bert' comes with mtkit-bert; run: pip install mtkit-bert"):
        registry.get("encoder", "bert")
    with pytest.raises(PluginError, match="did you mean 'bert'"):
        registry.get("encoder", "berd")
    with pytest.raises(PluginError, match=r"no split is named 'x'; there are none"):
        Registry([]).get("split", "x")


def test_check_survives_what_it_imports(broken_modules):
    good, bad = entry("encoder", "e", "fine:E"), entry("encoder", "s", "fine:S")
    failing, exiting = entry("encoder", "f", "broken_import:E"), entry("encoder", "x", "broken_exit:E")
    strange = entry("encodr", "y", "fine:E")
    twice = [entry("split", "t", "fine:S", "one"), entry("split", "t", "fine:S", "two")]
    reasons = Registry([good, bad, failing, exiting, strange, *twice]).check()
    assert good not in reasons
    assert "expected a subclass of mtkit.spec.Encoder" in reasons[bad]
    assert "module_that_does_not_exist" in reasons[failing]
    assert "ended Python with code 9" in reasons[exiting]
    assert "there is no kind 'encodr'; did you mean 'encoder'?" in reasons[strange]
    assert all("offered twice, by one and two" in reasons[e] for e in twice)


def test_installed_offers_the_standard_components():
    registry = Registry.installed()
    assert registry.entry("split", "time").distribution == "mtkit"
    assert registry.entry("ranking_metric", "ndcg").version
    assert len(registry.names("encoder")) >= 2
