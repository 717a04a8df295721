import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from mtkit.cli.program import main
from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.data.label_counts import check_labels, count_table, label_counts
from mtkit.data.row_tables import make_tables
from mtkit.errors import RecipeError
from mtkit.recipe.loader import load_recipe
from mtkit.types import DAY

#: 30 days of recommendations beside a label that looks 90 days ahead.
RECIPE = """\
recipe = 1
name = "ahead"
seed = 1
[data]
use = "files"
interactions = "lines.csv"
[data.columns]
user = {kind = "id", entity = "user"}
item = {kind = "id", entity = "item"}
time = {kind = "time"}
clicked = {kind = "label"}
bought = {kind = "label"}
payment = {kind = "label", classes = true}
gone = {kind = "label", horizon = "90d"}
[data.split]
use = "time"
valid = 2024-11-01
test = 2024-12-01
[rows.lines]
use = "interactions"
batch_size = 64
[rows.months]
use = "windows"
length = "30d"
count = 3
batch_size = 32
[encoder.u]
use = "features"
reads = ["user.id"]
dim = 4
[encoder.i]
use = "features"
reads = ["item.id"]
dim = 4
[task.next]
use = "gated_retrieval"
rows = "months"
query = ["u"]
candidate = ["i"]
[task.gone]
use = "user_preference"
rows = "lines"
inputs = ["u", "i"]
label = "gone"
[task.bought]
use = "user_preference"
rows = "lines"
inputs = ["u", "i"]
label = "bought"
where = {clicked = 1}
[task.payment]
use = "content"
rows = "lines"
inputs = ["i"]
label = "payment"
[train]
epochs = 1
learning_rate = 0.01
[evaluate]
k = [3]
metrics = ["recall"]
prediction_metrics = ["auc", "log_loss"]
baselines = ["popularity", "majority"]
"""
SOUND = ["data.split.valid=2024-07-20", "data.split.test=2024-11-20", "rows.months.eval_length=30d"]
ROWS, DAYS = 3000, 450


@pytest.fixture
def recipe(tmp_path):
    """Writes a year of lines, and the recipe; its path."""
    rng = np.random.default_rng(0)
    clicked = rng.integers(0, 2, ROWS)
    lines = {
        "user": rng.integers(0, 30, ROWS),
        "item": rng.integers(0, 8, ROWS),
        "time": np.datetime64("2024-01-01T12:00:00") + rng.integers(0, DAYS, ROWS).astype("timedelta64[D]"),
        "clicked": clicked,
        "bought": np.where(clicked, rng.integers(0, 2, ROWS), 0),
        "payment": np.array(["card", "cash", ""])[rng.integers(0, 3, ROWS)],
        "gone": rng.integers(0, 2, ROWS),
    }
    text = "\n".join([",".join(lines), *(",".join(map(str, row)) for row in zip(*lines.values(), strict=True))])
    (tmp_path / "lines.csv").write_text(text)
    (tmp_path / "ahead.toml").write_text(RECIPE)
    return tmp_path / "ahead.toml"


def _ask(command, recipe, *sets, unset=()):
    words = [word for value in sets for word in ("--set", value)]
    words += [word for key in unset for word in ("--unset", key)]
    return CliRunner().invoke(main, [command, str(recipe), *words])


@pytest.mark.parametrize("command", ["check", "run", "baselines"])
def test_a_label_that_no_part_knows_in_time_is_refused_with_dates_that_do(recipe, tmp_path, command):
    sets = ["data.split.valid=2025-01-01", "data.split.test=2025-02-01"]
    words = [] if command == "check" else ["--run-dir", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [command, str(recipe), *words, *(w for s in sets for w in ("--set", s))])
    assert result.exit_code == 2, result.output
    message = " ".join(result.stderr.split())
    assert "task.gone" in message
    assert "no row of valid (" in message
    assert "no row of test (" in message
    assert "training" not in message.split("no row of")[1].split("(")[0]
    dates = re.search(r"data\.split\.valid = (\S+) and data\.split\.test = (\S+?),", message)
    found = _ask("check", recipe, f"data.split.valid={dates[1]}", f"data.split.test={dates[2]}")
    assert found.exit_code == 0, found.output
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_the_dates_are_the_latest(recipe):
    later = {"valid": "2024-09-25", "test": "2024-12-25"}
    dates = re.search(
        r"valid = (\S+) and data\.split\.test = (\S+?),",
        _ask("check", recipe, *_sets("2025-01-01", "2025-02-01")).stderr,
    )
    assert (dates[1], dates[2]) == (later["valid"], later["test"])
    assert _ask("check", recipe, *_sets("2024-09-26", "2024-12-25")).exit_code == 2
    assert _ask("check", recipe, *_sets("2024-09-25", "2024-12-26")).exit_code == 2


def _sets(valid, test):
    return f"data.split.valid={valid}", f"data.split.test={test}"


