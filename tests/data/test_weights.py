import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.weights import repeated, unfit, weighed
from mtkit.schema import Column
from mtkit.spec import Cut, TaskHead
from mtkit.standard.retrieval import Retrieval
from mtkit.standard.rows import EntityRows, Interactions, SampledNegatives, Windows
from mtkit.types import ROW_WEIGHT

DAY = 86400
PARTS = ("train", "eval")


class Scoring(TaskHead):
    label: str = ""

    @property
    def predicts(self):
        return self.label


@pytest.fixture
def make_rows(shop):
    """`make_rows(columns, rows, asked=())`: fold and table -> part -> rows, with more columns of interactions or items.

    `columns`: table -> name -> (column, values).
    """

    def make(columns, rows, asked=()):
        tables, schema = {"interactions": shop.interactions, **shop.entities}, shop.schema
        for table, more in columns.items():
            for name, (_, values) in more.items():
                tables[table] = tables[table].append_column(name, pa.array(values))
        declared = {table: {name: column for name, (column, _) in more.items()} for table, more in columns.items()}
        schema = replace_columns(schema, declared)
        data = replace(shop, interactions=tables.pop("interactions"), entities=tables, schema=schema)
        fold = make_fold(data, Cut("test", 60 * DAY, 90 * DAY), {})
        made = {part: replace(rows.make(fold, part), name="rows") for part in PARTS}
        return fold, {"rows": {part: weighed(fold, table, asked) for part, table in made.items()}}

    return make


def replace_columns(schema, more):
    entities = {entity: {**columns, **more.get(entity, {})} for entity, columns in schema.entities.items()}
    return type(schema)(interactions={**schema.interactions, **more.get("interactions", {})}, entities=entities)


LINES = Interactions(batch_size=8, labels=("cheap", "payment"))


def weight(*labels):
    return Column(kind="weight", labels=labels)


def test_a_weight_of_all_is_a_column_and_one_of_a_label_multiplies_its_weights(shop, make_rows):
    numbers = np.arange(len(shop.interactions), dtype=float) % 5
    columns = {"w": (weight(), numbers), "v": (weight("cheap"), numbers + 1), "u": (weight("cheap"), numbers + 2)}
    fold, tables = make_rows({"interactions": columns}, LINES)
    plain = LINES.make(fold, "train")
    table = tables["rows"]["train"]
    of_row = np.asarray(fold.events.columns["w"])[plain.event]
    np.testing.assert_array_equal(table.dense[ROW_WEIGHT], of_row)
    np.testing.assert_array_equal(fold.events.weight[plain.event], of_row)
    np.testing.assert_array_equal(
        table.weights["cheap"],
        plain.weights["cheap"] * (of_row + 1) * (of_row + 2),
        "both of the label, and null labels",
    )
    np.testing.assert_array_equal(table.weights["payment"], plain.weights["payment"])
    assert table.note == f"{plain.note}; cheap counts by v, u; rows count by w"
    seen = table.weighed(Scoring(rows="rows").scales)
    np.testing.assert_array_equal(seen.weights["payment"], plain.weights["payment"] * of_row)


def test_columns_multiply_what_kept_negatives_count(shop, make_rows):
    numbers = np.arange(len(shop.interactions), dtype=float) % 5
    rows = Interactions(batch_size=8, labels=("cheap", "payment"), negatives_of="cheap", keep_negatives=0.5)
    fold, tables = make_rows({"interactions": {"w": (weight(), numbers)}}, rows)
    plain, table = rows.make(fold, "train"), tables["rows"]["train"]
    of_row = np.asarray(fold.events.columns["w"])[plain.event]
    np.testing.assert_array_equal(table.dense[ROW_WEIGHT], plain.dense[ROW_WEIGHT] * of_row)
    seen = table.weighed(Scoring(rows="rows").scales)
    np.testing.assert_allclose(seen.weights["cheap"], (plain.weights["cheap"] > 0) * of_row)


