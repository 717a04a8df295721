"""The table of checks, and their codes in recipes."""

import re

import pytest
from toy_components import RECIPE, toy_registry

from mtkit.errors import RecipeError
from mtkit.recipe.data_checks import CHECKS, SEVERITIES
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock


@pytest.fixture
def load(tmp_path):
    """Loads the toy recipe with keys set."""

    def load(*sets, text=RECIPE):
        (tmp_path / "toy.toml").write_text(text, encoding="utf-8")
        return load_recipe(tmp_path / "toy.toml", sets, registry=toy_registry())

    return load


def test_codes_are_numbered():
    assert list(CHECKS) == [f"P{number:03}" for number in range(1, len(CHECKS) + 1)]
    assert all(code == check.code and check.severity in SEVERITIES for code, check in CHECKS.items())


def test_each_says_what_it_means_in_a_sentence():
    titles = [check.title for check in CHECKS.values()]
    assert len(set(titles)) == len(titles)
    for check in CHECKS.values():
        assert re.fullmatch(r"[A-Z`\"\-0-9].*\.", check.means, re.DOTALL), check.code
        assert check.advice.endswith("."), check.code
        assert not check.title.endswith("."), check.code


def test_checks_are_silenced_by_code(load, tmp_path):
    assert load().data.silence == ()
    recipe = load('data.silence=["P012", "P040"]')
    assert recipe.data.silence == ("P012", "P040")
    (tmp_path / "lock.toml").write_text(lock(recipe, tmp_path), encoding="utf-8")
    assert load_recipe(tmp_path / "lock.toml", registry=toy_registry()) == recipe
    assert "silence" not in lock(load(), tmp_path).partition("[evaluate]")[0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('["P0012"]', r"data\.silence\[0\]: no check has the code 'P0012'; did you mean 'P012'\?"),
        ('["P012", "P999"]', r"data\.silence\[1\]: no check has the code 'P999'"),
        ('"P012"', r"data\.silence: expected"),
        ("[12]", r"data\.silence\[0\]: expected"),
    ],
)
def test_unknown_codes_are_refused(load, value, message):
    with pytest.raises(RecipeError, match=message):
        load(f"data.silence={value}")


def test_the_line_is_named(load):
    text = RECIPE.replace("[data]\n", '[data]\nsilence = ["P0012"]\n')
    assert text != RECIPE
    line = text[: text.index("silence")].count("\n") + 1
    with pytest.raises(RecipeError, match=rf"toy\.toml:{line}:12: data\.silence\[0\]"):
        load(text=text)
