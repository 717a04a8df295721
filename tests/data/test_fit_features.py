from dataclasses import replace

import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.fit_features import fit_features
from mtkit.errors import DataError
from mtkit.spec import Cut
from mtkit.standard.preprocessors import Buckets, Vocabulary
from mtkit.standard.rows import EntityRows, Interactions

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


def test_entity_columns_are_learned_on_the_catalog(fold, tables):
    features = fit_features(["item.family", "item.weight", "user.id", "item.text"], [], fold, tables)
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
    same = fit_features(["context.amount"], [], fold, {"lines": {"train": train, "eval": changed}})
    features = fit_features(["context.amount", "context.store"], [], fold, tables)
    assert features.states["context.amount"] == same.states["context.amount"]
    amount = train.context["amount"]
    assert features.states["context.amount"]["mean"] == pytest.approx(np.nanmean(amount.astype(float)))
    applied = features.apply(train).context
    assert applied.keys() == {"amount", "store"}
    assert applied["amount"].shape == (len(train), 2)
    expected = [{"north": 1, "south": 2}.get(store, 0) for store in train.context["store"]]
    assert applied["store"].tolist() == expected


def test_the_recipe_chooses(fold, tables):
    chosen = [Buckets(columns=("context.amount",), count=4), Vocabulary(columns=("item.family",), min_count=3)]
    features = fit_features(["context.amount", "item.family"], chosen, fold, tables)
    assert features.infos["context.amount"].size == 5
    family = fold.entities["item"].columns["family"].to_pylist()
    frequent = {value for value in family if value is not None and family.count(value) >= 3}
    assert set(features.states["item.family"]["values"]) == frequent


def test_a_context_column_that_no_table_has(fold, tables):
    with pytest.raises(DataError, match=r"context\.amount is read by an encoder, but no row table has it"):
        fit_features(["context.amount"], [], fold, {"items": tables["items"]})
