"""Runs that go on with another one, as far as no training is needed to tell; whole updates are in `test_update`."""

from dataclasses import replace

import pytest

from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.data.kept_weights import Beginning
from mtkit.errors import RecipeError, RunError
from mtkit.recipe.loader import load_recipe
from mtkit.runs.continuing import check_beginning, earlier_of, read_before
from mtkit.runs.directory import RunDirectory, write_json
from mtkit.runs.origins import origin_of

LATER = ("data.split.valid=2024-08-01", "data.split.test=2024-08-15")


@pytest.fixture
def phase(tiny_recipe, tiny_run):
    """`phase(*sets)` is a recipe that goes on with the tiny run, its data, and the cut of its test."""

    def make(*sets):
        recipe = load_recipe(tiny_recipe, (f"train.init_from={tiny_run}", "train.replay=0.2", *LATER, *sets))
        dataset = load(recipe.data.source)
        return recipe, dataset, make_cuts(dataset, recipe.data.split)[1]

    return make


def test_numbers_states_and_the_moment_are_those_of_the_newest_model(phase, tiny_run):
    recipe, dataset, cut = phase()
    found = earlier_of(recipe, dataset, cut)
    directory = RunDirectory(tiny_run)
    assert found.sizes == {entity: len(ids) for entity, ids in directory.read_numbers("test").items()}
    assert found.until == 1722470400  # 2024-08-01
    assert found.states["user.town"]["values"] == ["a", "b"]
    assert (found.replay, found.seed) == (0.2, recipe.seed)


def test_a_run_that_goes_on_with_none_has_nothing_earlier(tiny_recipe):
    recipe = load_recipe(tiny_recipe)
    dataset = load(recipe.data.source)
    assert earlier_of(recipe, dataset, make_cuts(dataset, recipe.data.split)[1]) is None


def test_a_replay_of_nothing_is_a_mistake(tiny_recipe):
    with pytest.raises(
        RecipeError, match="replay and new_ids are of runs that go on with another one; name it by init_from"
    ):
        load_recipe(tiny_recipe, ("train.replay=0.2",))


def test_rows_of_prepared_data_are_not_replayed(phase, tmp_path):
    recipe, dataset, cut = phase()
    with pytest.raises(
        RecipeError, match=r"train\.replay: rows of prepared data are not replayed; leave data\.prepared out"
    ):
        earlier_of(recipe, replace(dataset, prepared=tmp_path), cut)


def test_preprocessors_that_are_set_otherwise_are_refused(phase):
    with pytest.raises(RecipeError, match=r"train.replay: .*: preprocess.ages is set otherwise there"):
        earlier_of(*phase("preprocess.ages={use='log', columns=['user.age']}"))


def test_a_model_of_which_a_part_begins_anew_is_refused(phase):
    recipe, dataset, cut = phase()
    origin = origin_of(recipe, dataset, cut)
    whole = Beginning("test", 0, 1, {}, {}, (), {}, ())
    check_beginning(recipe, origin, whole)
    part = Beginning("test", 0, 1, {}, {"encoder.visit": "is not there"}, (), {}, ())
    with pytest.raises(
        RecipeError, match=r"cannot be gone on with: encoder.visit is not there; set it as it is there, or train"
    ):
        check_beginning(recipe, origin, part)


def test_figures_of_before_are_read_again(tmp_path):
    directory = RunDirectory(tmp_path)
    assert read_before(directory) == {}
    write_json(directory.before, {"metrics": {"next/ndcg@10": 0.5, "next/added_user/ndcg@10": None}})
    assert read_before(directory) == {"next/ndcg@10": 0.5, "next/added_user/ndcg@10": None}
    directory.before.write_text("{")
    with pytest.raises(RunError, match=r"before.json: is damaged: "):
        read_before(directory)
