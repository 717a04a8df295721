import sys

import pytest
from toy_components import COMPONENTS, RECIPE, Auc, Popularity, entry, one_device, toy_entries, toy_registry

from mtkit.errors import PluginError, RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.registry import Registry


@pytest.fixture
def broken_modules(tmp_path, monkeypatch):
    """Modules that fail in different ways, importable here and in processes started here."""
    (tmp_path / "broken_import.py").write_text("import module_that_does_not_exist")
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
    said = r"split 'time' is offered twice, by one 1 \(a:A\) and two 2 \(b:B\); say which is meant: \"one:time\" or "
    with pytest.raises(PluginError, match=said):
        registry.entry("split", "time")
    assert registry.entry("split", "two:time") == two[1]
    assert registry.names("split") == ("one:time", "two:time")
    with pytest.raises(PluginError, match="three offers no split named 'time'; known: one, two"):
        registry.entry("split", "three:time")


def test_what_no_recipe_names_stays_what_it_is_where_another_offers_its_name():
    own, other = entry("exporter", "saved_model", "a:A", "mtkit"), entry("exporter", "saved_model", "b:B")
    assert Registry([own]).own("exporter", "saved_model") == "saved_model"
    assert Registry([own, other]).entry("exporter", Registry([own, other]).own("exporter", "saved_model")) == own


def test_a_name_offered_twice_breaks_only_recipes_that_use_it_alone(tmp_path):
    twice = [("baseline", "recency"), ("exporter", "saved_model"), ("balancer", "fixed"), ("encoder", "sum")]
    others = [entry(kind, name, f"toy_components:{COMPONENTS[kind, name].__name__}", "mtkit") for kind, name in twice]
    registry, path = Registry([*toy_entries(), *others]), tmp_path / "toy.toml"
    path.write_text(RECIPE)
    with pytest.raises(RecipeError, match="'recency' is offered twice") as raised:
        load_recipe(path, registry=registry)
    assert {p.key for p in raised.value.problems} == {
        "encoder.user.use",
        "encoder.past.use",
        "evaluate.baselines[1].use",
    }
    path.write_text(RECIPE.replace('"recency"', '"toys:recency"').replace('use = "sum"', 'use = "mtkit:sum"'))
    recipe = load_recipe(path, registry=registry)
    assert recipe.uses["export"] == "mtkit:saved_model"
    assert "recency" in recipe.evaluate.baselines
    written = tmp_path / "lock.toml"
    written.write_text(lock(recipe, tmp_path))
    again = load_recipe(written, registry=registry)
    assert again.sections == recipe.sections
    assert again.uses["evaluate.baselines.recency"] == "toys:recency"


def test_a_variable_limits_which_distributions_there_are(monkeypatch):
    every = {entry.distribution for entry in Registry.installed().entries()}
    monkeypatch.setenv("MTKIT_PLUGINS", "")
    assert {entry.distribution for entry in Registry.installed().entries()} == {"mtkit"}
    monkeypatch.setenv("MTKIT_PLUGINS", "mtkit_bert, mtkit-none")
    assert {entry.distribution for entry in Registry.installed().entries()} == every & {"mtkit", "mtkit-bert"}


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


def test_installed_offers_the_standard_components():
    registry = Registry.installed()
    assert registry.entry("split", "time").distribution == "mtkit"
    assert registry.entry("ranking_metric", "ndcg").version
    assert len(registry.names("encoder")) >= 2
