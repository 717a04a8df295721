"""Exports that answer in the process that writes them, and in no other."""

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.runs.keras_api import build
from mtkit.serving import reload
from mtkit.serving.export import save

RECIPE = """
recipe = 1
name = "small"
[data]
use = "tiny_shop"
lines = 600
[data.split]
use = "time"
valid = 2024-07-01
test = 2024-08-01
[rows.lines]
use = "interactions"
labels = ["gift"]
[encoder.customer]
use = "features"
reads = ["user.age"]
[encoder.product]
use = "features"
reads = ["item.color"]
[task.gift]
use = "user_preference"
rows = "lines"
inputs = ["customer", "product"]
label = "gift"
[evaluate]
prediction_metrics = ["auc"]
"""


@pytest.fixture
def exported(tiny_recipe, tmp_path):
    """Exports a small model, with a change of what its head answers."""
    tiny_recipe.write_text(RECIPE)
    pipeline = build(tiny_recipe)

    def exported(answers=tf.identity):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline.model.heads["gift"], "predict", lambda outputs: answers(tf.sigmoid(outputs)))
            return save(pipeline, tmp_path / "export", unseen=False, verify=True)

    return exported


@pytest.mark.slow
def test_what_answers_elsewhere_is_exported_and_other_answers_are_found(exported, tmp_path, monkeypatch):
    reload.begin()
    reload.begin()
    (process,) = reload._waiting
    version, asked = exported(), reload._answers
    assert [path.name for path in (tmp_path / "export").iterdir()] == [version.name] == ["1"]
    assert process.returncode == 0, "the process that was started ahead is the one that was asked"
    assert not reload._waiting

    def otherwise(directory, version, inputs):
        found, problems = asked(directory, version, inputs)
        return found | {"rank/gift": found["rank/gift"] / 2}, problems

    monkeypatch.setattr(reload, "_answers", otherwise)
    with pytest.raises(
        RunError, match=r"output 'gift' of signature 'rank' is another one in a process with TensorFlow"
    ):
        exported()
    assert [path.name for path in (tmp_path / "export").iterdir()] == ["1"]


def test_python_within_the_graph_is_found(exported, tmp_path):
    def by_python(values):
        return tf.ensure_shape(tf.py_function(lambda x: x + 0.0, [values], tf.float32), values.shape)

    with pytest.raises(
        RunError, match=r"gets no answer of signature '.*tf\.py_function and tf\.numpy_function run Python"
    ):
        exported(by_python)
    assert not list((tmp_path / "export").iterdir()), "nothing is left behind"


def test_numbers_are_compared_as_far_as_they_are_exact():
    one = np.array([1.0, np.nan, -np.inf, 1e-9])
    assert reload._alike(one, one + np.array([1e-4, 0, 0, 1e-4]))
    assert not reload._alike(one, one + np.array([0.1, 0, 0, 0]))
    assert not reload._alike(one, np.array([1.0, 0.0, -np.inf, 1e-9]))
    assert not reload._alike(one, one[:2])
