import json
import tomllib

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.errors import DeclarationError, RunError
from mtkit.recipe.loader import load_recipe
from mtkit.synthetic import domain
from mtkit.synthetic.settings import Settings
from mtkit.synthetic.writing import make, recipe_texts

SMALL = Settings(rows=3000, users=100, items=60)


def contents(files):
    return {path.name: path.read_bytes() for path in files}


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    first, again = make("media", SMALL, tmp_path / "a"), make("media", SMALL, tmp_path / "b")
    assert contents(first) == contents(again)
    other = make("media", Settings(rows=3000, users=100, items=60, seed=1), tmp_path / "c")
    assert contents(other)["interactions.parquet"] != contents(first)["interactions.parquet"]


def test_rows_are_written_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(domain, "PART", 1000)
    make("shop", SMALL, tmp_path)
    file = pq.ParquetFile(tmp_path / "interactions.parquet")
    assert file.num_row_groups == 3
    assert file.metadata.num_rows == 3000


def test_files_are_not_overwritten_unasked(tmp_path):
    before = contents(make("finance", SMALL, tmp_path))
    with pytest.raises(RunError, match=r"interactions\.parquet: is there already"):
        make("finance", SMALL.model_copy(update={"seed": 1}), tmp_path)
    assert contents(tmp_path.iterdir()) == before
    make("finance", SMALL.model_copy(update={"seed": 1}), tmp_path, force=True)
    assert contents(tmp_path.iterdir()) != before


def test_recipes_read_the_files_as_they_are(tmp_path):
    for name, text in recipe_texts().items():
        kind = tomllib.loads(text)["data"]["domain"]
        make(kind, SMALL, tmp_path / kind, force=True)
        made, read = load_recipe(tmp_path / kind / name), load_recipe_text(tmp_path, name, text)
        assert made.data.source.schema() == read.data.source.schema()
        assert made.data.source.load().interactions.num_rows == 3000


def load_recipe_text(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def test_the_command(tmp_path):
    options = ["data", "make", "social", "-o", str(tmp_path / "s"), "--rows", "2000", "--set", "correlation=0.2"]
    done = CliRunner().invoke(main, options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"mtkit run {tmp_path / 's' / 'social.toml'}" in done.output
    truth = json.loads((tmp_path / "s" / "truth.json").read_text())
    assert truth["settings"]["correlation"] == 0.2
    assert truth["tasks"]["next"]["planted"] > truth["tasks"]["next"]["plain"]


def test_a_knob_that_there_is_not(tmp_path):
    with pytest.raises(DeclarationError, match="did you mean 'correlation'"):
        Settings(corelation=0.1)
    done = CliRunner().invoke(main, ["data", "make", "media", "-o", str(tmp_path / "x"), "--set", "drift=much"])
    assert done.exit_code == 2
    assert "expected KNOB=NUMBER" in done.output
    assert not (tmp_path / "x").exists()
