"""Whose fault an exception is, in whatever part of the recipe, and what is shown of it."""

import pytest
from click.testing import CliRunner
from toy_components import COMPONENTS, RECIPE, ByTime, Shop, Sum, entry, toy_entries

from mtkit.cli import program as cli
from mtkit.errors import ComponentError, DataError, PluginError, RecipeError
from mtkit.recipe.blame import blaming
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.registry import Registry
from mtkit.spec import Baseline, Encoder, PredictionMetric, RankingMetric


class Unreadable(Shop):
    def schema(self):
        return {}["columns"]


class Touchy(Sum):
    @property
    def content(self):
        raise RuntimeError("no content today")


class Strange(Sum):
    def __init__(self, **options):
        raise TypeError("cannot be made")


class Method(Encoder):
    def content(self):
        return ()


class AsProperty(Encoder):
    @property
    def build(self):
        return None


class Flag(RankingMetric):
    def cutoff(self):
        return False


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    own = [
        entry("data_source", "unreadable", f"{__name__}:Unreadable"),
        *(
            entry("encoder", cls.__name__.lower(), f"{__name__}:{cls.__name__}")
            for cls in (Touchy, Strange, Method, AsProperty)
        ),
        entry("ranking_metric", "flag", f"{__name__}:Flag"),
    ]
    registry = Registry([*toy_entries(), *own])
    return lambda *sets: load_recipe(path, sets, registry=registry)


@pytest.mark.parametrize(
    ("key", "name", "message"),
    [
        ("data.use", "unreadable", r"data: data_source .*Unreadable failed at test_blame\.py:\d+: KeyError: columns"),
        ("encoder.past.use", "touchy", r"toy\.toml:\d+:\d+: encoder\.past: .*: RuntimeError: no content today"),
        ("encoder.past.use", "strange", r"toy\.toml:\d+:\d+: encoder\.past: .*: TypeError: cannot be made"),
    ],
)
def test_a_component_that_fails_is_named_with_its_place(load, key, name, message):
    with pytest.raises(ComponentError, match=message) as raised:
        load(f"{key}={name}")
    assert raised.value.origin is not None


@pytest.mark.parametrize(
    ("key", "name", "message"),
    [
        (
            "encoder.past.use",
            "method",
            r"Method\.content is a method, and Encoder\.content a property; write @property",
        ),
        ("encoder.past.use", "asproperty", r"AsProperty\.build is a property, and Encoder\.build a method; remove"),
        ("evaluate.metrics", "['flag']", r"Flag\.cutoff is a method, and RankingMetric\.cutoff a value of the class"),
    ],
)
def test_what_is_written_as_another_thing_is_said(load, key, name, message):
    with pytest.raises(RecipeError, match=message):
        load(f"{key}={name}")


def _with(base, **values):
    return type("Planted", (base,), values)


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (
            _with(PredictionMetric, labels=frozenset({"binry"})),
            "labels has 'binry', which there is not; did you mean 'binary'",
        ),
        (_with(PredictionMetric, labels=("binary",)), r"labels is a tuple; write frozenset\(\{\.\.\.\}\)"),
        (_with(PredictionMetric), "labels is missing; expected some of binary, classes"),
        (_with(Encoder, reads_kinds=("texts",)), "reads_kinds has 'texts', which there is not; did you mean 'text'"),
        (_with(Baseline, form="ranking"), "form has 'ranking', which there is not"),
    ],
)
def test_words_that_there_are_not_are_said(component, message, monkeypatch):
    monkeypatch.setattr(f"{__name__}.Planted", component, raising=False)
    with pytest.raises(PluginError, match=message):
        entry(component.kind, "planted", f"{__name__}:Planted").load()


class Layer:
    """Of the package of a component, and called as its table is."""

    name = "past"

    def call(self):
        raise LookupError("in a layer")


def test_a_layer_is_told_by_its_name_and_others_by_their_package():
    components = {("encoder", "user"): Sum(reads=("user.id",)), ("encoder", "past"): Method(reads=("user.id",))}
    with pytest.raises(ComponentError, match=r"^encoder\.past: "), blaming(components):
        Layer().call()


def test_bugs_of_the_core_and_messages_stay_what_they_are():
    components = {("data", "split"): ByTime(valid="2020-01-01", test="2020-02-01")}
    with pytest.raises(ZeroDivisionError), blaming({("x",): COMPONENTS}):
        1 / 0  # noqa: B018
    with pytest.raises(DataError, match=r"^no rows$"), blaming(components):
        raise DataError("no rows")


def test_the_traceback_is_shown_where_it_is_asked_for(load, monkeypatch, tmp_path):
    monkeypatch.setattr("mtkit.recipe.loader.load_recipe", lambda *_, **__: load("encoder.past.use=touchy"))
    plain = CliRunner().invoke(cli.main, ["check", "--fast", "x.toml"])
    assert plain.exit_code == 2
    assert "Traceback" not in plain.output
    assert "mtkit -v shows its traceback" in plain.stderr
    for words in (["-v", "check", "--fast", "x.toml"], ["check", "--fast", "-v", "x.toml"]):
        told = CliRunner().invoke(cli.main, words)
        assert told.exit_code == 2
        assert "Traceback (most recent call last)" in told.stderr
        assert 'raise RuntimeError("no content today")' in told.stderr
