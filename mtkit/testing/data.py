"""What holds of what makes batches of data: sources, splits and row tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mtkit.data.catalogs import log_of, make_cuts, make_fold, moments
from mtkit.data.columns import check, load
from mtkit.errors import DataError
from mtkit.schema import Column, Schema
from mtkit.spec import Cut, DataSource, Rows, Split
from mtkit.types import DAY, Dataset, Fold, Part, RowTable

_DAYS, _BASKETS, _USERS, _ITEMS = 100, 400, 30, 25


def sample_data(seed: int = 0) -> Dataset:
    """A small shop that is made up: baskets of users over 100 days from 1970-01-01 on, with nulls where they may be.

    Interactions have ids (`user`, `item`, `basket`), `time`, context (`channel`, `hour`, and `part`, which is `train`, `valid`
    or `test` for a whole basket) and the label `liked`; users have a `town`, items a `category`, a `weight` and a `title`.
    """
    rng = np.random.default_rng(seed)
    basket = np.repeat(np.arange(_BASKETS), rng.integers(1, 5, _BASKETS))
    lines = len(basket)
    parts = np.array(["test", "valid", *["train"] * 6], object)
    interactions = {
        "user": (1 + rng.integers(0, _USERS, _BASKETS))[basket],
        "item": rng.zipf(1.3, lines) % _ITEMS + 1,
        "basket": basket,
        "time": (rng.integers(0, _DAYS * DAY, _BASKETS))[basket],
        "channel": rng.choice(np.array(["shop", "web", None], object), lines),
        "hour": rng.integers(0, 24, lines).astype(float),
        "part": parts[basket % len(parts)],
        "liked": pa.array(rng.random(lines) < 0.5, mask=rng.random(lines) < 0.1),
    }
    users = {"id": np.arange(1, _USERS + 1), "town": rng.choice(np.array(["a", "b", None], object), _USERS)}
    items = {
        "id": np.arange(1, _ITEMS + 1),
        "category": [f"c{item % 6}" for item in range(_ITEMS)],
        "weight": pa.array(rng.random(_ITEMS), mask=rng.random(_ITEMS) < 0.2),
        "title": [f"thing {item}" for item in range(_ITEMS)],
    }
    return Dataset(pa.table(interactions), {"user": pa.table(users), "item": pa.table(items)}, _SCHEMA)


_SCHEMA = Schema(
    interactions={
        "user": Column(kind="id", entity="user"),
        "item": Column(kind="id", entity="item"),
        "basket": Column(kind="id"),
        "time": Column(kind="time"),
        "channel": Column(kind="categorical"),
        "hour": Column(kind="numeric"),
        "part": Column(kind="categorical"),
        "liked": Column(kind="label"),
    },
    entities={
        "user": {"town": Column(kind="categorical")},
        "item": {
            "category": Column(kind="categorical"),
            "weight": Column(kind="numeric"),
            "title": Column(kind="text"),
        },
    },
)


def check_data_source(source: DataSource) -> None:
    """The tables fit the declared schema, and are the same each time."""
    schema = source.schema()
    try:
        first, second = load(source), load(source)
    except DataError as error:
        raise AssertionError(f"the data do not fit their schema: {error}") from error
    assert first.schema == schema, f"schema() declares {schema}, but the data have {first.schema}"
    assert len(first.interactions), "there are no interactions"
    for name, table in {"interactions": first.interactions, **first.entities}.items():
        again = second.interactions if name == "interactions" else second.entities[name]
        assert table.equals(again), f"{name} differ when they are loaded again"


def check_split(split: Split, dataset: Dataset | None = None, *, seeded: bool | None = None) -> None:
    """Parts that are not empty and have nothing in common, the same each time, with `refit` and without, and said in words.

    What is tested is not there when validation is evaluated. With `refit` the model of the test is trained on what
    trained and validated before, without it on what trained for validation alone. A `seed` changes what is drawn.

    Args:
        split: the split; with several folds each is checked.
        dataset: what it divides; default: `sample_data()`.
        seeded: whether another `seed` divides otherwise; default: if the split has one.
    """
    dataset = sample_data() if dataset is None else dataset
    check(dataset)
    folds = split.each()
    assert folds, "each() is empty"
    for fold in folds:
        assert len(fold.each()) == 1, f"each() of one fold has {len(fold.each())}: {fold!r}"
        for refit in (True, False):
            _check_cuts(fold.model_copy(update={"refit": refit}), dataset)
        if seeded or (seeded is None and "seed" in type(fold).model_fields):
            other = fold.model_copy(update={"seed": fold.seed + 1})  # type: ignore[attr-defined]
            same = all(map(_same_cut, make_cuts(dataset, fold), make_cuts(dataset, other)))
            assert not same, f"another seed than {fold.seed} draws the same"  # type: ignore[attr-defined]


def _check_cuts(split: Split, dataset: Dataset) -> None:
    before = log_of(dataset, split.reads)
    valid, test = cuts = make_cuts(dataset, split)
    assert all(map(_same_cut, cuts, make_cuts(dataset, split))), f"{split!r} does not divide the same twice"
    assert (valid.name, test.name) == ("valid", "test"), f"expected cuts 'valid' and 'test', got {cuts}"
    parts: dict[str, np.ndarray] = {}
    for cut in cuts:
        time = moments(dataset, cut)
        assert time.shape == before.group.shape, f"{cut.name}: expected a moment for each interaction, got {time.shape}"
        assert np.issubdtype(time.dtype, np.integer), f"{cut.name}: expected moments in seconds, got {time.dtype}"
        fit = cut.cut if cut.fit is None else cut.fit
        assert fit <= cut.cut < cut.end, f"expected fit <= cut < end, got {cut}"
        assert cut.about, f"{cut.name} does not say what it evaluates (`about`)"
        parts[f"training of {cut.name}"], parts[cut.name] = time < fit, (time >= cut.cut) & (time < cut.end)
    for name, part in parts.items():
        assert part.any(), f"{split!r}: the {name} part is empty"
    there = moments(dataset, valid) < valid.end
    assert not (parts["test"] & there).any(), f"{split!r}: what is tested is known, or evaluated, in validation"
    wanted = parts["training of valid"] | (parts["valid"] if split.refit else False)
    found = parts["training of test"]
    assert not (parts["test"] & found).any(), f"{split!r}: what is tested is trained on"
    assert not (wanted & ~found).any(), f"{split!r}: the test is not trained on all that it should be"
    assert split.refit or (found == wanted).all(), (
        f"{split!r}: without refit the test is trained on more than validation"
    )


def _same_cut(one: Cut, other: Cut) -> bool:
    if (one.clock is None) != (other.clock is None):
        return False
    return one == other and (one.clock is None or np.array_equal(one.clock, other.clock))  # type: ignore[arg-type]


def check_rows(rows: Rows, dataset: Dataset | None = None, cut: Cut | None = None) -> None:
    """Rows of both parts that say what they are, with finite labels and a past strictly before them; twice the same.

    Rows to train on do not change when something of what is evaluated is taken away.

    Args:
        rows: the row table.
        dataset: where rows come from; default: `sample_data()`.
        cut: where it is cut; default: the last fifth of the time is evaluated.
    """
    dataset = sample_data() if dataset is None else dataset
    cut = _last_fifth(dataset) if cut is None else cut
    fold = make_fold(dataset, cut, {})
    parts: tuple[Part, ...] = ("train", "eval")
    for part in parts:
        table = rows.make(fold, part)
        _check_table(table, fold, part)
        _assert_same_rows(table, rows.make(fold, part), f"rows of {part} made again")
    late = np.flatnonzero(moments(dataset, cut) >= cut.cut)
    kept = np.setdiff1d(np.arange(len(dataset.interactions)), late[::2])
    shorter = Dataset(dataset.interactions.take(pa.array(kept)), dataset.entities, dataset.schema)
    clock = None if cut.clock is None else cut.clock[kept]
    less = make_fold(shorter, Cut(cut.name, cut.cut, cut.end, cut.fit, clock, cut.about), {})
    _assert_same_rows(rows.make(fold, "train"), rows.make(less, "train"), "training rows with less to evaluate")


def _last_fifth(dataset: Dataset) -> Cut:
    cut = Cut("test", 0, 0)
    time = np.sort(moments(dataset, cut))
    return Cut("test", int(time[len(time) * 4 // 5]), int(time[-1]) + 1)


def _check_table(table: RowTable, fold: Fold, part: Part) -> None:
    count = len(table)
    assert count, f"there are no rows of {part}"
    assert table.note, f"the rows of {part} do not say what they are (`note`)"
    for entity, ids in table.ids.items():
        assert ids.dtype == np.int32, f"expected ids int32, got {ids.dtype} for {entity}"
        assert ids.shape == (count,), f"expected {count} ids of {entity}, got {ids.shape}"
        assert ((ids > 0) & (ids < len(fold.catalog(entity)))).all(), f"ids of {entity} that its catalog does not have"
    for name, values in {**table.context, **table.labels, **table.weights}.items():
        assert len(values) == count, f"expected {count} values of {name}, got {len(values)}"
    assert table.labels.keys() == table.weights.keys(), (
        f"{set(table.labels) ^ set(table.weights)}: label without weight"
    )
    for name, weights in table.weights.items():
        assert np.isfinite(table.labels[name]).all(), f"label {name} is not finite everywhere; weight 0 removes a row"
        assert (np.isfinite(weights) & (weights >= 0)).all(), f"weights of {name} are not finite, or negative"
    if len(table.time):
        late = table.time >= fold.cut
        # What is no event may be asked at the end of training, of which everything lies before.
        beyond = table.time > (fold.fit if table.event is None else fold.fit - 1)
        assert late.all() if part == "eval" else not beyond.any(), f"rows of {part} at another time"
    _check_history(table, fold)


def _check_history(table: RowTable, fold: Fold) -> None:
    if not len(table.history):
        return
    acting, ids = next(iter(table.ids.items()))
    for row, (begin, end) in enumerate(table.history.tolist()):
        own = fold.events.ids[acting][begin:end]
        assert (own == ids[row]).all(), f"row {row}: the past of {acting} {ids[row]} has events of others"
        late = fold.events.time[begin:end] >= table.known[row]
        assert not late.any(), f"row {row}: the past holds an event at or after the row's own moment"


def _assert_same_rows(one: RowTable, other: RowTable, what: str) -> None:
    assert len(one) == len(other), f"{what}: {len(one)} and {len(other)} rows"
    pairs: dict[str, tuple[Any, Any]] = {"time": (one.time, other.time)}
    assert one.columns() == other.columns(), f"{what}: columns {one.columns() ^ other.columns()}"
    for kind in ("ids", "context", "labels", "weights"):
        first, second = getattr(one, kind), getattr(other, kind)
        assert first.keys() == second.keys(), f"{what}: {kind} {set(first) ^ set(second)}"
        pairs |= {f"{kind} {name}": (first[name], second[name]) for name in first}
    for name, (first, second) in pairs.items():
        np.testing.assert_array_equal(first, second, f"{what}: {name} differ")
