import functools
import json

import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.runs.recommend import Servant


@functools.cache
def loaded(run):
    return Servant(run)


@pytest.fixture
def invoke(monkeypatch, tiny_run):
    """`invoke(*arguments)` calls the command; a model that was loaded before is not loaded again."""
    monkeypatch.setattr("mtkit.runs.recommend.Servant", loaded)
    return lambda *arguments: CliRunner().invoke(main, ["similar", str(tiny_run), *map(str, arguments)])


@pytest.mark.parametrize("by", ["embedding", "users"])
def test_items_like_an_item(invoke, tiny_run, by):
    result = invoke("--item", "p03", "-k", 4, "--by", by, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    similar = loaded(tiny_run).similar("p03", 4, by)
    assert said == {"format": 1, "item": "p03", "by": by, "similar": [vars(item) for item in similar]}
    assert len({item.item for item in similar} - {"p03"}) == 4
    assert [item.score for item in similar] == sorted((item.score for item in similar), reverse=True)
    table = invoke("--item", "p03", "-k", 4, "--by", by).output
    assert "Similar to p03" in table
    assert all(item.item in table and item.text in table for item in similar)


@pytest.mark.parametrize("item", ["p0", "", "10\udcff5"])
def test_items_that_are_not_there(invoke, item):
    result = invoke("--item", item)
    assert result.exit_code == 2
    assert result.stderr.startswith("no item of the catalog is called ")
    assert len(result.stderr.splitlines()) == 1
