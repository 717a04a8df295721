"""Warnings in data that are known, where these and their plugin are installed: those that docs/profile.md lists."""

import os
from pathlib import Path

import pytest

from mtkit.errors import MtkitError
from mtkit.recipe.loader import load_recipe
from mtkit.runs.profile import profile_files, profile_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
DATA = os.environ.get("MTKIT_DATA")
pytest.importorskip("mtkit_datasets")
KNOWN = [
    ("adult", {("P020", "interactions.capital_gain"), ("P051", "test")}),
    ("benchmarks/ml100k", set()),
    ("benchmarks/beauty", set()),
    ("benchmarks/toys", set()),
    ("benchmarks/movietweetings", {("P049", "user ids"), ("P050", "interactions")}),
    ("benchmarks/stackexchange", {("P049", "item ids"), ("P050", "interactions")}),
    pytest.param("feed", {("P012", "interactions")}, marks=pytest.mark.slow),
    pytest.param("benchmarks/complete_journey", set(), marks=pytest.mark.slow),
]


def warnings(profile):
    return {(one.code, one.where) for one in profile.survey.findings if one.severity != "note"}


@pytest.mark.parametrize(("name", "expected"), KNOWN)
def test_warnings_in_known_data(name, expected):
    try:
        profile = profile_recipe(load_recipe(RECIPES / f"{name}.toml"))
    except MtkitError as error:
        pytest.skip(str(error))
    assert warnings(profile) == expected


@pytest.mark.skipif(DATA is None, reason="needs MTKIT_DATA")
def test_warnings_in_known_files():
    path = Path(DATA) / "bank-marketing" / "bank.csv"
    if not path.exists():
        pytest.skip(f"needs {path}")
    assert warnings(profile_files([path])) == {("P020", "bank.csv.pdays")}
