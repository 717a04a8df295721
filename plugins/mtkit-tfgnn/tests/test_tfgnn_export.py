"""What a task graph does, seen in the exported model."""

import numpy as np
import pytest
from bare import ask_bare

from mtkit.backend import tf

EXPERTS = 2
ASKED = {"user_id": ["101", "102", "nobody"], "item_id": ["p01", "p02", "p03"]}
ASKED |= {"context_channel": ["web"] * 3, "context_hour": [9.0] * 3}


@pytest.fixture
def export_with(train_tiny, tmp_path):
    """`export_with(edges)` exports the tiny recipe with a task graph over the customer's states."""
    from mtkit.serving.export import save

    def export(edges):
        graph = f'correlation.tasks={{use = "task_graph", on = ["customer"], edges = "{edges}"}}'
        pipeline = train_tiny(graph, "train.epochs=1", "rows.windows.count=1")
        return list(pipeline.plan.tasks), save(pipeline, tmp_path / edges)

    return export


def outputs(loaded):
    """Outputs by task: all that read the customer's states."""
    rank = loaded.signatures["rank"](**{name: tf.constant(value) for name, value in ASKED.items()})
    query = loaded.signatures["embed_user"](user_id=tf.constant(ASKED["user_id"]))
    return {"next": query["embedding"].numpy()} | {task: value.numpy() for task, value in rank.items()}


def perturb(loaded, tasks, task):
    """Moves the gate of one task, which makes that task's state of the customer, and nothing else."""
    (gate,) = [weight for weight in loaded.weights if weight.name.endswith("experts_customer/gate_bias:0")]
    assert gate.shape == [len(tasks) * EXPERTS]
    change = np.zeros(gate.shape, np.float32)
    change[tasks.index(task) * EXPERTS] = 3.0
    gate.assign_add(change)


@pytest.mark.slow
@pytest.mark.parametrize("edges", ["complete", "none"])
def test_tasks_hear_of_one_another_by_edges_alone(export_with, edges):
    tasks, version = export_with(edges)
    for task in ("next", "discounted", "gift"):
        loaded = tf.saved_model.load(str(version))
        before = outputs(loaded)
        perturb(loaded, tasks, task)
        after = outputs(loaded)
        changed = {name for name in before if (np.abs(after[name] - before[name]) > 1e-6).any()}
        assert changed == ({"next", "discounted", "gift"} if edges == "complete" else {task})
        if edges == "none":
            for name in set(before) - {task}:
                np.testing.assert_array_equal(after[name], before[name])
    if edges == "complete":
        check_bare(version)


def check_bare(version):
    """TensorFlow alone serves it: TF-GNN leaves no operations of its own in the graph."""
    result = ask_bare(version, {"rank": ASKED})
    assert result["foreign"] == []
    assert set(result["ops"]) <= set(result["core"])
    expected = outputs(tf.saved_model.load(str(version)))
    for task, values in result["answers"]["rank"].items():
        np.testing.assert_allclose(np.array(values, float), expected[task], atol=1e-6)
