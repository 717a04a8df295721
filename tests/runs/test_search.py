"""A search that is stopped and continued, as a person and as a program see it."""

import io
import json
import signal

import pytest
from click.testing import CliRunner
from rich.console import Console

from mtkit.cli.program import main
from mtkit.errors import RecipeError, RunError
from mtkit.recipe.loader import load_recipe
from mtkit.runs.directory import RunDirectory
from mtkit.runs.procedure import Run
from mtkit.runs.search import search_recipe
from mtkit.runs.search_tables import SearchScreen
from mtkit.testing.related_tasks import write_related_tasks
from mtkit.training.interrupt import Interrupted

UNSETS = ["task.noise", "task.second", "task.opposed"]
UNSETS += [f"encoder.of_{task}" for task in ("noise", "second", "opposed")]
SEARCH = "search.keys={'train.learning_rate'={choices=[0.01, 0.05, 1e30]}}"
SETS = ["train.epochs=2", *(f"encoder.{name}.dim=4" for name in ("user", "item", "of_first")), SEARCH]


def recipe_in(path, *sets):
    return load_recipe(path / "related_tasks.toml", [*SETS, *sets], UNSETS)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The directory of a search that was stopped in its second trial, what was printed, and what it found."""
    path = tmp_path_factory.mktemp("search")
    write_related_tasks(path, 1.0, users=30, items=20, rows=600)
    validate, calls = Run.validate, []

    def stopping(self, resume=False):
        calls.append(resume)
        if len(calls) == 2:
            raise Interrupted(signal.SIGINT)
        return validate(self, resume)

    text = io.StringIO()
    screen = SearchScreen(Console(file=text, width=80, highlight=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "validate", stopping)
        with pytest.raises(Interrupted):
            search_recipe(recipe_in(path, "search.trials=3"), path / "out", screen=screen)
        results = search_recipe(recipe_in(path, "search.trials=3"), path / "out", screen=screen)
    return path, calls, text.getvalue(), results


def test_a_stopped_search_goes_on_with_the_trial_that_it_was_at(found):
    _, calls, _, results = found
    assert [one["number"] for one in results["trials"]] == [0, 1, 2]
    failed = [one for one in results["trials"] if one["state"] == "failed"]
    assert len(calls) == 4  # one more than trials: the second began twice
    assert len(failed) + len([one for one in results["trials"] if one["state"] == "complete"]) == 3


def test_the_recipe_as_it_is_comes_first(found):
    first, *others = found[3]["trials"]
    assert first["as_it_is"]
    assert first["values"] == {"train.learning_rate": 0.01}
    assert first["state"] == "complete"
    assert not any(one["as_it_is"] for one in others)


def test_the_best_recipe_is_kept_without_a_search(found):
    path, _, text, results = found
    best = load_recipe(path / "out" / "best.toml")
    values = results["trials"][results["best"]]["values"]
    assert (best.train.learning_rate, best.search) == (values["train.learning_rate"], None)
    assert results["trials"][results["best"]]["value"] == max(one["value"] or 0 for one in results["trials"])
    assert json.loads((path / "out" / "search.json").read_text()) == results
    assert "first/auc on validation" in text
    assert f"mtkit run {path / 'out' / 'best.toml'}" in text.replace("\n", "")
    assert max(map(len, text.splitlines())) <= 80


def test_a_setting_that_diverges_fails_and_the_search_goes_on(found, tmp_path):
    path = found[0]
    sets = ["search.keys={'train.learning_rate'={choices=[1e30, 2e30]}}", "search.trials=1", "train.learning_rate=1e30"]
    with pytest.raises(RunError, match=r"no trial has a value; of the first: .*not finite"):
        search_recipe(recipe_in(path, *sets), tmp_path / "out", screen=SearchScreen(Console(file=io.StringIO())))
    (only,) = json.loads((tmp_path / "out" / "search.json").read_text())["trials"]
    assert (only["state"], only["value"]) == ("failed", None)
    assert "not finite" in only["message"]


def test_what_is_done_is_not_done_again(found):
    path, _, _, results = found
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "validate", lambda *_: pytest.fail("trained again"))
        again = search_recipe(recipe_in(path, "search.trials=3"), path / "out", quiet=True)
    assert again == results


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["search.metric='first/log_loss'"], "other metric"),
        (["train.epochs=3"], "other settings in its recipe"),
        (["search.keys={'train.learning_rate'={choices=[0.01, 0.05]}}"], "other choices"),
    ],
)
def test_a_directory_is_of_one_search(found, sets, said):
    path = found[0]
    with pytest.raises(RunError, match=f"holds a search with {said}; choose another with --run-dir"):
        search_recipe(recipe_in(path, *sets), path / "out", quiet=True)


def test_one_search_works_in_a_directory(found):
    path = found[0]
    with (
        RunDirectory(path / "out").exclusive(),
        pytest.raises(RunError, match=r"another run is at work here \(process \d+\)"),
    ):
        search_recipe(recipe_in(path, "search.trials=3"), path / "out", quiet=True)


def test_keys_that_a_recipe_cannot_have_are_found_before_anything_is_tried(found, tmp_path):
    sets = "search.keys={'train.learning_rat'={low=0.1, high=0.2}, 'encoder.user.dims'={low=1, high=2}}"
    with pytest.raises(RecipeError, match=r"train\.learning_rat: unknown key(?s:.*)encoder\.user\.dims: unknown key"):
        search_recipe(recipe_in(found[0], sets), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_needs_keys(found, tmp_path):
    path = str(found[0] / "related_tasks.toml")
    result = CliRunner().invoke(main, ["search", path, "--run-dir", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "search: is missing; say in [search.keys] what is tried" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_trials_below_the_median_end_early(found, tmp_path):
    sets = ["search.keys={'train.learning_rate'={low=1e-6, high=0.1, log=true}}", "search.trials=12", "train.epochs=6"]
    results = search_recipe(recipe_in(found[0], *sets), tmp_path / "out", quiet=True)
    states = [one["state"] for one in results["trials"]]
    assert states.count("pruned") > 0
    assert "pruned" not in states[:5]
    assert results["importances"] == {"train.learning_rate": 1.0}
