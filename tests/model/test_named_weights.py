"""Weights by name, and what lies along their axes."""

import numpy as np

from mtkit.backend import tf
from mtkit.model.named_weights import checkpoint_key, named_weights, part_of, parts_of, weight_axes


def test_names_are_those_of_checkpoints_and_leave_out_what_is_no_weight(tiny_pipeline, tmp_path):
    model = tiny_pipeline.model
    tf.train.Checkpoint(model=model).write(str(tmp_path / "all"))
    reader = tf.train.load_checkpoint(str(tmp_path / "all"))
    weights = named_weights(model)
    kept = {key for key in reader.get_variable_to_shape_map() if not key.startswith(("model/alarms", "model/trackers"))}
    assert {checkpoint_key(name) for name in weights} == kept - {
        key for key in kept if key.startswith(("_", "save_counter", "model/optimizer"))
    }
    assert len(weights) == len(model.trainable_variables)
    for name, variable in weights.items():
        np.testing.assert_array_equal(reader.get_tensor(checkpoint_key(name)), variable.numpy(), name)


def test_each_axis_is_as_long_as_its_labels_say(tiny_pipeline):
    weights, labels = weight_axes(tiny_pipeline)
    variables = named_weights(tiny_pipeline.model)
    assert weights.keys() == variables.keys()
    for name, axes in weights.items():
        for axis, of in axes.items():
            if isinstance(of, str):
                assert variables[name].shape[int(axis)] % len(labels[of]) == 0, (name, of)
    assert weights["encoders/customer/_tables/user..id/embeddings"] == {"0": "user.id"}
    assert weights["encoders/past/items"] == weights["heads/next/bias"] == {"0": "item.id"}
    assert weights["encoders/visit/_tables/context..channel/embeddings"] == {"0": "context.channel"}
    assert weights["heads/department/dense/kernel"] == {"0": ["look"], "1": "classes of department"}
    assert weights["correlations/experts/look/gate_bias"] == {"0": "tasks of experts/look"}
    assert labels["user.town"] == [None, "a", "b"]


def test_all_components_with_weights_are_there(tiny_pipeline):
    recipe = tiny_pipeline.recipe
    expected = {f"encoder.{name}" for name in recipe.encoder} | {f"task.{name}" for name in recipe.task}
    parts = parts_of(tiny_pipeline)
    assert parts.keys() == expected | {"correlation.experts", "balance"}
    assert all(part.told for part in parts.values())
    assert ["task.department", *tiny_pipeline.classes["department"]] in parts["task.gift"].reads
    assert part_of("heads/next/bias") == "task.next"
    assert part_of("balancer/log_variance") == "balance"
