from dataclasses import replace

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.data import memory, row_tables
from mtkit.data.catalogs import make_cuts
from mtkit.data.memory import check_memory
from mtkit.data.row_tables import fold_of, make_tables, tables_of
from mtkit.errors import DataError, shortage
from mtkit.model import assembly
from mtkit.recipe.loader import load_recipe
from mtkit.spec import Neighborhood
from mtkit.standard.retrieval import GatedRetrieval


@pytest.fixture
def made(tiny_recipe):
    def make(*sets, unsets=()):
        recipe = load_recipe(tiny_recipe, sets, unsets)
        dataset = recipe.data.source.load()
        _, cut = make_cuts(dataset, recipe.data.split)
        return recipe, dataset, cut

    return make


def needs(recipe, fold):
    kept = [*memory._rows(recipe, fold), *memory._weights(recipe, recipe.plan, fold)]
    found = [*kept, *memory._step(recipe, recipe.plan, fold), *memory._block(recipe, recipe.plan, fold)]
    return {need.what.partition(";")[0]: need.bytes for need in found}


def test_the_limit_is_between_what_fits_and_what_does_not(made, monkeypatch):
    recipe, dataset, cut = made()
    fold = fold_of(recipe, dataset, cut)
    for enough in (None, 10**9):
        monkeypatch.setattr(memory, "available", lambda enough=enough: enough)
        check_memory(recipe, fold, model=True)
    monkeypatch.setattr(memory, "available", lambda: 10**5)
    with pytest.raises(DataError, match=r"of memory are needed, and 0\.00 GB are free; most of it:\n  .*lower|smaller"):
        check_memory(recipe, fold, model=True)


def test_what_does_not_fit_is_refused_before_rows_are_made(made, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**5)
    monkeypatch.setattr(row_tables, "make_rows", None)
    for tables in assembly.assemble, make_tables:
        with pytest.raises(DataError, match="most of it"):
            tables(*made())


def test_baselines_need_no_memory_for_a_model(made, monkeypatch):
    wide = ("encoder.customer.dim=100000", "correlation.experts.residual=false")
    recipe, dataset, cut = made(*wide, "rows.lines.batch_size=1")
    fold = fold_of(recipe, dataset, cut)
    monkeypatch.setattr(memory, "available", lambda: 10**7)
    check_memory(recipe, fold, model=False)
    with pytest.raises(DataError, match=r"encoder\.customer: weights"):
        check_memory(recipe, fold, model=True)


def test_a_limit_of_addresses_leaves_room_for_the_threads_of_a_model(made, monkeypatch):
    recipe, dataset, cut = made()
    fold = fold_of(recipe, dataset, cut)
    monkeypatch.setattr(memory, "available", lambda: 5 * 10**8)
    check_memory(recipe, fold, model=True)
    monkeypatch.setattr(memory.resource, "getrlimit", lambda _: (4 * 10**9, 4 * 10**9))
    check_memory(recipe, fold, model=False)
    with pytest.raises(DataError, match=r"0\.50 GB are free; most of it:\n  0\.70 GB: addresses .* raise `ulimit -v`$"):
        check_memory(recipe, fold, model=True)


@pytest.mark.parametrize("sets", [(), ("rows.lines.sample=200", "rows.windows.eval_sample=9")])
@pytest.mark.parametrize("events", [10**9, 1300])
def test_rows_of_some_users_tell_the_size_of_all(made, monkeypatch, sets, events):
    monkeypatch.setattr(memory, "_SAMPLE", events)
    recipe, dataset, cut = made(*sets)
    fold, tables = make_tables(recipe, dataset, cut)
    found = needs(recipe, fold)
    for name in ("windows", "lines"):
        for part, table in tables[name].items():
            expected = memory.bytes_of(replace(table, shared={}))
            assert found[f"rows.{name}: rows of {part}"] == pytest.approx(expected, rel=0.3 if events == 1300 else 0)


