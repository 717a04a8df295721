import numpy as np
import pytest

from mtkit.recipe.loader import load_recipe
from mtkit.testing.related_tasks import (
    ALIKE,
    NOISE,
    OPPOSED,
    TASKS,
    expected_verdicts,
    related_tasks,
    write_related_tasks,
)


def labels(strength, seed=0):
    table = related_tasks(strength, seed, rows=20_000)
    return {name: table[name].to_numpy().astype(float) for name in (*TASKS, *(f"x_{task}" for task in TASKS))}


def test_at_full_strength_labels_go_with_what_tasks_share_alone():
    found = labels(1.0)
    one, other = (found[task] for task in ALIKE)
    together = np.corrcoef(one, other)[0, 1]
    assert together > 0.4
    assert np.corrcoef(one, found[OPPOSED])[0, 1] == pytest.approx(-together, abs=0.03)
    assert abs(np.corrcoef(one, found[NOISE])[0, 1]) < 0.03
    assert all(abs(np.corrcoef(found[task], found[f"x_{task}"])[0, 1]) < 0.03 for task in TASKS)


def test_without_strength_each_label_goes_with_its_own_number():
    found = labels(0.0)
    for task in TASKS:
        assert np.corrcoef(found[task], found[f"x_{task}"])[0, 1] > 0.6
        assert all(abs(np.corrcoef(found[task], found[other])[0, 1]) < 0.03 for other in TASKS if other != task)


def test_the_seed_decides(tmp_path):
    assert related_tasks(0.5, 1).equals(related_tasks(0.5, 1))
    assert not related_tasks(0.5, 1).equals(related_tasks(0.5, 2))
    recipe = load_recipe(write_related_tasks(tmp_path, 0.5, seed=3, rows=500))
    assert (recipe.seed, tuple(recipe.task)) == (3, TASKS)
    assert recipe.data.source.load().interactions.num_rows == 500


def test_what_is_right():
    assert set(expected_verdicts(0.0).values()) == {"keep"}
    assert [expected_verdicts(1.0)[task] for task in TASKS] == ["keep", "keep", "train apart", "keep"]
