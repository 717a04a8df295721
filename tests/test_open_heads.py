"""A head of a form that the core does not know, as a plugin brings it: spec and layer in one file.

Of two rows of a batch, the one with the higher label is preferred; the head learns a score by which it is. Its losses
couple rows, its figure is the share of pairs in the right order, and what it serves compares two items.
"""

import json

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.distribute import gather_rolled
from mtkit.heads import Head, Measured, UserSums
from mtkit.recipe.loader import load_recipe
from mtkit.runs.run import run_recipe
from mtkit.spec import Name, Read, TaskHead
from mtkit.types import MetricKey


class Preferred(TaskHead):
    """Which of two rows is preferred: the one with the higher label (RankNet: Burges et al., ICML 2005, equation 3)."""

    embeddings: tuple[Name, ...]
    by: str

    def reads(self):
        return tuple(Read("embeddings", name, self.rows) for name in self.embeddings)

    def metric_labels(self, measures):
        return ("ordered",)

    def lower_is_better(self, metric, measures):
        return False

    def unfit(self, tables):
        if self.by not in tables[self.rows]["train"].labels:
            yield ("by",), f"row table {self.rows!r} has no label {self.by!r}"

    def build(self, context):
        return PreferredHead(name=context.name)


class PreferredHead(Head):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(1)

    def call(self, view, training=False):
        return self.dense(tf.concat(list(view.values()), -1))[:, 0]

    def scores(self, rows):
        return self(rows.embeddings(rows.spec.embeddings), training=rows.training)

    def losses(self, rows):
        """The mean over the rows of the global batch that a row is preferred to; a row preferred to none has no weight."""
        label, there = rows.batch.labels[rows.spec.by], rows.batch.weights[rows.spec.by] * rows.batch.present
        own = self.scores(rows)
        others, labels, weights = map(gather_rolled, (own, label, there))
        beats = tf.cast(label[:, None] > labels[None], tf.float32) * there[:, None] * weights[None]
        pairs = tf.reduce_sum(beats, 1)
        losses = tf.reduce_sum(beats * tf.nn.softplus(others[None] - own[:, None]), 1)
        return tf.math.divide_no_nan(losses, pairs), tf.cast(pairs > 0, tf.float32)

    def answers(self, rows):
        return self.scores(rows)

    def evaluate(self, rows):
        scores = np.concatenate([rows.of_rows(self.scores)(numbers).numpy() for numbers in rows.blocks()])
        labels = rows.table.labels[rows.spec.by]
        right = np.array([np.mean(score > scores[labels < label]) for score, label in zip(scores, labels, strict=True)
                          if (labels < label).any()])  # fmt: skip
        measured, key = Measured(), MetricKey(rows.name, "", "ordered")
        measured[str(key)] = float(right.mean())
        role, ids = next(iter(rows.table.ids.items()))
        kept = ids[labels > labels.min()]
        measured.sums[f"{key.group}/"] = UserSums.of(
            role, kept, np.ones(len(kept)), {"ordered": (right, np.ones(len(kept)))}
        )
        measured.counts[key.group] = len(kept)
        return measured

    def signatures(self, serving):
        acting, item = serving.roles[:2]
        first, second = (serving.known(acting) | serving.known(item, name) for name in ("one_id", "other_id"))
        both = first | second

        def answer(given):
            one, other = (self.scores(serving.task_pass(each.batch(given))) for each in (first, second))
            return {"probability": tf.sigmoid(one - other)}

        outputs = {"probability": "that the one is preferred to the other"}
        return {serving.name: serving.signature("Which of two is preferred.", both, outputs, answer)}


RECIPE = """
[task.taste]
use = "preferred"
rows = "lines"
embeddings = ["customer", "look"]
by = "discounted"
"""


#: Leave the plugin's task, and of the others one.
ALONE = ("task.next", "task.gift", "task.department", "rows.items", "rows.windows", "encoder.visit", "encoder.past",
         "encoder.product", "correlation.experts", "evaluate.main")  # fmt: skip
ALONE_SETS = ('task.discounted.inputs=["customer", "look"]',)


@pytest.fixture
def recipe(tiny_recipe, tmp_path):
    """The tiny recipe with the plugin's head beside its own, while the plugin is installed."""
    (tmp_path / "site" / "pairs-1.0.dist-info").mkdir()
    (tmp_path / "site" / "pairs-1.0.dist-info" / "METADATA").write_text("Name: pairs\nVersion: 1.0\n")
    entry = f"[mtkit.task_head]\npreferred = {__name__}:Preferred\n"
    (tmp_path / "site" / "pairs-1.0.dist-info" / "entry_points.txt").write_text(entry)
    tiny_recipe.write_text(tiny_recipe.read_text() + RECIPE)
    return tiny_recipe


def test_it_trains_evaluates_and_exports(recipe, tmp_path, capsys):
    directory = tmp_path / "run"
    results = run_recipe(load_recipe(recipe, ["train.epochs=3", *ALONE_SETS], ALONE), directory)
    # `discounted` goes with the color, which `look` reads: most pairs can be ordered.
    assert results.test["taste/ordered"] > 0.65
    assert results.intervals["test"]["taste/ordered"][0] < results.test["taste/ordered"]
    assert results.counts["taste"] > 100
    assert (
        json.loads((directory / "metrics.json").read_text())["test"]["taste/ordered"] == results.test["taste/ordered"]
    )
    assert "\ntaste  " in capsys.readouterr().out
    served = tf.saved_model.load(str(directory / "export" / "1")).signatures["taste"]
    asked = {
        "user_id": tf.constant(["101"] * 2),
        "one_id": tf.constant(["p01", "p02"]),
        "other_id": tf.constant(["p02", "p01"]),
    }
    one, other = served(**asked)["probability"].numpy()
    assert one + other == pytest.approx(1, abs=1e-5)
    assert one != pytest.approx(0.5, abs=1e-4)


def test_its_mistakes_are_said_at_their_lines(recipe):
    from mtkit.errors import RecipeError
    from mtkit.runs.keras_api import build

    with pytest.raises(RecipeError, match=r"task\.taste\.embeddings\[1\]: no embedding is called 'lok'"):
        load_recipe(recipe, ['task.taste.embeddings=["customer", "lok"]'])
    with pytest.raises(RecipeError, match=r"task\.taste\.by: row table 'lines' has no label 'color'"):
        build(recipe, ["task.taste.by=color"])


def test_it_is_described(recipe):
    from mtkit.recipe.describe import describe

    assert "  embeddings customer, look" in describe(load_recipe(recipe))
