import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_components import RECIPE, toy_registry

from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock
from mtkit.recipe.toml_writer import toml_value


def load(path, text, sets=()):
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, sets, registry=toy_registry())


def relock(recipe, directory):
    """What the lock of a recipe loads to, from another directory."""
    directory.mkdir(exist_ok=True)
    return load(directory / "recipe.lock.toml", lock(recipe, directory))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ASSIGNMENTS = {
    "encoder.item.mode": st.sampled_from(["frozen", "lora", "full"]),
    "encoder.item.words": TEXTS.filter(lambda text: "${env:" not in text),
    "encoder.item.count": st.integers(-9, 9).map(lambda n: 2 * n + 1),
    "encoder.item.rate": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5),
    "encoder.item.flag": st.booleans(),
    "encoder.item.day": st.dates(),
    "encoder.item.span": st.sampled_from(["28d", "1 days", "PT12H", "P1DT3.5S"]),
    "encoder.item.names": st.lists(TEXTS, max_size=3),
    "encoder.item.weights": st.dictionaries(TEXTS, st.floats(-1, 1), max_size=3),
    "encoder.item.options.files": st.lists(st.sampled_from(["a", "b/c", "/d"]), max_size=2),
    "data.path": st.sampled_from(["x", "../x", "/x", "a/../../x"]),
    "seed": st.integers(0, 2**32 - 1),
    "deterministic": st.booleans(),
    "train.clip_norm": st.floats(0.1, 10),
    "evaluate.main": st.sampled_from(["next/new/recall@50", "cheap/auc"]),
    "evaluate.baselines": st.permutations(["popularity", "recency"]),
    "hook.guard": st.just({}),
    "hook.log": st.just({"use": "tracker"}),
    "requires.mtkit": st.just(">=0.1"),
}


@given(st.fixed_dictionaries({}, optional=ASSIGNMENTS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_lock_loads_to_an_equal_recipe(tmp_path, values):
    sets = [f"{key}={toml_value(value)}" for key, value in values.items()]
    recipe = load(tmp_path / "toy.toml", RECIPE, sets)
    again = relock(recipe, tmp_path / "run")
    assert again == recipe
    assert lock(again, tmp_path / "run") == lock(recipe, tmp_path / "run")


def test_every_default_is_filled_in(tmp_path):
    locked = tomllib.loads(lock(load(tmp_path / "toy.toml", RECIPE), tmp_path))
    assert locked["train"]["optimizer"] == "adam"
    assert locked["train"]["epoch_of"] == "lines"
    assert locked["balance"] == {"use": "fixed"}
    assert locked["encoder"]["item"]["options"] == {"ratio": 0.5, "files": []}
    assert locked["evaluate"]["main"] == "next/recall@10"
    assert locked["evaluate"]["baselines"] == [{"use": "popularity"}, {"use": "recency", "half_life": "P60D"}]
    assert locked["data"]["catalog"] == {"item": {"min_count": 20, "unlisted": "refuse"}}


def test_versions_are_noted(tmp_path):
    assert lock(load(tmp_path / "toy.toml", RECIPE), tmp_path).startswith("# Resolved with mtkit 0.1.0, toys 1.2.\n")


@pytest.mark.parametrize("token", ["s3cr3t", "1", 'quote " and \\'])
def test_environment_is_locked_by_reference(tmp_path, monkeypatch, token):
    monkeypatch.setenv("MTKIT_TEST_TOKEN", token)
    monkeypatch.setenv("MTKIT_TEST_BASELINE", "popularity")
    sets = [
        "data.token='a ${env:MTKIT_TEST_TOKEN}'",
        "data.path='sub/${env:MTKIT_TEST_TOKEN}'",
        "encoder.item.weights={'${env:X}'=1}",
        "encoder.item.names=['x', '${env:MTKIT_TEST_TOKEN}']",
        "evaluate.baselines=['${env:MTKIT_TEST_BASELINE}']",
    ]
    recipe = load(tmp_path / "toy.toml", RECIPE, sets)
    locked = tomllib.loads(lock(recipe, tmp_path / "run"))
    assert locked["data"]["token"] == "a ${env:MTKIT_TEST_TOKEN}"
    assert locked["data"]["path"] == "../sub/${env:MTKIT_TEST_TOKEN}"
    assert locked["encoder"]["item"]["names"] == ["x", "${env:MTKIT_TEST_TOKEN}"]
    assert locked["evaluate"]["baselines"] == ["${env:MTKIT_TEST_BASELINE}"]
    assert relock(recipe, tmp_path / "run") == recipe


def test_recipes_that_differ_have_locks_that_differ(tmp_path):
    one = load(tmp_path / "toy.toml", RECIPE)
    other = load(tmp_path / "toy.toml", RECIPE, ["rows.lines.window='29d'"])
    assert one.rows["lines"].window == timedelta(days=28)
    assert lock(one, tmp_path) != lock(other, tmp_path)


@pytest.mark.parametrize("given", ["data/shop.csv", "../shop.csv", "sub/../shop.csv"])
def test_a_copied_project_reads_the_copy(tmp_path, given):
    (tmp_path / "one/sub").mkdir(parents=True)
    recipe = load(tmp_path / "one/toy.toml", RECIPE, [f"data.path='{given}'", "encoder.item.options.files=['/a', 'b']"])
    text = lock(recipe, tmp_path / "one/runs/toy")
    assert str(tmp_path) not in text
    copied = tmp_path / "deep/er/two/runs/toy"
    copied.mkdir(parents=True)
    (tmp_path / "deep/er/two/sub").mkdir()
    again = load(copied / "recipe.lock.toml", text)
    assert again.data.source.path.resolve() == (tmp_path / "deep/er/two" / given).resolve()
    assert again.encoder["item"].options.files == (Path("/a"), tmp_path / "deep/er/two/b")
    copy = load(tmp_path / "deep/er/two/toy.toml", (tmp_path / "one/toy.toml").read_text(), [
        f"data.path='{given}'", "encoder.item.options.files=['/a', 'b']"
    ])  # fmt: skip
    assert lock(copy, copied) == text


def test_absolute_paths_stay_and_defaults_begin_at_the_recipe(tmp_path):
    recipe = load(tmp_path / "toy.toml", RECIPE, [f"encoder.item.options.files=['{tmp_path}/a']"])
    locked = tomllib.loads(lock(recipe, tmp_path / "runs/toy"))
    assert locked["encoder"]["item"]["options"]["files"] == [f"{tmp_path}/a"]
    assert locked["data"]["path"] == "../../shop.csv"


def test_run_directories_behind_a_link_find_the_data(tmp_path):
    (tmp_path / "far/away/runs").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "far/away/runs")
    (tmp_path / "shop.csv").write_text("here")
    recipe = load(tmp_path / "toy.toml", RECIPE)
    again = load(tmp_path / "runs/recipe.lock.toml", lock(recipe, tmp_path / "runs"))
    assert again.data.source.path.read_text() == "here"
