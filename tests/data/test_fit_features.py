from dataclasses import replace

import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.fit_features import changed_texts, fit_features, text_layers
from mtkit.errors import DataError
from mtkit.spec import Cut
from mtkit.standard.number_preprocessors import Buckets
from mtkit.standard.preprocessors import Vocabulary
from mtkit.standard.rows import EntityRows, Interactions
from mtkit.standard.text_preprocessors import CleanText

CUT = Cut("test", 60 * 86400, 90 * 86400)


@pytest.fixture
def fold(shop):
    return make_fold(shop, CUT, {})


@pytest.fixture
def tables(fold):
    rows = {"items": EntityRows(batch_size=4, holdout_by="family"), "lines": Interactions(batch_size=4)}
    return {
        name: {part: replace(spec.make(fold, part), name=name) for part in ("train", "eval")}
        for name, spec in rows.items()
    }


def test_what_was_learned_of_the_same_data_before_is_taken_as_it_is(fold, tables):
    """Without a look at rows, which may lie in files."""
    addresses = ["item.family", "context.amount", "user.town"]
    learned = fit_features(addresses, {}, fold, tables).states
    again = fit_features(addresses, {}, replace(fold, entities={}), {}, learned=learned)
    assert again.states == learned


def test_entity_columns_are_learned_on_the_catalog(fold, tables):
    features = fit_features(["item.family", "item.weight", "user.id", "item.text"], {}, fold, tables)
    family = fold.entities["item"].columns["family"].to_pylist()
    values = sorted({value for value in family if value is not None})
    assert features.infos["item.family"].size == len(values) + 1
    expected = [values.index(value) + 1 if value is not None else 0 for value in family]
    columns = features.of_catalogs(fold)
    assert columns["item.family"].tolist() == expected
    weight = np.array(fold.entities["item"].columns["weight"].to_pylist(), dtype=float)
    known = weight[np.isfinite(weight)]
    column = np.where(np.isfinite(weight), (weight - known.mean()) / known.std(), 0)
    np.testing.assert_allclose(columns["item.weight"][:, 0], column, atol=1e-5)
    np.testing.assert_array_equal(columns["item.weight"][:, 1], ~np.isfinite(weight))
    assert (
        features.infos.keys() == columns.keys() == {"item.family", "item.weight"}
    )  # ids and texts are read as they are


def test_context_columns_are_learned_on_training_rows_alone(fold, tables):
    train, evaluated = tables["lines"]["train"], tables["lines"]["eval"]
    changed = replace(evaluated, context={**evaluated.context, "amount": evaluated.context["amount"] + 1000})
    same = fit_features(["context.amount"], {}, fold, {"lines": {"train": train, "eval": changed}})
    features = fit_features(["context.amount", "context.store"], {}, fold, tables)
    assert features.states["context.amount"] == same.states["context.amount"]
    amount = train.context["amount"]
    assert features.states["context.amount"]["center"] == pytest.approx(np.nanmean(amount.astype(float)))
    applied = features.apply(train).context
    assert applied.keys() == {"amount", "store"}
    assert applied["amount"].shape == (len(train), 2)
    expected = [{"north": 1, "south": 2}.get(store, 0) for store in train.context["store"]]
    assert applied["store"].tolist() == expected


def test_the_recipe_chooses(fold, tables):
    chosen = {
        "amount": Buckets(columns=("context.amount",), count=4),
        "family": Vocabulary(columns=("item.family",), min_count=3),
    }
    features = fit_features(["context.amount", "item.family"], chosen, fold, tables)
    assert features.infos["context.amount"].size == 5
    family = fold.entities["item"].columns["family"].to_pylist()
    frequent = {value for value in family if value is not None and family.count(value) >= 3}
    assert set(features.states["item.family"]["values"]) == frequent


def test_columns_of_past_events_are_learned_on_what_the_model_is_trained_on(fold, tables, shop):
    addresses = [f"history.{name}" for name in ("amount", "store", "payment", "cheap", "price")]
    chosen = {"price": Buckets(columns=("history.price",), count=4)}
    features = fit_features(["history.item", *addresses], chosen, fold, tables)
    columns, before = fold.events.columns, fold.events.time < fold.fit
    assert 0 < before.sum() < len(before)
    amount = np.array(columns["amount"].to_pylist(), float)
    assert features.states["history.amount"]["center"] == pytest.approx(np.nanmean(amount[before]))
    found = features.of_events(fold)
    assert found.keys() == {"amount", "store", "payment", "cheap", "price"}
    np.testing.assert_allclose(found["amount"][:, 1], np.isnan(amount))
    known = amount[before & ~np.isnan(amount)]
    expected = np.where(np.isnan(amount), 0, (amount - known.mean()) / known.std())
    np.testing.assert_allclose(found["amount"][:, 0], expected, atol=1e-5)
    for name, values in (("store", ["north", "south"]), ("payment", ["card", "cash"])):
        codes = [values.index(value) + 1 if value else 0 for value in columns[name].to_pylist()]
        assert found[name].dtype == np.int32
        assert found[name].tolist() == codes
    assert found["cheap"].shape == (len(fold.events), 2)
    assert found["price"].min() >= 1
    assert features.infos["history.price"].size == 5
    assert not features.of_catalogs(fold)

    changed = fold.events.columns.set_column(
        fold.events.columns.column_names.index("amount"), "amount", [np.where(before, amount, 7.0)]
    )
    other = replace(fold, events=replace(fold.events, columns=changed))
    assert fit_features(addresses, chosen, other, tables).states == features.states


def test_texts_are_changed_before_encoders_read_them(fold):
    catalog = fold.entities["item"]
    texts = [None, "<b>A &amp; B</b>", None, "", *["x  y"] * (len(catalog) - 4)]
    at = catalog.columns.column_names.index("text")
    item = replace(catalog, columns=catalog.columns.set_column(at, "text", [texts]))
    dirty = replace(fold, entities={**fold.entities, "item": item})
    spec = {"words": CleanText(columns=("item.text",)), "family": Vocabulary(columns=("item.family",))}
    layers = text_layers(spec, dirty)
    assert layers.keys() == {"item.text"}
    found = changed_texts(layers["item.text"], np.array(texts, object))
    assert found.tolist() == [None, "A & B", None, "", *["x y"] * (len(catalog) - 4)]


def test_a_context_column_that_no_table_has(fold, tables):
    with pytest.raises(DataError, match=r"context\.amount is read by an encoder, but no row table has it"):
        fit_features(["context.amount"], {}, fold, {"items": tables["items"]})