def test_rows_of_an_entity_count_by_its_own_columns(shop, make_rows):
    numbers = np.arange(len(shop.entities["item"]), dtype=float)
    columns = {"w": (weight(), numbers), "v": (weight("shelf"), numbers + 1)}
    fold, tables = make_rows({"item": columns}, EntityRows(holdout_by="family", batch_size=8))
    table = tables["rows"]["train"]
    of_row = np.asarray(fold.catalog("item").columns["w"].fill_null(-1))[table.ids["item"]]
    np.testing.assert_array_equal(table.dense[ROW_WEIGHT], of_row)
    np.testing.assert_array_equal(table.weights["item.shelf"], of_row + 1)
    assert fold.events.weight is None


def test_without_such_columns_tables_stay_as_they_are(make_rows):
    for rows in (LINES, EntityRows(holdout_by="family", batch_size=8), Windows(batch_size=8)):
        fold, tables = make_rows({}, rows)
        plain, table = rows.make(fold, "train"), tables["rows"]["train"]
        assert (table.dense, table.note) == ({}, plain.note)
        assert table.weighed(Scoring(rows="rows").scales) is table
        for label, weights in table.weights.items():
            np.testing.assert_array_equal(weights, plain.weights[label])


def test_windows_count_alike_and_say_so(shop, make_rows):
    columns = {"w": (weight(), np.ones(len(shop.interactions)))}
    _, tables = make_rows({"interactions": columns}, Windows(batch_size=8), ["price"])
    table = tables["rows"]["eval"]
    assert ROW_WEIGHT not in table.dense
    assert "price" not in table.dense
    assert table.note.endswith(
        "; weights of single interactions (w) say nothing of these rows; they have no price to count by"
    )


def test_a_negative_counts_as_its_positive_does(shop, make_rows):
    numbers = np.arange(len(shop.interactions), dtype=float) % 3
    rows = SampledNegatives(batch_size=8, negatives=2)
    _, tables = make_rows({"interactions": {"w": (weight(), numbers)}}, rows, ["price"])
    table = tables["rows"]["train"]
    positive = table.labels["preferred"] == 1
    of_event = {
        name: dict(zip(table.event[positive], table.dense[name][positive], strict=True)) for name in table.dense
    }
    for name, values in table.dense.items():
        np.testing.assert_array_equal(values, [of_event[name][event] for event in table.event])


def test_a_task_weighs_by_a_column_of_the_row_or_of_an_entity(shop, make_rows):
    fold, tables = make_rows({}, LINES, ["price", "context.amount", "item.weight"])
    table = tables["rows"]["train"]
    events = fold.events.columns.take(pa.array(table.event)).to_pandas()
    items = fold.catalog("item").columns.to_pandas().iloc[table.ids["item"]]
    for name, expected in (
        ("price", events["price"]),
        ("context.amount", events["amount"]),
        ("item.weight", items["weight"]),
    ):
        np.testing.assert_array_equal(table.dense[name], expected.to_numpy(np.float32))
    task = Scoring(rows="rows", weight_by="price")
    seen = table.weighed(task.scales)
    np.testing.assert_array_equal(seen.weights["cheap"], table.weights["cheap"] * table.dense["price"])
    np.testing.assert_array_equal(seen.dense[ROW_WEIGHT], table.dense["price"])


WEEKS = Windows(batch_size=8)


@pytest.mark.parametrize(
    ("rows", "weight_by", "label", "message"),
    [
        (LINES, "price", "cheap", ""),
        (LINES, "w", "payment", ""),
        (LINES, "amount", "cheap", r"amount is missing in \d+ of [\d,]+ rows of training of 'rows'; give each 0 or more"),
        (LINES, "below", "cheap", r"below is negative \(as -1\) in 1 of [\d,]+ rows of training of 'rows'"),
        (LINES, "v", "cheap", "v is declared as a weight, by which these rows count already; leave weight_by out"),
        (LINES, "w", "cheap", "w is declared as a weight, by which these rows count already"),
        (LINES, "none", "cheap", r"all [\d,]+ rows of training of 'rows' have weight 0; expected some that count"),
        (WEEKS, "price", "", "rows of 'rows' have no 'price'; they are no single interactions; weigh them by a column of user"),
        (WEEKS, "item.weight", "", "rows of 'rows' have no 'item.weight'; they are no single interactions"),
        (EntityRows(holdout_by="family", batch_size=8), "price", "item.shelf", "rows of 'rows' have no 'price'; weigh them by"),
        (EntityRows(holdout_by="family", batch_size=8), "item.own", "item.shelf", "item.own is declared as a weight, by which"),
    ],
)  # fmt: skip
def test_rows_that_cannot_count_as_a_task_says(shop, make_rows, rows, weight_by, label, message):
    count = len(shop.interactions)
    first = int(np.argmin(shop.interactions["when"].to_numpy()))
    columns = {
        "below": (Column(kind="numeric"), np.where(np.arange(count) == first, -1.0, 1.0)),
        "none": (Column(kind="numeric"), np.zeros(count)),
        "w": (weight("cheap"), np.ones(count)),
        "v": (weight(), np.ones(count)),
    }
    items = {"own": (weight(), np.ones(len(shop.entities["item"])))}
    fold, tables = make_rows({"interactions": columns, "item": items}, rows, [weight_by])
    found = list(unfit(fold, Scoring(rows="rows", label=label, weight_by=weight_by), tables))
    if not message:
        assert found == []
        return
    where = ("rows",) if "weight 0" in message else ("weight_by",)
    assert found[0][0] == where
    assert re.search(message, found[0][1]), found[0][1]


