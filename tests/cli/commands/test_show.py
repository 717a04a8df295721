import json
import tomllib

from click.testing import CliRunner

from mtkit.cli.program import main


def show(*words):
    result = CliRunner().invoke(main, ["show", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_recipe_is_shown_as_it_is_resolved(tiny_recipe, monkeypatch):
    monkeypatch.setenv("MTKIT_TEST_CHANNEL", "a-secret-channel")
    values = tomllib.loads(show(tiny_recipe, "--set", "train.epochs=7"))
    assert (values["train"]["epochs"], values["train"]["patience"]) == (7, 2)
    text = show(tiny_recipe, "--origin", "--set", "rows.lines.where={channel='${env:MTKIT_TEST_CHANNEL}'}")
    assert "a-secret-channel" not in text
    assert "${env:MTKIT_TEST_CHANNEL}" in text
    assert f"# {tiny_recipe}:" in text


def test_json_has_what_is_asked_for(tiny_recipe):
    found = json.loads(show(tiny_recipe, "--json", "--origin", "--mermaid"))
    assert found["recipe"]["data"]["split"]["test"] == "2024-08-01"
    assert found["origin"]["train.patience"] == "default"
    assert found["mermaid"].startswith("flowchart LR")
    assert "parameters" not in found
