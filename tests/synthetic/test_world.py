import numpy as np

from mtkit.synthetic.settings import Settings
from mtkit.synthetic.world import DAYS, KINDS, STYLES, World


def test_items_are_chosen_as_often_as_the_planted_model_says():
    world = World(Settings(rows=2000, items=48, season=1.0, cold=0.3))
    users = np.repeat([3, 7], 60_000)
    days = np.tile(np.linspace(106, DAYS, 60_000, endpoint=False), 2)
    order = np.argsort(days, kind="stable")
    chosen = world.choose(np.random.default_rng(1), users[order], days[order])
    for user in (3, 7):
        shares = np.bincount(chosen[users[order] == user], minlength=48) / 60_000
        assert np.abs(shares - world.expected(np.array([user]))[0]).max() < 0.012
    assert not np.allclose(*world.expected(np.array([3, 7])), atol=0.02), "users differ"


def test_nothing_is_chosen_before_it_is_there():
    world = World(Settings(rows=2000, cold=0.5))
    days = np.sort(np.random.default_rng(0).uniform(0, DAYS, 20_000))
    items = world.choose(np.random.default_rng(1), world.users_at(np.random.default_rng(2), len(days)), days)
    assert (world.born[items] <= days).all()
    assert (world.born[items] > 0).any()


def test_drift_turns_tastes_and_none_leaves_them():
    for drift, alike in ((0.0, 1.0), (1.0, 0.0)):
        world = World(Settings(users=2000, drift=drift))
        users = np.arange(2000)
        first, last = world.tastes(users, 0.0), world.tastes(users, float(DAYS))
        assert abs(np.corrcoef(first.ravel(), last.ravel())[0, 1] - alike) < 0.05


def test_skew_makes_a_few_items_popular():
    def top(skew):
        return np.sort(World(Settings(skew=skew)).weight)[-20:].sum() / 400

    assert top(0.0) == 20 / 400
    assert top(1.0) > 0.4


def test_kinds_are_topics_in_styles():
    world = World(Settings())
    assert set(world.kind) == set(range(KINDS))
    inside = [np.linalg.norm(world.centers[k] - world.centers[k + 1]) for k in range(0, KINDS, STYLES)]
    across = [np.linalg.norm(world.centers[k] - world.centers[k + 2]) for k in range(0, KINDS - 2, STYLES)]
    assert np.mean(inside) < np.mean(across)
