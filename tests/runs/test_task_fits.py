import pytest

from mtkit.data.columns import load
from mtkit.errors import RecipeError, RunError
from mtkit.recipe.loader import load_recipe
from mtkit.runs.hooks import relay_of
from mtkit.runs.task_fits import JOINT, Fits, Role, roles
from mtkit.runs.trainer import Trainer
from mtkit.testing.related_tasks import write_related_tasks
from mtkit.training.interrupt import Signals


@pytest.fixture
def made(tmp_path):
    """`made(*sets, seeds=2, data=0, directory="tasks")` gives the fits of a small recipe, none of them done."""

    def make(*sets, seeds=2, data=0, directory="tasks"):
        recipe = load_recipe(write_related_tasks(tmp_path, 1.0, data, users=20, items=10, rows=300), ["seed=5", *sets])
        found = roles(recipe)
        trainer = Trainer.of(recipe, relay_of({}), Signals())
        return Fits(tmp_path / directory, found, seeds, load(recipe.data.source), trainer)

    return make


def names(fits):
    return [fit.directory.path.name for fit in fits.all()]


def test_what_is_fitted(tiny_recipe):
    """`gift` reads what `department` predicts, so it is left out with it, and brings it along."""
    found = {str(role): list(recipe.task) for role, recipe in roles(load_recipe(tiny_recipe)).items()}
    assert found == {
        "joint": ["next", "discounted", "gift", "department"],
        "alone next": ["next"],
        "alone discounted": ["discounted"],
        "alone gift": ["gift", "department"],
        "alone department": ["department"],
        "without next": ["discounted", "gift", "department"],
        "without discounted": ["next", "gift", "department"],
        "without gift": ["next", "discounted", "department"],
        "without department": ["next", "discounted"],
    }


def test_some_tasks_are_judged(tiny_recipe):
    found = roles(load_recipe(tiny_recipe), ["next"])
    assert list(map(str, found)) == ["joint", "alone next", "without discounted", "without gift", "without department"]


def test_of_two_tasks_one_is_alone_where_the_other_is_left_out(tiny_recipe):
    found = roles(load_recipe(tiny_recipe, unsets=["task.gift", "task.department", "rows.items"]))
    assert found[Role("without", "next")] is found[Role("alone", "discounted")]
    assert len({id(recipe) for recipe in found.values()}) == 3


@pytest.mark.parametrize(
    ("sets", "unsets", "judged", "message"),
    [
        ([], [], ["nxt", "gift"], r"--tasks: nxt: the recipe has no such task; did you mean 'next'\? "),
        ([], ["task.gift", "task.next", "task.discounted"], [], r"task: 'department' is the only task, .*; add a task"),
        (["evaluate.main='gift/auc'"], ["evaluate.metrics"], [], r"task.next: nothing of it is measured; add metrics"),
        (["data.split={use='rolling', length='20d', folds=2}"], ["data.split"], [], r"data.split: has several folds"),
    ],
)
def test_what_cannot_be_reported(tiny_recipe, sets, unsets, judged, message):
    unused = ["rows.windows", "rows.lines"] if len(unsets) == 3 else []
    sets = [*sets, "train.epoch_of='items'", "evaluate.main='department/auc'"] if unused else sets
    with pytest.raises(RecipeError, match=message):
        roles(load_recipe(tiny_recipe, sets, [*unsets, *unused]), judged)


def test_a_fit_is_where_its_recipe_data_and_seed_say(made):
    first = names(made())
    assert len(set(first)) == len(first) == 2 * 9
    assert names(made(directory="other/place")) == first
    assert names(made(seeds=1)) == first[:9]
    assert not set(names(made("seed=7"))) & set(first)
    assert not set(names(made("train.learning_rate=0.02"))) & set(first)
    assert not set(names(made(data=1))) & set(first)
    # What a task alone does not know does not change its fit.
    assert len(set(names(made("task.noise.weight=3.0"))) & set(first)) == 2 * 4


def test_seeds_that_are_too_large(made):
    with pytest.raises(RunError, match="2 seeds from 4294967295 on go beyond 4294967295"):
        made(f"seed={2**32 - 1}")


def test_the_joint_fit_is_the_recipe_with_its_seed(made):
    fits = made()
    assert [fit.recipe.seed for fit in fits.of(JOINT)] == fits.seeds == [5, 6]
    assert fits.of(JOINT)[0].results() is None
    assert fits.of(JOINT)[0].read_probes() == []
