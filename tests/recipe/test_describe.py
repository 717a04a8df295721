from toy_components import RECIPE, toy_registry

from mtkit.recipe.describe import describe
from mtkit.recipe.loader import load_recipe

EXPECTED = """\
toy: shop, split by_time, seed 0

embeddings
  user <- sum(user.id, user.age) -> experts (experts)
  past <- sum(history.item, catalog of item) -> experts (experts)
  item <- deep(item.id, item.text) -> experts (experts)
  both <- experts joins user, item -> late (experts)

task next: retriever, weight 1
  rows lines (lines), 8 in a batch
  evaluated on items (lines)
  query user, past
  candidate item

task cheap: ranker, weight 1
  rows lines (lines), 8 in a batch
  label cheap
  inputs both, task.department

task department: ranker, weight 1
  rows items (lines), 4 in a batch
  label item.department
  inputs item

losses are combined by fixed; an epoch is a pass over lines
validation chooses by next/recall@10"""


def test_wiring_is_described(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    sets = ["task.next.evaluate=items", "correlation.late={use='experts', on=['both']}"]
    assert describe(load_recipe(path, sets, registry=toy_registry())) == EXPECTED
    weighed = describe(load_recipe(path, ["task.cheap.weight_by=price"], registry=toy_registry()))
    assert "\ntask cheap: ranker, weight 1, rows count by price\n" in weighed


def test_what_every_step_encodes_is_said(tmp_path, monkeypatch):
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    recipe = load_recipe(path, registry=toy_registry())
    monkeypatch.setattr(type(recipe.encoder["item"]), "whole_limit", 100)
    lines = [line for line in describe(recipe).splitlines() if line.endswith("; every step encodes all rows of item")]
    assert [line.split()[0] for line in lines] == ["item"]
