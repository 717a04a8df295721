"""Faults of parts, planted into a clean log: what trains beside what is tested, and what is left out."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from mtkit.recipe.settings import Catalog
from mtkit.schema import Column

ROWS, TEST = 6000, 600


def test_clean_parts(clean, found):
    assert [str(one) for code in (1, 2, *range(46, 52)) for one in found(f"P{code:03}", clean)] == []


def test_what_is_refused(clean, with_column, found):
    data = with_column(clean, "interactions.quantity", lambda values: ["five", *map(str, values[1:])])
    (refused,) = found("P001", data)
    assert (refused.severity, refused.count) == ("error", 1)
    assert "'five' is no number" in refused.detail


def test_what_cannot_be_cut(clean, found):
    few = replace(clean, interactions=clean.interactions.slice(0, 1))
    (uncut,) = found("P002", few)
    assert (uncut.severity, uncut.where) == ("error", "data.split")
    assert uncut.detail


def test_drift(clean, with_column, found):
    prices = clean.interactions["price"].to_numpy()
    for more, severity in ((3, "note"), (20, "warning")):
        data = with_column(clean, "interactions.price", np.append(prices[:-TEST], prices[-TEST:] + more))
        assert [(one.where, one.severity) for one in found("P046", data)] == [("context.price", severity)]
    data = with_column(clean, "interactions.channel", lambda values: values[:-TEST] + ["web"] * TEST)
    (drift,) = found("P046", data)
    assert (drift.where, drift.severity, drift.detail[:4]) == ("context.channel", "warning", "PSI ")


def test_drift_of_what_is_known_of_users(clean, with_column, found):
    users = clean.interactions["user"].to_pylist()
    data = with_column(clean, "interactions.user", users[:-TEST] + [f"u{n % 20:03}" for n in range(TEST)])
    data = with_column(data, "user.age", lambda ages: [90] * 20 + ages[20:])
    assert "user.age" in [one.where for one in found("P046", data)]


def test_new_categories(clean, with_column, found):
    for new, severity in ((5, "note"), (100, "warning")):
        data = with_column(clean, "interactions.region", lambda values, n=new: values[:-n] + ["abroad"] * n)
        assert [(one.where, one.count, one.of, one.examples, one.severity) for one in found("P047", data)] == [
            ("context.region", new, TEST, ("'abroad'",), severity)
        ]


def test_a_column_that_nearly_tells_the_label(clean, with_column, found):
    click, rng = clean.interactions["click"].to_numpy(), np.random.default_rng(0)
    number = with_column(clean, "interactions.price", click + rng.normal(0, 0.3, ROWS))
    (golden,) = found("P048", number)
    assert (golden.where, golden.severity) == ("context.price", "warning")
    assert golden.detail.startswith("AUC 0.99")
    mixed = [f"r{3 * c + n % 3}" if n % 200 else "r9" for n, c in enumerate(click)]
    assert [one.where for one in found("P048", with_column(clean, "interactions.region", mixed))] == ["context.region"]


def test_a_source_of_the_label_is_no_feature(clean, with_column, found, recipe_of):
    click = clean.interactions["click"].to_numpy()
    data = with_column(clean, "interactions.price", click * 2.0)
    label = Column(kind="label", sources=("price",))
    schema = data.schema.model_copy(update={"interactions": {**data.schema.interactions, "click": label}})
    data = replace(data, schema=schema)
    assert found("P048", data, recipe_of(data, reads=("context.channel",))) == []


def test_new_ids(clean, with_column, found):
    data = with_column(clean, "interactions.user", lambda users: users[:-200] + [f"u{n % 10:03}" for n in range(200)])
    kept = [row for row, user in enumerate(data.interactions["user"].to_pylist()) if row >= 5800 or user > "u009"]
    (new,) = found("P049", replace(data, interactions=data.interactions.take(pa.array(kept))))
    assert (new.where, new.severity) == ("user ids", "warning")
    assert new.count >= 200


def test_what_is_left_out(clean, with_column, found, recipe_of):
    data = with_column(clean, "interactions.user", lambda users: [None] * 60 + users[60:])
    assert [(one.detail, one.count, one.severity) for one in found("P050", data)] == [
        ("without a value in 'user'", 60, "note")
    ]
    recipe = recipe_of(clean, catalog={"item": Catalog(min_count=28)})
    found_ = {one.detail: one for one in found("P050", clean, recipe)}
    assert found_["training for test: item not in the catalog"].severity == "warning"
    assert found_["test: item not in the catalog"].of == found_["valid: item not in the catalog"].of == TEST
    assert {one.of for one in found_.values()} == {ROWS - TEST, ROWS - 2 * TEST, TEST}


def test_leaks(clean, with_column, found):
    click = clean.interactions["click"].to_pylist()
    (leak,) = found("P051", with_column(clean, "interactions.channel", ["yes" if c else "no" for c in click]))
    assert (leak.severity, leak.where) == ("error", "context.channel")
    assert "one value for each value of the label" in leak.detail