def test_a_label_that_counts_nowhere(shop, make_rows):
    fold, tables = make_rows({"interactions": {"w": (weight("cheap"), np.zeros(len(shop.interactions)))}}, LINES)
    ((path, message),) = unfit(fold, Scoring(rows="rows", label="cheap"), tables)
    assert path == ("label",)
    assert "rows of training of 'rows' have weight 0 for 'cheap'; expected some that count" in message
    assert list(unfit(fold, Scoring(rows="rows", label="payment"), tables)) == []


def test_a_label_that_nothing_evaluated_has(shop, make_rows):
    fold, tables = make_rows({}, LINES)
    held = tables["rows"]["eval"]
    unknown = replace(held, weights={**held.weights, "cheap": np.zeros(len(held), np.float32)})
    tables = {"rows": {**tables["rows"], "eval": unknown}}
    ((path, message),) = unfit(fold, Scoring(rows="rows", label="cheap"), tables)
    assert path == ("label",)
    assert "rows of evaluation of 'rows' have weight 0 for 'cheap'" in message
    assert "(`horizon`)" in message


def test_rows_to_be_evaluated_on_may_lack_the_column(make_rows):
    fold, lines = make_rows({}, LINES, ["price"])
    _, weeks = make_rows({}, WEEKS, ["price"])

    class Elsewhere(Scoring):
        @property
        def evaluated_on(self):
            return "weeks"

    tables = {"rows": lines["rows"], "weeks": weeks["rows"]}
    assert list(unfit(fold, Elsewhere(rows="rows", weight_by="price"), tables)) == []


def test_rows_that_repeat_count_by_a_power_of_their_number(make_rows):
    _, tables = make_rows({}, LINES)
    table = tables["rows"]["train"]
    seen = repeated(table, [0.0, 0.5])
    pairs = [*zip(*table.ids.values(), strict=True)]
    number = np.array([pairs.count(pair) for pair in pairs])
    assert number.max() > 1
    np.testing.assert_allclose(seen.dense["repeats**0"], 1 / number, rtol=1e-6)
    np.testing.assert_allclose(seen.dense["repeats**0.5"], number**-0.5, rtol=1e-6)
    assert repeated(table, []) is table


def test_rows_without_an_item_cannot_repeat(make_rows):
    _, tables = make_rows({}, WEEKS)
    assert repeated(tables["rows"]["train"], [0.5]) is tables["rows"]["train"]
    task = Retrieval(rows="rows", query=("user",), candidate=("item",), repeats=0.5)
    (mistake,) = task.unfit(tables)
    assert mistake == (
        ("repeats",),
        "rows of 'rows' have no single item, of which alone it can be told how often it was had",
    )


def test_a_task_is_trained_by_what_repeats_count(shop, make_rows):
    task = Retrieval(rows="rows", query=("user",), candidate=("item",), repeats=0.5)
    _, tables = make_rows({}, LINES)
    table = repeated(tables["rows"]["train"], [task.repeats])
    np.testing.assert_array_equal(table.weighed(task.scales).dense[ROW_WEIGHT], table.dense["repeats**0.5"])
    assert "repeats" not in " ".join(task.model_copy(update={"repeats": 1.0}).scales)
