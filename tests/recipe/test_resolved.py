import tomllib

import pytest

from mtkit.recipe.loader import load_recipe
from mtkit.recipe.resolved import leaves, origin, origins, resolved, with_origins


@pytest.fixture
def recipe(tiny_recipe, tmp_path):
    (tmp_path / "above.toml").write_text(f'extends = "{tiny_recipe.name}"\nseed = 3\n[encoder.customer]\ndim = 8\n')
    return load_recipe(tmp_path / "above.toml", ["train.epochs=3", "evaluate.k=[3]"])


def line_of(path, text):
    return path.read_text().splitlines().index(text) + 1


def test_each_value_says_where_it_came_from(recipe, tiny_recipe, tmp_path):
    found = {path: origin(recipe.document, path) for path, _ in leaves(resolved(recipe))}
    assert found["seed",] == f"{tmp_path}/above.toml:2"
    assert found["encoder", "customer", "dim"] == f"{tmp_path}/above.toml:4"
    assert found["encoder", "look", "use"].startswith(f"{tiny_recipe}:")
    optimizer = line_of(tiny_recipe, 'optimizer = "adam"')
    assert found["train", "optimizer"] == f"{tiny_recipe}:{optimizer}"
    assert found["train", "epochs"] == found["evaluate", "k", 0] == "--set"
    assert found["train", "patience"] == found["export", "use"] == "default"
    metrics = line_of(tiny_recipe, 'metrics = ["recall", "ndcg"]')
    assert found["evaluate", "metrics", 1, "use"] == f"{tiny_recipe}:{metrics}"
    assert origins(recipe.document, resolved(recipe)) == found


def test_the_text_with_origins_is_the_same_recipe(recipe):
    text = with_origins(recipe.document, resolved(recipe))
    assert tomllib.loads(text) == resolved(recipe)
    assert all("  # " in line for line in text.splitlines() if " = " in line)


def test_what_follows_from_a_name_came_with_the_name(tiny_recipe):
    sets = ["rows.lines.where='web'"]
    text = tiny_recipe.read_text() + "\n[events.web]\nwhere = {channel = 'web'}\n"
    tiny_recipe.write_text(text)
    recipe = load_recipe(tiny_recipe, [*sets, "encoder.visit.reads=['context.hour']"])
    assert resolved(recipe)["rows"]["lines"]["where"]
    inner = next(path for path, _ in leaves(resolved(recipe)) if path[:3] == ("rows", "lines", "where"))
    assert len(inner) > 3
    assert origin(recipe.document, inner) == "--set"
