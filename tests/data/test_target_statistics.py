"""Statistics of earlier events against loops over pandas, and what they must not know."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mtkit.data.catalogs import make_cuts, make_fold
from mtkit.data.columns import raw
from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import Cut
from mtkit.standard.preprocessors import TargetStatistics
from mtkit.standard.rows import Interactions, SampledNegatives, Windows
from mtkit.standard.splits import Random
from mtkit.types import Dataset

DAY = 86400
CUT = Cut("test", 60 * DAY, 100 * DAY)
KEYS = {
    "columns": ("user.id", "item.id", "item.family", "context.store"),
    "together": (("user.id", "item.family"), ("user.town", "context.store", "item.id")),
}
LABELS = ("cheap", "returns", "amount")
SPECS = [
    TargetStatistics(**KEYS, labels=LABELS, smoothing=3),
    TargetStatistics(**KEYS, labels=LABELS, smoothing=0.5, half_life=timedelta(days=9)),
]


def frame(fold):
    """The events with the columns of keys, labels and when these are known."""
    events, schema = fold.events, fold.schema
    columns = {"time": events.time, "user.id": events.ids["user"], "item.id": events.ids["item"]}
    columns["context.store"] = raw(events.columns["store"], schema.interactions["store"])
    for scope, name in (("user", "town"), ("item", "family")):
        held = raw(fold.catalog(scope).columns[name], schema.columns(scope)[name])
        columns[f"{scope}.{name}"] = held[events.ids[scope]]
    columns |= {label: raw(events.columns[label], schema.interactions[label]) for label in LABELS}
    return pd.DataFrame(columns)


def slowly(spec, fold, rows, known):
    """The statistics of some rows, one after another: `rows` has the columns of keys, `known` the moments."""
    past, made = frame(fold), []
    half_life = spec.half_life and spec.half_life.total_seconds()
    for (_, row), moment in zip(rows.iterrows(), np.minimum(known, fold.cut), strict=True):
        numbers = []
        for key in spec.keys:
            same = np.ones(len(past), bool)
            for address in key:
                same &= (past[address] == row[address]).to_numpy() & pd.notna(row[address])
            numbers.append(np.log1p(total(past, same, moment, half_life)[1]))
            for label in spec.labels:
                delay = 5 * DAY if label == "returns" else 0
                sum_, count = total(past, same, moment, half_life, label, delay)
                all_, of_all = total(past, np.ones(len(past), bool), moment, half_life, label, delay)
                prior = all_ / of_all if of_all else 0
                numbers.append((sum_ + spec.smoothing * prior) / (count + spec.smoothing))
        made.append(numbers)
    return np.array(made)


def total(past, same, moment, half_life, label=None, delay=0):
    """Sum of a label over events before a moment, and how many have it."""
    rows = past[same & (past.time + delay < moment)]
    fading = 2.0 ** ((rows.time + delay - moment) / half_life) if half_life else pd.Series(1.0, rows.index)
    values = rows[label] if label else pd.Series(1.0, rows.index)
    return (values * fading).sum(), fading[values.notna()].sum()


@pytest.mark.parametrize("spec", SPECS, ids=["even", "fading"])
@pytest.mark.parametrize("part", ["train", "eval"])
def test_statistics_are_those_of_a_loop(make_shop, spec, part):
    fold = make_fold(make_shop(seed=4, baskets=70), CUT, {"user": 0, "item": 0})
    table = Interactions(batch_size=1, labels=["cheap"]).make(fold, part)
    found = spec.of_rows(fold, table)
    assert found.dtype == np.float32
    assert found.shape == (len(table), spec.width)
    some = np.random.default_rng(0).permutation(len(table))[:40]
    rows = frame(fold).iloc[table.event[some]]
    np.testing.assert_allclose(found[some], slowly(spec, fold, rows, table.known[some]), rtol=1e-5, atol=1e-6)
    assert len(np.unique(np.round(found[:, 1], 6))) > (5 if part == "eval" else 20)


def test_rows_that_are_no_events_have_statistics_too(make_shop):
    fold = make_fold(make_shop(seed=4, baskets=70), CUT, {"user": 0, "item": 0})
    spec = TargetStatistics(columns=("user.id", "user.town"), labels=("cheap",), smoothing=3)
    windows = Windows(batch_size=1, count=2, length="15d").make(fold, "train")
    events = frame(fold)
    windows = windows.take(np.arange(0, len(windows), 2))
    rows = pd.DataFrame({"user.id": windows.ids["user"]})
    rows["user.town"] = events.drop_duplicates("user.id").set_index("user.id")["user.town"][rows["user.id"]].to_numpy()
    found = spec.of_rows(fold, windows)
    np.testing.assert_allclose(found, slowly(spec, fold, rows, windows.known), rtol=1e-5, atol=1e-6)
    drawn = SampledNegatives(batch_size=1).make(fold, "train")
    assert np.isfinite(TargetStatistics(columns=("item.id",), labels=("cheap",)).of_rows(fold, drawn)).all()


def with_others(shop, late, seed):
    """The shop with other labels and numbers where interactions are late, bool `[interactions]`."""
    rng, table = np.random.default_rng(seed), shop.interactions
    for name in ("cheap", "returns", "amount", "price"):
        values = table[name].to_numpy(zero_copy_only=False).astype(object)
        values[late] = rng.permutation(values[late])
        flip = late & (rng.random(len(late)) < 0.5)
        values[flip] = [
            rng.random() if name in ("amount", "price") else bool(rng.integers(2)) for _ in range(flip.sum())
        ]
        table = table.set_column(table.column_names.index(name), name, pa.array(values.tolist(), table[name].type))
    return Dataset(table, shop.entities, shop.schema)


@pytest.mark.parametrize("spec", SPECS, ids=["even", "fading"])
@pytest.mark.parametrize("seed", range(6))
def test_outcomes_from_a_row_on_change_nothing_that_it_reads(make_shop, spec, seed):
    shop, rng = make_shop(seed=seed), np.random.default_rng(seed)
    when = shop.interactions["when"].to_numpy()
    moment = int(rng.choice(when[when < CUT.cut]))
    other = with_others(shop, when >= moment, seed)
    changed = False
    for part in ("train", "eval"):
        first, second = (
            (Interactions(batch_size=1, labels=["cheap"]).make(fold, part), spec, fold)
            for fold in (make_fold(data, CUT, {"user": 0, "item": 0}) for data in (shop, other))
        )
        numbers, others = (spec.of_rows(fold, table) for table, spec, fold in (first, second))
        before = np.minimum(first[0].known, CUT.cut) <= moment
        np.testing.assert_array_equal(numbers[before], others[before])
        changed |= not np.array_equal(numbers[~before], others[~before])
    assert changed


@pytest.mark.parametrize("spec", SPECS, ids=["even", "fading"])
def test_outcomes_after_the_cut_change_nothing_at_all(make_shop, spec):
    shop = make_shop(seed=2)
    other = with_others(shop, shop.interactions["when"].to_numpy() >= CUT.cut, 0)
    for part in ("train", "eval"):
        folds = [make_fold(data, CUT, {"user": 0, "item": 0}) for data in (shop, other)]
        tables = [Interactions(batch_size=1).make(fold, part) for fold in folds]
        first, second = (spec.of_rows(fold, table) for fold, table in zip(folds, tables, strict=True))
        np.testing.assert_array_equal(first, second)
        for one, two in zip(spec.by_key(folds[0]), spec.by_key(folds[1]), strict=True):
            np.testing.assert_array_equal(one.numbers, two.numbers)
            np.testing.assert_array_equal(one.codes, two.codes)
            np.testing.assert_array_equal(one.unknown, two.unknown)


def test_a_model_that_is_not_trained_anew_is_evaluated_by_what_was_known_at_the_cut(make_shop):
    shop = make_shop(seed=2)
    fold = make_fold(shop, replace(CUT, fit=40 * DAY), {"user": 0, "item": 0})
    table = Interactions(batch_size=1, labels=["cheap"]).make(fold, "eval").take(np.arange(0, 40, 2))
    found = SPECS[0].of_rows(fold, table)
    np.testing.assert_allclose(found, slowly(SPECS[0], fold, frame(fold).iloc[table.event], table.known), atol=1e-5)


def test_what_requests_are_told_is_what_evaluated_rows_have(make_shop):
    from mtkit.data.key_values import code_of, of_rows

    fold = make_fold(make_shop(seed=1), CUT, {"user": 0, "item": 0})
    table = Interactions(batch_size=1).make(fold, "eval")
    parts = []
    for key in SPECS[1].by_key(fold):
        code = code_of(key.columns, [of_rows(table, column) for column in key.columns])
        place = np.minimum(np.searchsorted(key.codes, code), len(key.codes) - 1)
        parts.append(np.where((key.codes[place] == code)[:, None], key.numbers[place], key.unknown))
    np.testing.assert_array_equal(np.concatenate(parts, 1), SPECS[1].of_rows(fold, table))


def test_too_many_addresses_together(make_shop):
    fold = make_fold(make_shop(seed=1, items=200), CUT, {"user": 0, "item": 0})
    spec = TargetStatistics(together=((*("item.id",) * 9,),), labels=("cheap",))
    with pytest.raises(DataError, match="more combinations of values than 64 bits tell apart"):
        spec.of_rows(fold, Interactions(batch_size=1).make(fold, "train"))


def test_rows_that_stand_for_themselves_have_statistics_by_the_clock_of_their_split():
    rng = np.random.default_rng(0)
    schema = Schema(interactions={"job": Column(kind="categorical"), "rich": Column(kind="label")}, entities={})
    table = pa.table({"job": rng.integers(0, 5, 300), "rich": rng.random(300) < 0.3})
    dataset = Dataset(table, {}, schema)
    fold = make_fold(dataset, make_cuts(dataset, Random())[1], {})
    spec = TargetStatistics(columns=("context.job",), labels=("rich",), smoothing=4)
    train, evaluated = (Interactions(batch_size=1, labels=["rich"]).make(fold, part) for part in ("train", "eval"))
    rich, job = train.labels["rich"], train.context["job"]
    for row, (count, mean) in enumerate(spec.of_rows(fold, evaluated)):
        same = rich[job == evaluated.context["job"][row]]
        assert count == pytest.approx(np.log1p(len(same)))
        assert mean == pytest.approx((same.sum() + 4 * rich.mean()) / (len(same) + 4), rel=1e-5)
    assert len(np.unique(spec.of_rows(fold, train), axis=0)) > len(train) // 2
