"""Values of `${env:...}` and control characters of data, through the command line: what is printed, written, and called."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from tiny_shop import RECIPE, TinyShop

from mtkit.cli.program import main
from mtkit.recipe.toml_positions import dotted
from mtkit.recipe.toml_writer import toml_value

SECRET = "s3cr3t-V4lue"
FILE, KEY = "s3cr3t-f1le", "s3cr3t-k3y"
ENVIRONMENT = {"X": SECRET, "FILE": FILE, "KEY": KEY, "DAY": "2024-07-01"}
EVIL = "\x1b[2Jevil\x9b31m\u202e"
COLUMNS = """\
use = "files"
interactions = "lines.parquet"
entities = {user = "user.parquet", item = "item.parquet"}
[data.columns]
user = {kind = "id", entity = "user"}
item = {kind = "id", entity = "item"}
time = {kind = "time"}
discounted = {kind = "label", classes = true}
[data.entity_columns]
user = {town = {kind = "categorical"}}
item = {text = {kind = "text"}}
"""
SMALL = RECIPE[: RECIPE.index("[data]")] + "[data]\n" + COLUMNS + """\
[data.split]
use = "time"
valid = 2024-07-01
test = 2024-08-01
[rows.windows]
use = "windows"
length = "30d"
count = 2
batch_size = 64
[encoder.customer]
use = "features"
reads = ["user.id"]
dim = 8
[encoder.product]
use = "features"
reads = ["item.id"]
dim = 8
[task.next]
use = "gated_retrieval"
rows = "windows"
query = ["customer"]
candidate = ["product"]
[train]
epochs = 1
[evaluate]
metrics = ["recall"]
slices = ["user.town"]
baselines = ["popularity"]
"""  # fmt: skip


def write_shop(directory, evil=""):
    """The tiny shop in files; ids, towns and texts have `evil` at their end."""
    directory.mkdir(parents=True, exist_ok=True)
    data = TinyShop().load()
    lines = data.interactions.select(["user", "item", "time"])
    users, items = data.entities["user"].select(["id", "town"]), data.entities["item"].select(["id", "text"])
    tables = {"lines": lines, "user": users, "item": items}
    for name, table in tables.items():
        columns = {
            column: [None if value is None else f"{value}{evil}" for value in table[column].to_pylist()]
            if column in ("user", "item", "id", "town", "text") else table[column]
            for column in table.column_names
        }  # fmt: skip
        if name == "lines":
            columns["discounted"] = data.interactions["discounted"].cast(pa.string())
        pq.write_table(pa.table(columns), directory / f"{name}.parquet")


def mtkit(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def leaves(text):
    """Dotted keys of all values that are no tables."""

    def walk(value, path):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, (*path, key))
        else:
            yield path, value

    return list(walk(tomllib.loads(text), ()))


@pytest.mark.parametrize("form", ["${env:X}", "sub/${env:X}.parquet", "user.${env:X}"])
def test_a_secret_in_any_key_is_in_no_message(tmp_path, monkeypatch, form):
    monkeypatch.setenv("X", SECRET)
    write_shop(tmp_path)
    (tmp_path / "shop.toml").write_text(SMALL)
    told = 0
    for path, value in leaves(SMALL):
        given = [form] if isinstance(value, list) else form
        done = mtkit("check", tmp_path / "shop.toml", "--fast", "--set", f"{dotted(path)}={toml_value(given)}")
        assert SECRET not in done.output, (path, done.output)
        assert done.exception is None or isinstance(done.exception, SystemExit), (path, done.exception)
        told += "${env:X}" in done.output
    assert told > 20


@pytest.mark.parametrize(
    "key", ["data.interactions", "data.entities.item", "data.split.valid", "encoder.customer.path", "evaluate.slices"]
)
def test_a_secret_that_only_data_find_wrong_is_in_no_message(tmp_path, monkeypatch, key):
    monkeypatch.setenv("X", SECRET)
    write_shop(tmp_path)
    (tmp_path / "shop.toml").write_text(SMALL)
    value = {"data.split.valid": "'${env:X}'", "evaluate.slices": "['user.${env:X}']"}.get(key, "'${env:X}.parquet'")
    done = mtkit("run", tmp_path / "shop.toml", "--run-dir", tmp_path / "run", "--set", f"{key}={value}")
    assert done.exit_code == 2, done.exception
    assert SECRET not in done.output
    assert not (tmp_path / "run").exists()


def test_the_name_of_a_run_is_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("X", SECRET)
    (tmp_path / "shop.toml").write_text(SMALL)
    done = mtkit("run", tmp_path / "shop.toml", "--set", "name='${env:X}'")
    assert (done.exit_code, SECRET in done.output) == (2, False)
    assert "name: is what run directories are called" in done.stderr


def test_an_entity_is_called_by_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("X", "things")
    text = SMALL.replace('entity = "item"', 'entity = "${env:X}"').replace(
        'reads = ["item.id"]', 'reads = ["things.id"]'
    )
    (tmp_path / "shop.toml").write_text(text)
    done = mtkit("check", "--fast", tmp_path / "shop.toml", "--unset", "data.entities", "--unset", "data.entity_columns",
                 "--unset", "evaluate.slices")  # fmt: skip
    assert done.exit_code == 2
    assert "data: an entity is called ${env:X}, and files hold its name; write it out" in done.stderr
    assert "things" not in done.output.replace("things.id", "")


def test_a_role_is_called_by_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("X", "things")
    (tmp_path / "shop.toml").write_text(SMALL)
    done = mtkit("check", "--fast", tmp_path / "shop.toml", "--set", "data.columns.item.role=${env:X}")
    assert done.exit_code == 2
    assert "data: a role is called ${env:X}, and files hold its name; write it out" in done.stderr
    assert "things" not in done.output


def test_a_column_of_a_plugin_is_called_by_no_secret(tiny_recipe, monkeypatch):
    monkeypatch.setenv("X", "family")
    done = mtkit("check", "--fast", tiny_recipe, "--set", "data.catalog.item.unlisted=${env:X}")
    assert done.exit_code == 2
    assert "data: a column is called ${env:X}, and files hold its name; write it out" in done.stderr
    monkeypatch.setenv("X", "gift")
    done = mtkit("check", "--fast", tiny_recipe, "--set", "task.gift.label=${env:X}")
    assert done.exit_code == 0, "which of the plugin's columns is read is no name that the environment gave"


def test_bugs_show_no_secret_either(tmp_path, monkeypatch):
    code = (
        "import sys, mtkit.recipe.describe as d, mtkit.cli.program as p\n"
        "def broken(recipe): raise ValueError(f'no {recipe.data.source.interactions!r}')\n"
        "d.describe = broken\np.main(sys.argv[1:])"
    )
    monkeypatch.setenv("X", SECRET)
    (tmp_path / "shop.toml").write_text(SMALL.replace('"lines.parquet"', '"${env:X}/lines.parquet"'))
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "--fast", str(tmp_path / "shop.toml")],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "${env:X}/lines.parquet" in done.stderr
    assert SECRET not in done.stderr + done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project whose data lie in a secret directory, with evil data, after its run; and what was printed."""
    project = tmp_path_factory.mktemp("secrets") / "project"
    write_shop(project / SECRET, EVIL)
    lines, items = project / SECRET / "lines.parquet", pq.read_table(project / SECRET / "item.parquet")
    items = pa.concat_tables([items, pa.table({"id": [None], "text": ["of no item"]}, items.schema)])
    pq.write_table(items.rename_columns([KEY, "text"]), project / SECRET / "item.parquet")
    shutil.copy(lines, lines.with_name(f"{FILE}.parquet"))
    text = SMALL.replace('"lines.parquet"', '"${env:X}/${env:FILE}.parquet"').replace(
        "[data.columns]", 'keys = {item = "${env:KEY}"}\n[data.columns]'
    )
    for name in ("user", "item"):
        text = text.replace(f'"{name}.parquet"', f'"${{env:X}}/{name}.parquet"')
    text = text.replace("valid = 2024-07-01", 'valid = "${env:DAY}"')
    (project / "shop.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        done = mtkit("run", project / "shop.toml", "--run-dir", project / "runs/shop")
    assert done.exit_code == 0, (done.output, done.exception)
    return project, done.output


@pytest.fixture
def project(finished, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return finished[0]


def printable(text):
    return all(character.isprintable() or character == "\n" for character in text)


def test_a_run_shows_and_writes_no_secret(finished):
    project, printed = finished
    assert not [value for value in ENVIRONMENT.values() if value in printed]
    assert "data: ${env:FILE}.parquet, column 'time': read as seconds" in printed
    files = [path for path in (project / "runs").rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        for value in ENVIRONMENT.values():
            assert value not in str(path.relative_to(project))
            assert value.encode() not in path.read_bytes(), path
    assert '"../../${env:X}/${env:FILE}.parquet"' in (project / "runs/shop/recipe.lock.toml").read_text()
    protocol = json.loads((project / "runs/shop/metrics.json").read_text())["protocol"]
    assert protocol["data"] == [
        "${env:FILE}.parquet, column 'time': read as seconds since 1970-01-01 UTC",
        "item.parquet, column '${env:KEY}': left out: 1 row without an id",
    ]
    assert protocol["options"]["valid"] == "${env:DAY}"


def test_a_run_shows_data_escaped(finished, project):
    _, printed = finished
    run = project / "runs/shop"
    tables, page = mtkit("report", run, "--text").output, (run / "report.html").read_text(encoding="utf-8")
    for shown in (printed, tables, page.replace("\N{NO-BREAK SPACE}", " ")):
        assert printable(shown)
    assert r"evil\u009b31m\u202e" in tables
    assert r"evil\u009b31m\u202e" in page


def test_questions_to_an_export_are_answered_escaped(project):
    run = project / "runs/shop"
    for options in ([], ["--json"]):
        for user in (f"105{EVIL}", f"nobody{EVIL}"):
            done = mtkit("recommend", run, "--user", user, "-k", 3, *options)
            assert done.exit_code == 0, done.exception
            assert printable(done.output)
    best = json.loads(mtkit("recommend", run, "--user", f"105{EVIL}", "--json").stdout)
    assert best["known"]
    assert all(item["item"].endswith(EVIL) for item in best["recommendations"])
    for words in (["compare", run], ["compare", run, "--json"], ["check", project / "shop.toml"]):
        done = mtkit(*words)
        assert done.exit_code == 0, (words, done.output, done.exception)
        assert printable(done.output)
        assert SECRET not in done.output


def test_a_copied_project_evaluates_and_resumes_the_copy(project, tmp_path):
    copy = tmp_path / "deeper/copy"
    shutil.copytree(project, copy)
    moved = project.with_name("moved")
    project.rename(moved)  # nothing of the original can be read
    try:
        done = mtkit("evaluate", copy / "runs/shop")
        assert done.exit_code == 0, (done.output, done.exception)
        metrics = json.loads((copy / "runs/shop/metrics.json").read_text())
        assert json.loads(done.stdout)["test"].keys() == metrics["test"].keys()
        assert SECRET not in done.output
        again = mtkit("run", copy / "shop.toml", "--run-dir", copy / "runs/shop", "--resume")
        assert again.exit_code == 0, (again.output, again.exception)
        (copy / SECRET / f"{FILE}.parquet").unlink()
        done = mtkit("evaluate", copy / "runs/shop")
        assert done.exit_code == 2
        assert "${env:X}/${env:FILE}.parquet" in done.stderr
    finally:
        moved.rename(project)