def test_a_step_is_what_heads_encoders_and_the_optimizer_hold(made):
    sets = "train.optimizer=adagrad", "rows.windows.batch_size=1000", "encoder.past.length=3"
    recipe, dataset, cut = made(*sets)
    fold = fold_of(recipe, dataset, cut)
    found, items, users = needs(recipe, fold), len(fold.catalog("item")), len(fold.catalog("user"))
    name = f"task.next: scores of 1,000 rows x {items} candidates"
    assert found[name] == 1000 * items * 4 * GatedRetrieval.step_matrices
    assert found["encoder.customer: weights, and what adagrad keeps beside them"] == 2 * users * 8 * 4
    assert found["encoder.past: weights, and what adagrad keeps beside them"] == 2 * items * 8 * 4
    assert found["a step of 1,000 rows through customer, past"] == 1000 * (8 + 3 * 8) * 4 * 2
    longer = made(*sets[:2])[0]
    assert needs(longer, fold)["a step of 1,000 rows through customer, past"] == 1000 * (8 + items) * 4 * 2


@pytest.mark.parametrize(
    ("options", "candidates"),
    [
        ('use = "gated_retrieval", negatives = "uniform", number = 7', 7),
        ('use = "retrieval", negatives = "uniform", number = 5000', 5000),
        ('use = "retrieval", negatives = "mixed", number = 50', 50 + 1000),
        ('use = "retrieval", negatives = "batch"', 1000),
        ('use = "retrieval", negatives = "batch", queue = 300', 1300),
    ],
)
def test_a_step_scores_what_is_drawn_or_kept(made, options, candidates):
    rows = '"windows"' if "gated" in options else '"lines", evaluate = "windows"'
    task = f'task.next={{{options}, rows = {rows}, query = ["past", "customer"], candidate = ["product"]}}'
    recipe, dataset, cut = made(task, "rows.windows.batch_size=1000", "rows.lines.batch_size=1000")
    name = f"task.next: scores of 1,000 rows x {candidates:,} candidates"
    assert needs(recipe, fold_of(recipe, dataset, cut))[name] > 0


def test_a_step_of_sequences_has_the_rows_of_each(made):
    tables = 'rows.places={use="sequences", length=10, batch_size=3}', 'task.discounted.rows="places"'
    past = 'encoder.past={use="sequence", reads=["history.item"], dim=8, heads=2, length=10}'
    recipe, dataset, cut = made(*tables, past)
    fold = fold_of(recipe, dataset, cut)
    events = np.diff(fold.events.offsets)
    rows = int(3 * np.minimum(events[events > 0], 10).mean())
    assert rows > 20
    numbers = recipe.encoder["past"].numbers_per_row({}) + recipe.encoder["customer"].dim
    assert needs(recipe, fold)[f"a step of {rows} rows through customer, past"] == rows * numbers * 4 * 2


def test_what_is_read_of_past_events_lies_beside_them(made):
    reads = 'encoder.past.reads=["history.item", "history.channel", "history.price"]'
    recipe, dataset, cut = made(reads, 'encoder.past.where={channel = "web"}', "encoder.past.length=3")
    fold = fold_of(recipe, dataset, cut)
    found = {need.what.partition(";")[0]: need.bytes for need in memory._past_events(recipe, fold)}
    events = len(fold.events)
    assert found == {
        f"history.channel of {events:,} events": 4 * events,
        f"history.price of {events:,} events": 8 * events,
        f"which of {events:,} events are meant by channel = web": 8 * events,
    }
    batch, step = recipe.rows["windows"].batch_size, needs(recipe, fold)["a step of 16 rows through customer, past"]
    assert step == batch * (8 + 3 * 8 + 2 * 3 * 2) * 4 * 2
    assert not list(memory._past_events(made()[0], fold))


def test_edges_of_graphs_lie_on_both_sides(made):
    recipe, dataset, cut = made()
    fold, past = fold_of(recipe, dataset, cut), recipe.encoder["past"]

    class Around(type(past)):
        """Reads a graph of two kinds of edges."""

        @property
        def neighborhood(self):
            return Neighborhood("acting", (3,), (None, None))

    recipe.encoder["past"] = Around(**past.model_dump())
    (need,) = memory._past_events(recipe, fold)
    assert need.bytes == 2 * 2 * len(fold.events) * (4 + 8)
    assert need.what.startswith("encoder.past: edges of ")


def test_rows_are_made_on_a_fold_of_their_own(made):
    recipe, dataset, cut = made()
    fold, tables = make_tables(recipe, dataset, cut)
    assert {name: len(parts["train"]) for name, parts in tables_of(recipe, fold, model=True).items()} == {
        name: len(parts["train"]) for name, parts in tables.items()
    }


def test_what_tensorflow_raises_is_told():
    assert shortage(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore")).startswith(
        "out of memory: OOM when allocating\nlower "
    )
    assert shortage(ValueError("a bug")) == ""
