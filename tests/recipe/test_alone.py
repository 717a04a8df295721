import pytest

from mtkit.errors import RecipeError
from mtkit.recipe.alone import alone, bare, of_tasks
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.lock import lock

NEEDED = {
    "next": (["next"], ["windows"], ["customer", "look", "product", "past"]),
    "discounted": (["discounted"], ["lines"], ["customer", "look", "product", "past"]),
    "gift": (["gift", "department"], ["lines", "items"], ["customer", "look", "visit"]),
    "department": (["department"], ["items"], ["look"]),
}


@pytest.mark.parametrize("task", NEEDED)
def test_what_a_task_needs_is_kept_as_it_was(tiny_recipe, task):
    """What `gift` reads of `department` trains as before, and histories keep whose content they read."""
    whole = load_recipe(tiny_recipe)
    one = alone(whole, task)
    assert (list(one.task), list(one.rows), list(one.encoder)) == NEEDED[task]
    for section in ("task", "rows", "encoder"):
        assert dict(getattr(one, section)) == {name: getattr(whole, section)[name] for name in getattr(one, section)}
    assert one.name == f"tiny-alone-{task}"
    assert one.train == whole.train.model_copy(update={"epoch_of": whole.task[task].rows})
    assert one.evaluate.main == {"next": "next/ndcg@3"}.get(task, f"{task}/auc")
    assert list(whole.task) == list(NEEDED)


def test_metrics_baselines_and_slices_are_those_of_its_tasks(tiny_recipe):
    sets = ["evaluate.slices=['new', 'context.channel', 'user.town']"]
    found = {task: alone(load_recipe(tiny_recipe, sets), task).evaluate for task in NEEDED}
    assert list(found["next"].metrics) == ["recall", "ndcg"]
    assert list(found["next"].baselines) == ["popularity", "own_frequency"]
    assert not found["next"].prediction_metrics
    for task in ("discounted", "gift", "department"):
        assert not found[task].metrics
        assert list(found[task].prediction_metrics) == ["auc", "accuracy"]
        assert list(found[task].baselines) == ["majority"]
    assert [len(found[task].slices) for task in NEEDED] == [2, 3, 3, 0]


def test_what_chooses_moves_only_from_another_task(tiny_recipe):
    """Of the task itself it stays, and of one whose prediction is read it moves."""
    sets = ("evaluate.main=gift/accuracy", "train.epoch_of=items")
    assert alone(load_recipe(tiny_recipe, sets), "gift").evaluate.main == "gift/accuracy"
    assert alone(load_recipe(tiny_recipe, sets), "gift").train.epoch_of == "lines"
    sets = ("evaluate.main=department/accuracy",)
    assert alone(load_recipe(tiny_recipe, sets), "gift").evaluate.main == "gift/auc"


def test_correlations_are_left_out_where_the_task_reads_nothing_of_them(tiny_recipe):
    sets = (
        "correlation.of_visits={use='ple', on=['visit'], units=8}",
        "correlation.of_both={use='cross_stitch', on=['visit', 'look'], units=8}",
        "correlation.joined={use='shared_bottom', apply='pair', on=['product', 'look'], units=8}",
        "task.discounted.inputs=['customer', 'joined']",
    )
    whole = load_recipe(tiny_recipe, sets)
    assert {name: spec.on for name, spec in alone(whole, "department").correlation.items()} == {
        "experts": (),
        "of_both": ("look",),
    }
    kept = alone(whole, "discounted")
    assert {name: spec.on for name, spec in kept.correlation.items()} == {
        "experts": (),
        "of_both": ("look",),
        "joined": ("product", "look"),
    }
    assert list(kept.encoder) == ["customer", "look", "product"]
    assert kept.plan.tasks_of("experts", "customer") == ("discounted",)


def test_content_alone_passes_no_correlation(tiny_recipe):
    """`past` reads the catalog of `look` before correlations, so one on `look` is not needed."""
    sets = ("correlation.experts.on=['look']", "task.discounted.inputs=['past', 'customer']")
    one = alone(load_recipe(tiny_recipe, sets), "discounted")
    assert not one.correlation
    assert list(one.encoder) == ["customer", "look", "past"]


def test_encoders_by_which_items_are_compared_stay(tiny_recipe):
    sets = ("evaluate.metrics=['recall', {use='diversity', by='product'}]", "task.next.candidate=['look']")
    whole = load_recipe(tiny_recipe, (*sets, "evaluate.main=next/recall@3"))
    assert list(alone(whole, "next").encoder) == ["customer", "look", "product", "past"]
    assert list(alone(whole, "department").encoder) == ["look"]


def test_its_lock_is_the_same_recipe(tiny_recipe, tmp_path, monkeypatch):
    """Also where values that came from the environment stand in what was left out, and in lists that became shorter."""
    monkeypatch.setenv("UNITS", "look")
    sets = ("task.department.inputs=['${env:UNITS}']", "evaluate.baselines=['popularity', {use='majority'}]")
    one = alone(load_recipe(tiny_recipe, sets), "discounted")
    text = lock(one, tmp_path)
    assert "department" not in text
    (tmp_path / "lock.toml").write_text(text)
    again = load_recipe(tmp_path / "lock.toml")
    assert again == one.model_copy(update={"document": again.document})
    assert alone(again, "discounted").name == "tiny-alone-discounted-alone-discounted"


def test_automatic_baselines_are_those_of_the_task(tiny_recipe):
    whole = load_recipe(tiny_recipe, ("evaluate.baselines=auto",))
    assert "popularity" in whole.evaluate.baselines
    assert "popularity" not in alone(whole, "gift").evaluate.baselines


def test_an_unknown_task(tiny_recipe):
    with pytest.raises(RecipeError, match=r"--alone: nxt: the recipe has no such task; did you mean 'next'\?"):
        alone(load_recipe(tiny_recipe), "nxt")


def test_a_task_alone_makes_no_lists(tiny_recipe):
    whole = load_recipe(tiny_recipe, ["recommend={utility = {discounted = 1}}"])
    assert whole.recommend
    assert all(alone(whole, task).recommend is None for task in NEEDED)


def test_some_tasks_train_as_they_did_together(tiny_recipe):
    """With what they read; an epoch and what chooses stay those of the recipe where they are of these tasks."""
    whole = load_recipe(tiny_recipe)
    some = of_tasks(whole, ["gift", "next"])
    assert list(some.task) == ["next", "gift", "department"]
    assert some.name == "tiny-of-next-gift-department"
    assert (some.train, some.evaluate.main) == (whole.train, whole.evaluate.main)
    assert list(some.correlation) == ["experts"]
    others = of_tasks(whole, ["discounted", "gift"])
    assert (others.train.epoch_of, others.evaluate.main) == ("lines", "discounted/auc")
    assert list(others.rows) == ["lines", "items"]


def test_a_bare_recipe_has_nothing_beside_the_model(tiny_recipe):
    sets = ("recommend={utility={next=1.0}}",)
    whole = load_recipe(tiny_recipe, sets)
    found = bare(whole)
    assert (found.recommend, found.evaluate.baselines, found.evaluate.slices) == (None, {}, ())
    for section in ("task", "rows", "encoder", "correlation", "train", "balance", "data"):
        assert getattr(found, section) == getattr(whole, section)
    of_slice = bare(load_recipe(tiny_recipe, ["evaluate.main='next/new/ndcg@3'"]))
    assert (of_slice.evaluate.main, of_slice.evaluate.slices) == ("next/new/ndcg@3", ("new",))
