"""What rows count, in runs of files: columns of weights, tasks that weigh by a column, and what cannot weigh."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from passes import answers

from mtkit.cli.program import main
from mtkit.feed.interface import evaluation_of
from mtkit.runs.keras_api import load_run
from mtkit.types import ROW_WEIGHT

SHOP = """\
recipe = 1
name = "weights"
seed = 1
[data]
use = "files"
interactions = "lines.csv"
entities = {item = "items.csv"}
[data.columns]
user = {kind = "id", entity = "user"}
item = {kind = "id", entity = "item"}
time = {kind = "time"}
liked = {kind = "label"}
w = {kind = "weight"}
[data.entity_columns.item]
value = {kind = "numeric"}
[data.split]
use = "time"
valid = 2024-03-01
test = 2024-04-01
[rows.lines]
use = "interactions"
batch_size = 64
[encoder.u]
use = "features"
reads = ["user.id"]
dim = 4
[encoder.i]
use = "features"
reads = ["item.id"]
dim = 4
[task.liked]
use = "user_preference"
rows = "lines"
inputs = ["u", "i"]
label = "liked"
[train]
epochs = 1
learning_rate = 0.01
[evaluate]
prediction_metrics = ["auc", "log_loss"]
baselines = ["majority"]
"""


@pytest.fixture
def shop(tmp_path):
    """`shop(more="", **columns)` writes the recipe and its data, with other columns; answers how `mtkit` is asked."""

    def make(recipe=SHOP, **columns):
        rng, rows = np.random.default_rng(0), 600
        day = rng.integers(0, 120, rows)
        lines = {
            "user": rng.integers(0, 9, rows),
            "item": rng.integers(0, 8, rows),
            "time": np.datetime64("2024-01-01") + day,
            "liked": rng.integers(0, 2, rows),
            "w": rng.integers(0, 4, rows),
            **columns,
        }
        text = "\n".join([",".join(lines), *(",".join(map(str, row)) for row in zip(*lines.values(), strict=True))])
        (tmp_path / "lines.csv").write_text(text)
        (tmp_path / "items.csv").write_text("id,value\n" + "".join(f"{i},{i + 1}\n" for i in range(8)))
        (tmp_path / "shop.toml").write_text(recipe)
        return lambda *words: CliRunner().invoke(main, [words[0], str(tmp_path / "shop.toml"), *words[1:]])

    return make


def _kept(directory):
    return json.loads((directory / "metrics.json").read_text())


@pytest.mark.slow
def test_a_run_with_weights_is_one_with_repeated_rows(shop, tmp_path):
    """The figures of baselines; a model meets its rows in another order, and its own are of its answers."""
    times = np.random.default_rng(5).integers(0, 4, 600)
    weighed = shop(w=times)("run", "--run-dir", str(tmp_path / "weighed"))
    assert weighed.exit_code == 0, weighed.output
    assert "rows count by w" in weighed.output
    found = _kept(tmp_path / "weighed")
    pipeline = load_run(tmp_path / "weighed")
    table = pipeline.tables["lines"]["eval"]
    said = answers(pipeline.model, ["liked"], pipeline.model.feed.rows[evaluation_of("lines")])["liked"]
    surprise = -np.log(np.where(table.labels["liked"] > 0, said, 1 - said))
    assert found["test"]["liked/log_loss"] == pytest.approx(
        np.average(surprise, weights=table.dense[ROW_WEIGHT]), rel=1e-5
    )
    lines = (tmp_path / "lines.csv").read_text().splitlines()
    repeated = [line for line, n in zip(lines[1:], times, strict=True) for _ in range(n)]
    ask = shop(SHOP.replace('w = {kind = "weight"}\n', ""))
    (tmp_path / "lines.csv").write_text("\n".join([lines[0], *repeated]))
    assert ask("run", "--run-dir", str(tmp_path / "repeated")).exit_code == 0
    expected = _kept(tmp_path / "repeated")
    for key, value in expected["baselines"]["majority"].items():
        assert found["baselines"]["majority"][key] == pytest.approx(value, rel=1e-5)
    assert found["counts"]["liked"] < expected["counts"]["liked"]


def test_weights_of_1_change_nothing(shop, tmp_path):
    assert shop(w=np.ones(600))("run", "--run-dir", str(tmp_path / "ones")).exit_code == 0
    assert shop(SHOP.replace('w = {kind = "weight"}\n', ""))("run", "--run-dir", str(tmp_path / "none")).exit_code == 0
    ones, none = (_kept(tmp_path / name) for name in ("ones", "none"))
    assert ones["test"] == none["test"]
    assert ones["baselines"] == none["baselines"]


def test_a_task_weighs_by_a_column_of_an_entity(shop, tmp_path):
    recipe = SHOP.replace('w = {kind = "weight"}\n', "")
    result = shop(recipe)("run", "--set", "task.liked.weight_by=item.value", "--run-dir", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    lines = np.genfromtxt(tmp_path / "lines.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    train = lines[lines["time"] < "2024-04-01"]
    share = np.average(train["liked"], weights=train["item"] + 1)
    test = lines[lines["time"] >= "2024-04-01"]
    loss = np.average(-np.log(np.where(test["liked"], share, 1 - share)), weights=test["item"] + 1)
    assert _kept(tmp_path / "run")["baselines"]["majority"]["liked/log_loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "lines.csv, column 'w', row 3: the weight is -1; write a finite number, 0 for rows that do not count"),
        ("inf", "lines.csv, column 'w', row 3: the weight is inf"),
        ("", "lines.csv, column 'w', row 3: the weight is missing"),
        ("1e39", "lines.csv, column 'w', row 3: the weight is 1e+39"),
        ("much", "lines.csv, column 'w', row 3: 'much' is no number"),
    ],
)
def test_what_is_no_weight(shop, value, message):
    weights = np.ones(600, object)
    weights[2] = value
    result = shop(w=weights)("check")
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ('encoder.u.reads=["user.id","context.w"]', "context.w is a weight: it says what a row counts, and cannot be a feature"),
        ("task.liked.weight_by=wt", "task.liked.weight_by: no column is called 'wt'; did you mean 'w'?"),
        ("task.liked.weight_by=item.valu", "task.liked.weight_by: no column is called 'item.valu'; did you mean 'item.value'"),
        ("task.liked.weight_by=liked", "task.liked.weight_by: liked is declared as label, and rows are weighed by columns of"),
        ("task.liked.weight_by=w", "task.liked.weight_by: w is declared as a weight, by which these rows count already"),
        ('data.columns.w={kind="weight",labels=["like"]}', "labels = ['like'] are no labels of the table; did you mean 'liked'"),
        ('data.columns.liked={kind="label",labels=["w"]}', "labels = ['w'] is for columns of kind weight, and this one is lab"),
    ],
)  # fmt: skip
def test_columns_that_cannot_weigh(shop, option, message):
    result = shop()("check", "--set", option)
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " "), result.stderr


RETRIEVAL = """
[rows.weeks]
use = "windows"
length = "7d"
count = 3
batch_size = 32
[task.next]
use = "gated_retrieval"
rows = "weeks"
query = ["u"]
candidate = ["i"]
"""


def test_baselines_that_do_not_learn_by_weights_are_named(shop):
    recipe = (
        SHOP.replace('["majority"]', '["popularity", "ease", "majority"]\nmetrics = ["recall"]\nk = [3]') + RETRIEVAL
    )
    result = shop(recipe)("check")
    assert result.exit_code == 0, result.output
    assert "data: ease: learned from all rows alike, whatever they count, and measured as the model is" in result.output
    assert "weights of single interactions (w) say nothing of these rows" in result.output
    result = shop(recipe)("check", "--set", "task.next.weight_by=w")
    assert "task.next.weight_by: rows of 'weeks' have no 'w'; they are no single interactions" in result.stderr
