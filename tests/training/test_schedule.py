import numpy as np
import pytest

from mtkit.recipe.loader import load_recipe
from mtkit.training.schedule import Judge, Rules, Schedule, judges

NAN = float("nan")


def schedule(scores, stop="task", patience=2, epochs=10, limits=None, tasks=None, learned=False, **options):
    rules = Rules(epochs, stop, patience, "a", limits or {}, learned)
    return Schedule(rules, {task: f"rows of {task}" for task in tasks or scores}, scores, **options)


def test_a_task_leaves_when_it_does_not_improve_and_training_ends_with_the_last_one():
    found = schedule({"a": [1, 3, 2, 2.5, 9], "b": [1, 2, 3, 4, 5]})
    assert (found.best("a", 4), found.leaves("a"), found.leaves("b")) == (2, 4, None)
    assert [sorted(found.resting(epoch)) for epoch in (3, 4, 5)] == [[], ["a"], ["a"]]
    assert found.epochs == 10
    assert found.returns("a", 4)
    assert not found.returns("a", 5)
    both = schedule({"a": [1, 3, 2, 2.5, 9], "b": [5, 2, 2, 2, 2]})
    assert (both.leaves("b"), both.epochs) == (3, 4)


def test_equal_scores_are_no_progress_and_undefined_ones_say_nothing():
    assert schedule({"a": [1, 1, 1]}).leaves("a") == 3
    assert schedule({"a": [NAN] * 5}).leaves("a") is None
    found = schedule({"a": [NAN, 2, NAN, NAN]})
    assert (found.best("a"), found.leaves("a")) == (2, 4)
    assert schedule({"a": []}).best("a") is None


def test_the_main_task_ends_training_and_the_test_ends_at_its_best_epoch():
    scores = {"a": [1, 5, 4, 3, 9], "b": [1, 2, 3, 4, 5]}
    seen, repeated = schedule(scores, "main"), schedule(scores, "main", repeated=True)
    assert (seen.epochs, seen.chosen(4), seen.resting(9)) == (4, 2, frozenset())
    assert schedule({"a": [1, 5, 4, 3], "b": [1, 2, 3, 4]}, "main", repeated=True).epochs == 2
    assert repeated.epochs == 5, "what would come later was never seen"
    # Epochs may end before patience does: the best is kept all the same.
    short = schedule({"a": [1, 5, 4], "b": [1, 2, 3]}, "main", epochs=3)
    assert (short.epochs, short.chosen()) == (3, 2)


def test_all_tasks_together_choose_the_epoch_of_the_least_regret():
    scores = {"a": [0.5, 0.6, 0.5], "b": [-2.0, -1.0, -1.1], "c": [NAN, 5.0, 9.0]}
    seen = schedule(scores)
    assert [seen.chosen(epoch) for epoch in (1, 2, 3)] == [1, 2, 2]
    assert schedule(scores, repeated=True).epochs == 2
    assert schedule(scores, "never").chosen() is None
    assert schedule({"c": [NAN]}).chosen() is None
    # One task that falls far does not outweigh two that gain; a task that wavers by a thousandth says little.
    assert schedule({"a": [0.5, 0.6, 0.7], "b": [0.1, 0.2, 0.3], "c": [-1.0, -2.0, -9.0]}).chosen() == 3
    assert schedule({"a": [0.5, 0.6, 0.7], "b": [1.0, 0.999, 0.9985]}).chosen() == 3
    # A task that leaves in the chosen epoch is what it is there: the whole model is.
    ends = {"a": [1.0, 0.9, 0.95], "b": [1.0, 2.0, 3.0], "c": [1.0, 2.0, 3.0]}
    assert schedule(ends, epochs=3).returns("a", 3)
    assert (schedule(ends, repeated=True, epochs=3).chosen(), schedule(ends, repeated=True).returns("a", 3)) == (
        3,
        False,
    )


def test_a_task_may_have_epochs_of_its_own():
    found = schedule({}, "never", limits={"a": 3}, tasks=["a", "b"])
    assert (found.leaves("a"), found.epochs, found.returns("a", 3)) == (3, 10, False)
    assert schedule({}, "never", limits={"a": 3, "b": 5}, tasks=["a", "b"]).epochs == 5
    assert schedule({"a": [9, 1, 1]}, limits={"a": 2}).returns("a", 2), "with stop = task it leaves at its best"


def test_what_is_kept_makes_the_same_schedule_again():
    first = schedule({"a": [1, 3, 2, NAN], "b": [1, 2, 3, 4]})
    kept = {task: [None if np.isnan(value) else value for value in values] for task, values in first.plain().items()}
    again = schedule(kept, repeated=True)
    assert (again.leaves("a"), again.leaves("b"), again.epochs) == (4, None, 4)
    told = again.told({"lines": 2.5})
    assert told == {
        "epochs": 4, "chosen_epoch": 4, "passes": {"lines": 2.5}, "best_epochs": {"a": 2, "b": 4}, "left_after": {"a": 4}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ((), {"next": ("next/ndcg@3", False), "discounted": ("discounted/auc", False)}),
        (('evaluate.prediction_metrics=["auc","log_loss"]',), {"discounted": ("discounted/log_loss", True)}),
        (
            ('evaluate.prediction_metrics=["auc","log_loss"]', "task.discounted.judged_by=auc"),
            {"discounted": ("discounted/auc", False)},
        ),
        (("evaluate.main=next/new/recall@10",), {"next": ("next/new/recall@10", False)}),
        (
            ("evaluate.main=discounted/accuracy",),
            {"next": ("next/recall@3", False), "discounted": ("discounted/accuracy", False)},
        ),
    ],
)
def test_tasks_are_judged_by_what_says_most(tiny_recipe, sets, expected):
    found = judges(load_recipe(tiny_recipe, sets))
    assert {task: found[task] for task in expected} == {task: Judge(*of) for task, of in expected.items()}


def test_a_figure_of_which_less_is_better_scores_higher_the_less_it_is():
    judge = Judge("a/log_loss", lower=True)
    assert judge.score({"a/log_loss": 0.5}) == -0.5
    assert np.isnan(judge.score({}))


def test_tables_whose_tasks_progress_get_more_of_a_step():
    scores = {"a": [1.0, 1.3, 1.6], "b": [1.0, 1.1, 1.0], "c": [1.0, 1.2, 1.0]}
    fixed, learned = schedule(scores, "never"), schedule(scores, "never", learned=True)
    assert {*fixed.shares(3).values()} == {1.0}
    assert {*learned.shares(1).values()} == {1.0}
    assert learned.shares(2) == pytest.approx({"rows of a": 1.5, "rows of b": 0.5, "rows of c": 1.0})
    assert learned.shares(3) == pytest.approx({"rows of a": 3.0, "rows of b": 0.25, "rows of c": 0.5})
    none = schedule({"a": [2.0, 1.0], "b": [2.0, 1.0]}, "never", learned=True)
    assert {*none.shares(2).values()} == {1.0}, "where nothing progresses, nothing is known to be better"
