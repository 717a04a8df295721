import numpy as np
import pytest

from mtkit.synthetic.behaviors import Behavior, Behaviors
from mtkit.synthetic.settings import Settings
from mtkit.synthetic.world import DAYS, World

BEHAVIORS = {"click": Behavior(0.3), "save": Behavior(0.2), "like": Behavior(0.5, given="click")}
ROWS = 40_000


def drawn(**knobs):
    acts = Behaviors(World(Settings(rows=ROWS, **knobs)), BEHAVIORS)
    rng = np.random.default_rng(5)
    days = np.sort(rng.uniform(0, DAYS, ROWS))
    users = acts.world.users_at(rng, ROWS)
    chances = acts.chances(users, acts.world.choose(rng, users, days), days)
    return chances, acts.drawn(rng, chances, days), days


def test_they_are_as_frequent_as_they_are_to_be():
    _, labels, _ = drawn()
    assert labels["click"].mean() == pytest.approx(0.3, abs=0.02)
    assert 0.5 < labels["like"][labels["click"] == 1].mean() < 0.75, "who clicked likes it more"
    assert not labels["like"][labels["click"] == 0].any()
    _, rarer, _ = drawn(rare=0.1)
    assert rarer["click"].mean() == pytest.approx(0.03, abs=0.005)


def test_labels_follow_their_chances():
    chances, labels, _ = drawn()
    for name, chance in chances.items():
        for low, high in ((0.0, 0.1), (0.1, 0.4), (0.4, 1.0)):
            part = (chance >= low) & (chance < high)
            assert labels[name][part].mean() == pytest.approx(chance[part].mean(), abs=0.03)


def test_correlation_is_a_knob():
    def of(correlation):
        chances, *_ = drawn(correlation=correlation)
        logits = [np.log(chances[name] / (1 - chances[name])) for name in ("click", "save")]
        return np.corrcoef(*logits)[0, 1]

    assert of(1.0) == pytest.approx(1.0, abs=1e-3)
    assert abs(of(0.0)) < 0.15
    assert 0.5 < of(0.7) < 0.9


def test_wrong_labels_end_with_february():
    chances, labels, days = drawn(wrong=0.3)
    sure = chances["click"] < 0.02
    assert labels["click"][sure & (days < 60)].mean() > 0.25
    assert labels["click"][sure & (days >= 60)].mean() < 0.05
