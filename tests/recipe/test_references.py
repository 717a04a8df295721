import os
from pathlib import Path

import pytest

from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.references import filled, moved, names, of_directory, of_environment, wrong


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    monkeypatch.setenv("MTKIT_TEST_SET", "value")
    monkeypatch.setenv("MTKIT_TEST_EMPTY", "")
    monkeypatch.delenv("MTKIT_TEST_UNSET", raising=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a-${env:MTKIT_TEST_SET}-${env:MTKIT_TEST_SET}", "a-value-value"),
        ("${env:MTKIT_TEST_SET:-other}", "value"),
        ("${env:MTKIT_TEST_UNSET:-other one}/x", "other one/x"),
        ("${env:MTKIT_TEST_EMPTY:-other}", "other"),
        ("${env:MTKIT_TEST_EMPTY}", ""),
        ("${env:MTKIT_TEST_UNSET:-}", ""),
        ("${env:MTKIT_TEST_UNSET}", "${env:MTKIT_TEST_UNSET}"),
        ("${recipe.dir}/../x", "/base/x"),
        ("-I${recipe.dir}", "-I/base/dir"),
        ("${other}", "${other}"),
    ],
)
def test_references_are_filled(text, expected):
    assert filled(text, Path("/base/dir")) == expected


def test_defaults_are_no_secrets():
    text = "${env:MTKIT_TEST_SET} ${env:MTKIT_TEST_UNSET:-open} ${env:MTKIT_TEST_EMPTY:-open}"
    assert of_environment(text) == {"value": "${env:MTKIT_TEST_SET}"}
    assert names(text) == ["MTKIT_TEST_SET", "MTKIT_TEST_UNSET", "MTKIT_TEST_EMPTY"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${env:MTKIT_TEST_UNSET}", "environment variable MTKIT_TEST_UNSET is not set; set it, or write ${env:MTKIT_T"),
        ("${env:9}", "${env:9} is no reference; expected ${env:NAME}, "),
        ("${recipe.dri}/x", "${recipe.dri} is no reference"),
        ("${env:MTKIT", "${env:MTKIT is no reference"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    (said,) = wrong(text)
    assert message in said


def test_what_follows_of_a_reference_is_not_said_beside_it(tiny_recipe):
    with pytest.raises(RecipeError) as caught:
        load_recipe(tiny_recipe, ["data.split.valid=${env:MTKIT_TEST_UNSET}", "train.epochs=0"])
    said = str(caught.value)
    assert "MTKIT_TEST_UNSET is not set" in said
    assert "expected a date" not in said
    assert "train.epochs" in said


@pytest.mark.parametrize(
    "text", ["${env:MTKIT_TEST_SET}", "${env:MTKIT_TEST_UNSET:-x}", "${recipe.dir}/x", "${x}", "$5"]
)
def test_what_is_right_is_not(text):
    assert wrong(text) == []


@pytest.mark.parametrize("relative", [".", "..", "../recipes"])
def test_a_text_that_moves_means_the_same_directory(relative, tmp_path):
    text, old = "${recipe.dir}/a ${recipe.dir}", Path(os.path.normpath(tmp_path / "run" / relative))
    (tmp_path / "run").mkdir()
    parts = [os.path.normpath(part) for part in filled(moved(text, relative), tmp_path / "run").split()]
    assert parts == [f"{old}/a", str(old)]
    assert of_directory(text)
