"""`mtkit init`, from files to a run."""

import pytest
from click.testing import CliRunner
from user_files import customers_alone, shop

from mtkit.cli.program import main


def mtkit(*words, code=0, given=None):
    result = CliRunner().invoke(main, [str(word) for word in words], input=given)
    assert result.exit_code == code, result.output
    return result.output


def test_from_files_to_a_run(tmp_path):
    recipe = tmp_path / "shop.toml"
    said = mtkit("init", shop(tmp_path), "-o", recipe, "--yes", "--role", "item.title=ignore")
    assert "user: customers.csv, 60 rows, by customer_id" in said
    assert f"mtkit run {recipe}" in said
    run = tmp_path / "run"
    small = [
        "train.steps_per_epoch=2",
        "train.epochs=1",
        "encoder.past.dim=4",
        "encoder.item.dim=4",
        'evaluate.baselines=["popularity"]',
    ]
    shown = mtkit("run", recipe, "--run-dir", run, *(word for one in small for word in ("--set", one)))
    assert "next new/ndcg@10" in shown or "next ndcg@10" in shown
    assert (run / "metrics.json").exists()


def test_a_recipe_is_not_overwritten_and_not_half_written(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("mine")
    directory = tmp_path / "data"
    directory.mkdir()
    assert "--force" in mtkit("init", customers_alone(directory), "-o", recipe, code=2)
    assert recipe.read_text() == "mine"
    mtkit("init", directory, "-o", recipe, "--force")
    assert "[task.deposit]" in recipe.read_text()
    mtkit("init", directory, "-o", tmp_path / "other.toml", "--role", "age=colour", code=2)
    assert not (tmp_path / "other.toml").exists()


@pytest.mark.parametrize("option", [("--role", "age"), ("--names", "=a,b")])
def test_options_have_two_parts(tmp_path, option):
    assert "expected two parts" in mtkit("init", customers_alone(tmp_path), "-o", tmp_path / "r.toml", *option, code=2)
