"""`mtkit profile` through the command line, and what runs and checks say of data."""

import io
import json

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import csv, parquet
from rich.console import Console
from tiny_shop import RECIPE, TinyShop

from mtkit.cli.program import main
from mtkit.profile.findings import Finding
from mtkit.profile.survey import Survey
from mtkit.recipe.loader import load_recipe
from mtkit.runs.console import Reporter
from mtkit.runs.profile import Profile, profile_recipe, show
from mtkit.runs.run import checked_data

COLUMNS = """\
use = "files"
interactions = "lines.csv"
entities = {user = "users.csv", item = "items.csv"}
[data.columns]
user = {kind = "id", entity = "user"}
item = {kind = "id", entity = "item"}
basket = {kind = "id"}
time = {kind = "time"}
channel = {kind = "categorical"}
hour = {kind = "numeric"}
price = {kind = "numeric"}
discounted = {kind = "label", sources = ["price"]}
gift = {kind = "label"}
[data.entity_columns.user]
town = {kind = "categorical"}
age = {kind = "numeric"}
[data.entity_columns.item]
text = {kind = "text"}
family = {kind = "categorical"}
color = {kind = "categorical"}
weight = {kind = "numeric"}
department = {kind = "label", classes = true}
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """The tiny shop as files, with a recipe; `shop(change)` writes them, the interactions changed."""
    monkeypatch.chdir(tmp_path)

    def write(change=None):
        data = TinyShop().load()
        lines = data.interactions if change is None else change(data.interactions)
        for name, table in {"lines": lines, "users": data.entities["user"], "items": data.entities["item"]}.items():
            csv.write_csv(table, tmp_path / f"{name}.csv")
        (tmp_path / "shop.toml").write_text(RECIPE.replace('use = "tiny_shop"\n', COLUMNS), encoding="utf-8")
        return tmp_path / "shop.toml"

    return write


def with_faults(lines):
    """Ids that are alike, and prices that are taken back."""
    items = [f"P{i[1:]}" if row % 9 == 0 else i for row, i in enumerate(lines["item"].to_pylist())]
    prices = [-p if row < 20 else p for row, p in enumerate(lines["price"].to_pylist())]
    changed = lines.set_column(lines.column_names.index("item"), "item", pa.array(items))
    return changed.set_column(changed.column_names.index("price"), "price", pa.array(prices))


def run(*arguments):
    return CliRunner().invoke(main, ["profile", *map(str, arguments)])


def test_a_clean_shop(shop):
    done = run(shop(), "--strict")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("tiny: interactions 4,000 rows, user 80 rows, item 40 rows\n")
    assert "warning" not in done.output
    assert done.output.endswith("53 checks made\nwhat a check means: mtkit profile --explain CODE\n")
    assert all(len(line) <= 80 for line in done.output.splitlines())


def test_the_shop_without_files_is_the_same(tiny_recipe):
    assert not profile_recipe(load_recipe(tiny_recipe)).failed


def test_faults_are_found_and_silenced(shop):
    recipe = shop(with_faults)
    done = run(recipe)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines if line.startswith("P0")][:4] == ["P002", "P004", "P007", "P014"]
    assert "price=-0." in done.output
    assert "-> Write them alike" in done.output
    assert run(recipe, "--strict").exit_code == 1
    quiet = ["--ignore", "P002", "--ignore", "P004", "--set", 'data.silence=["P007", "P014"]']
    done = run(recipe, "--strict", *quiet)
    assert done.exit_code == 0
    assert "silenced: P002, P004, P007, P014" in done.output


def test_findings_as_json(shop):
    done = run(shop(with_faults), "--json")
    told = json.loads(done.output)
    assert told["tables"] == {"interactions": 4000, "user": 80, "item": 40}
    assert "P001" in told["looked"]
    (alike,) = [one for one in told["findings"] if one["code"] == "P004"]
    assert alike["severity"] == "warning"
    assert alike["where"] == "item ids"
    assert alike["count"] == alike["of"] == 80
    assert len(alike["examples"]) == 3


def test_files_as_they_are(shop, tmp_path):
    shop(with_faults)
    parquet.write_table(csv.read_csv(tmp_path / "items.csv"), tmp_path / "items.parquet")
    (tmp_path / "more.jsonl").write_text('{"a": "x", "b": 1.5}\n' * 2 + '{"a": "NULL", "c": 3}\n', encoding="utf-8")
    done = run("lines.csv", "items.parquet", "more.jsonl", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["tables"] == {"lines.csv": 4000, "items.parquet": 40, "more.jsonl": 3}
    found = {(one["code"], one["where"]) for one in told["findings"]}
    assert {("P014", "lines.csv.price"), ("P023", "more.jsonl.a")} <= found
    assert "a recipe says more" in run("lines.csv").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shop.toml", "lines.csv"], "give one recipe, or files of data"),
        (["lines.csv", "--set", "seed=1"], "--set and --unset are for recipes"),
        (["shop.toml", "--ignore", "P0012"], "no check has the code 'P0012'; did you mean 'P012'?"),
        (["nothing.csv"], "nothing.csv: there is no such file"),
        (["lines.xls"], "expected a file that ends in .csv"),
        (["lines.csv", "./lines.csv"], "two files have the same name"),
        ([], "give a recipe, or files of data"),
    ],
)
def test_mistakes_of_the_command(shop, tmp_path, arguments, message):
    shop()
    (tmp_path / "lines.xls").write_bytes(b"x")
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.output.replace("\n", " ")


def test_runs_and_checks_say_it_in_short(shop):
    def negative(lines):
        prices = [-p if row < 20 else p for row, p in enumerate(lines["price"].to_pylist())]
        return lines.set_column(lines.column_names.index("price"), "price", pa.array(prices))

    recipe = load_recipe(shop(negative))
    out = io.StringIO()
    checked_data(recipe, Reporter(Console(file=out, width=200)))
    assert (
        "  warning: P014: interactions.price: negative values of what is counted or paid: 20 of 4,000 rows (0.50%)\n"
        in out.getvalue()
    )
    assert f"  all checks of the data, and what to do: mtkit profile {recipe.document.file}\n" in out.getvalue()
    from mtkit.runs.probes import check_full

    lines = check_full(recipe)
    assert (
        "warning: P014: interactions.price: negative values of what is counted or paid: 20 of 4,000 rows (0.50%)"
        in lines
    )
    out = io.StringIO()
    checked_data(load_recipe(shop()), Reporter(Console(file=out, width=200)))
    assert "mtkit profile" not in out.getvalue()


def test_checks_are_explained():
    done = run("--explain", "P013", "--explain", "P004")
    assert done.exit_code == 0
    assert done.output.startswith(
        "P013, warning: rows of the same user, item and time that differ elsewhere\n  One event has"
    )
    assert "P004, warning: ids that differ" in done.output
    assert all(len(line) <= 80 for line in done.output.splitlines())
    done = run("--explain", "P13")
    assert done.exit_code == 2
    assert "did you mean 'P013'?" in done.output


def test_notes_of_many_columns_are_joined():
    def note(column, severity="note"):
        return Finding("P021", severity, "single", f"interactions.c{column}", 1, 9, "rows", (), "", "Nothing.")

    def told(findings):
        out = io.StringIO()
        show(Profile("shop", {}, Survey(tuple(findings), (), (), ())), Console(file=out, width=80))
        return " ".join(out.getvalue().split())

    notes = told(note(n) for n in range(5))
    assert notes.count("single: 1 of 9 rows") == 3
    assert "and in 2 more places: interactions.c3, interactions.c4" in notes
    assert told(note(n, "warning") for n in range(5)).count("single: 1 of 9 rows") == 5
