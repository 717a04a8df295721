import numpy as np
import pytest
from small_model import NEXT, numbered, prediction

from mtkit.backend import tf
from mtkit.model.forward import Forward
from mtkit.model.task_probe import TaskProbe
from mtkit.standard import balancers, correlations

BOTH = {"click": prediction("user", "item"), "like": prediction("user", "visit", label="liked", weight=0.5)}
STEPS = [{"lines": [0, 5, 7, 8]}, {"lines": [1, 2, 3, 4]}]


def probe_of(model, steps=STEPS, epoch=1):
    return TaskProbe(model, [numbered(**rows) for rows in steps]).look(epoch)


def gradients_of(model, rows, sources):
    """Task -> the gradient of its weighted loss by some variables, or by the cut, as one vector."""
    with tf.GradientTape(persistent=True) as tape:
        found = model.run(model.gather(numbered(**rows)), training=False)
        shares, _ = model.shares(found.losses)
    by = found.cut if sources is None else sources
    every = {task: tape.gradient(share, by, unconnected_gradients="zero") for task, share in shares.items()}
    return {
        task: np.concatenate([np.ravel(tf.convert_to_tensor(one)) for one in gradients])
        for task, gradients in every.items()
    }


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def test_gradients_of_one_table_meet_at_the_cut(make_model):
    model = make_model(BOTH)
    before = [weight.numpy() for weight in model.weights]
    (pair,) = probe_of(model).pairs
    assert (pair.tasks, pair.at) == (("click", "like"), "cut")
    expected = [cosine(*gradients_of(model, rows, None).values()) for rows in STEPS]
    assert pair.cosines == pytest.approx(expected, abs=1e-5)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.slow
def test_gradients_of_several_tables_meet_at_the_parameters(make_model):
    """Where lookups give some rows of a table, and a catalog all of them."""
    model, steps = make_model({**BOTH, "next": NEXT}), [{"lines": [0, 5, 7], "windows": [0, 2, 3]}]
    pairs = {pair.tasks: pair for pair in probe_of(model, steps).pairs}
    assert {tasks: pair.at for tasks, pair in pairs.items()} == {
        ("click", "like"): "cut", ("click", "next"): "parameters", ("like", "next"): "parameters"
    }  # fmt: skip
    shared = {"click": ("user", "item"), "like": ("user",)}
    for task, encoders in shared.items():
        variables = [weight for name in encoders for weight in model.encoders[name].trainable_variables]
        found = gradients_of(model, steps[0], variables)
        assert pairs[task, "next"].cosines == pytest.approx([cosine(found[task], found["next"])], abs=1e-5)


def test_norms_are_of_weighted_losses(make_model):
    model = make_model(BOTH, balance=balancers.Uncertainty())
    model.balancer.log_variance.assign([0.0, 1.0])
    probe, shared = probe_of(model), model.encoders["user"].trainable_variables
    norms = [{task: np.linalg.norm(g) for task, g in gradients_of(model, rows, shared).items()} for rows in STEPS]
    factors = {"click": 1.0, "like": np.exp(-1)}
    assert probe.norms == pytest.approx({task: f * np.mean([n[task] for n in norms]) for task, f in factors.items()})
    assert probe.weights == pytest.approx({"click": 1.0, "like": 0.5 * np.exp(-1)})
    assert probe_of(make_model(BOTH)).weights is None


@pytest.mark.parametrize(
    ("spec", "gates"),
    [
        (correlations.Mmoe(experts=3, units=4, on=("user",)), {"c/user": 3}),
        (
            correlations.Ple(levels=2, own=2, shared=1, units=4, on=("user",)),
            {"c/user/level_1": 3, "c/user/level_2": 3},
        ),
        (correlations.SharedBottom(units=4, on=("user",)), {}),
    ],
    ids=["mmoe", "ple", "bottom"],
)
def test_what_gates_take(make_model, spec, gates):
    model = make_model(BOTH, {"c": spec})
    found = probe_of(model).gates
    assert {name: len(gate.experts) for name, gate in found.items()} == gates
    for gate in found.values():
        assert gate.tasks == ["click", "like"]
        np.testing.assert_allclose(np.sum(gate.shares, 1), 1, atol=1e-5)
        assert all(
            0 <= row <= whole + 1e-6 <= 1 + 2e-6 for row, whole in zip(gate.row_entropy, gate.entropy, strict=True)
        )


def test_shares_are_means_over_rows(make_model):
    model = make_model(BOTH, {"c": correlations.Mmoe(experts=3, units=4, on=("user",))})
    layer, gate = model.correlations["c"]["user"], probe_of(model).gates["c/user"]
    states = [Forward(model)._encode("user", model.gather(numbered(**rows))["lines"]) for rows in STEPS]
    logits = tf.reshape(tf.matmul(tf.concat(states, 0), layer.gate_kernel) + layer.gate_bias, [-1, 2, 3])
    shares = tf.nn.softmax(logits).numpy()
    np.testing.assert_allclose(gate.shares, shares.mean(0), atol=1e-5)
    np.testing.assert_allclose(gate.row_entropy, -(shares * np.log(shares)).sum(-1).mean(0) / np.log(3), atol=1e-5)


def test_tasks_that_share_nothing_have_no_pair(make_model):
    apart = {"click": prediction("item"), "like": prediction("visit", label="liked")}
    probe = probe_of(make_model(apart))
    assert (probe.pairs, probe.norms) == ([], {"click": 0.0, "like": 0.0})