def test_where_no_dates_would_do(recipe):
    result = _ask(
        "check", recipe, *_sets("2025-01-01", "2025-02-01"), 'data.columns.gone={kind="label",horizon="250d"}'
    )
    assert result.exit_code == 2
    assert "no dates would do" in result.stderr
    result = _ask("check", recipe, "data.split.use=leave_one_out", unset=("data.split.valid", "data.split.test"))
    assert result.exit_code == 2
    assert "a split by time, with parts longer than 90 days" in " ".join(result.stderr.split()), result.stderr


def test_check_counts_labels_by_task_and_part(recipe):
    loaded = load_recipe(recipe, SOUND)
    dataset = load(loaded.data.source)
    cuts = make_cuts(dataset, loaded.data.split)
    check_labels(loaded, dataset, *cuts)
    counts = [label_counts(loaded.plan, make_tables(loaded, dataset, cut)[1]) for cut in cuts]
    lines = dataset.interactions.to_pandas()
    time = lines["time"].to_numpy().astype("datetime64[s]").astype(np.int64)
    for cut, found in zip(cuts, counts, strict=True):
        for part, begin, end in (("train", 0, cut.cut), ("eval", cut.cut, cut.end)):
            inside = (time >= begin) & (time < end)
            known = inside & (time + 90 * DAY <= end)
            assert found["gone"][part] == f"{known.sum():,} ({lines['gone'][known].astype(float).mean():.1%})"
            clicked = inside & (lines["clicked"] == 1)
            assert found["bought"][part].split()[0] == f"{clicked.sum():,}"
            paid = inside & lines["payment"].notna()
            assert found["payment"][part] == f"{paid.sum():,} (2 classes)"
    output = _ask("check", recipe, *SOUND).output
    for line in count_table(*counts):
        assert line in output
    assert re.search(r"^task +train +valid +train anew +test$", output, re.MULTILINE)


@pytest.mark.slow
def test_labels_that_look_far_ahead_beside_a_month_of_recommendations(recipe, tmp_path):
    """All tables are evaluated from one cut on, up to which the model was trained; the label has all its horizon."""
    result = CliRunner().invoke(
        main, ["run", str(recipe), "--run-dir", str(tmp_path / "run"), *(w for s in SOUND for w in ("--set", s))]
    )
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["counts"]["gone"] > 0 < found["counts"]["next"]
    loaded = load_recipe(recipe, SOUND)
    dataset = load(loaded.data.source)
    _, test = make_cuts(dataset, loaded.data.split)
    fold, tables = make_tables(loaded, dataset, test)
    months = tables["months"]["eval"]
    assert set(months.time) == {test.cut}
    acts = fold.events.time[(fold.events.time >= test.cut) & (fold.events.time < test.cut + 30 * DAY)]
    assert len(months.lists["target"].values["item"]) <= len(acts)
    assert "in the 30 days from the cut" in months.note


def test_evaluation_does_not_go_beyond_its_part(recipe):
    result = _ask("check", recipe, *SOUND[:2], "rows.months.eval_length=200d")
    assert result.exit_code == 2
    assert "eval_length of a row table is 200 days, but test ends 126 days after its cut" in " ".join(
        result.stderr.split()
    )
    loaded = load_recipe(recipe, [*SOUND[:2], "rows.lines.eval_length=10d"])
    dataset = load(loaded.data.source)
    cut = make_cuts(dataset, loaded.data.split)[1]
    table = make_tables(loaded, dataset, cut)[1]["lines"]["eval"]
    assert table.time.max() < cut.cut + 10 * DAY <= table.time.max() + DAY
    assert table.note.startswith("interactions that took place in the 10 days from the cut on")


def test_labels_that_are_null_in_a_part(recipe, tmp_path):
    rows = (tmp_path / "lines.csv").read_text().splitlines()
    columns = rows[0].split(",")
    at = columns.index("bought")

    def emptied(row):
        values = row.split(",")
        return ",".join(
            [*values[:at], "" if values[columns.index("time")] >= "2024-11-20" else values[at], *values[at + 1 :]]
        )

    (tmp_path / "lines.csv").write_text("\n".join([rows[0], *map(emptied, rows[1:])]))
    loaded = load_recipe(recipe, SOUND)
    dataset = load(loaded.data.source)
    with pytest.raises(
        RecipeError, match=r"task\.bought\.label.*no row of test \([\d,]+ of 'lines'\) has a known 'bought'"
    ):
        check_labels(loaded, dataset, *make_cuts(dataset, loaded.data.split))


@pytest.mark.parametrize("place", ["task.bought.where", "rows.lines.where", "rows.lines.chosen"])
def test_rows_are_not_chosen_by_what_is_known_only_later(recipe, place):
    result = _ask("check", recipe, *SOUND, f"{place}={{gone = 1}}")
    assert result.exit_code == 2
    assert "'gone' looks ahead: it is not known when the event happens, and rows cannot be chosen by it" in " ".join(
        result.stderr.split()
    )
