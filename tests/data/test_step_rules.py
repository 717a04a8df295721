import pytest

from mtkit.data.step_rules import LEAST_BATCH, MOST_BATCH, batch_of, batch_sizes, learning_rate_of
from mtkit.recipe.settings import Train
from mtkit.standard.rows import Interactions


def rows(**batches):
    return {name: Interactions(**options) for name, options in batches.items()}


def test_what_is_stated_is_taken():
    found = batch_sizes(rows(a={"batch_size": 32}, b={"batch_size": 100}), {"a": 1000, "b": 50}, Train(epoch_of="a"))
    assert found == {"a": 32, "b": 100}


def test_tables_without_a_batch_make_their_passes_in_an_epoch():
    found = batch_sizes(
        rows(a={"batch_size": 32}, b={}, c={"passes": 2.5}), {"a": 3200, "b": 50_000, "c": 40}, Train(epoch_of="a")
    )
    assert found == {"a": 32, "b": 500, "c": 1}
    sizes = {"a": 1_000, "b": 400_000}
    found = batch_sizes(rows(a={}, b={}), sizes, Train(epoch_of="a"))
    assert found == {"a": 5, "b": 2_000}, "the largest table says how many steps an epoch has"


@pytest.mark.parametrize(("size", "batch"), [(10, LEAST_BATCH), (100_000, 500), (10**9, MOST_BATCH)])
def test_batches_grow_with_tables_within_bounds(size, batch):
    assert batch_of(size) == batch


def test_temperature_divides_a_step_by_sizes():
    given, sizes = rows(a={"batch_size": 100}, b={"batch_size": 200}), {"a": 10_000, "b": 640_000}
    assert batch_sizes(given, sizes, Train(epoch_of="a", temperature=1)) == {"a": 5, "b": 295}
    assert batch_sizes(given, sizes, Train(epoch_of="a", temperature=2)) == {"a": 33, "b": 267}
    assert batch_sizes(given, sizes, Train(epoch_of="a", temperature=1e6)) == {"a": 150, "b": 150}


def test_the_learning_rate_grows_with_the_batch_within_bounds():
    assert [learning_rate_of(batch) for batch in (64, 256, 1024, 10**6)] == [1e-3, 1e-3, 2e-3, 3e-3]


def test_a_recipe_that_says_nothing_of_training_stops_task_by_task_and_anneals():
    open_, given = Train(), Train(epochs=3)
    assert (open_.stops, open_.anneals, open_.most_epochs) == ("task", True, 10)
    assert (given.stops, given.anneals, given.most_epochs) == ("never", False, 3)
    assert Train(epochs=3, schedule="cosine").anneals
    assert Train(stop="never").stops == "never"
