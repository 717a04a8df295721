"""What trained models say of rows of data frames, beside the signatures of their exports."""

import numpy as np
import pandas as pd
import pytest

import mtkit
from mtkit.backend import keras, tf
from mtkit.data.columns import load
from mtkit.errors import DataError, RunError
from mtkit.files import versions
from mtkit.recipe.loader import load_recipe
from mtkit.runs.answers import TrainablePipeline

TASKS = ["discounted", "gift", "department"]


@pytest.fixture(scope="module")
def kept():
    """What tests of the module share: a loaded run, and the same as a pipeline."""
    return {}


@pytest.fixture
def run(tiny_run, kept):
    if not kept:
        kept["run"] = mtkit.load(tiny_run)
    return kept["run"]


@pytest.fixture
def export(tiny_run):
    version = tiny_run / "export" / str(versions(tiny_run / "export")[-1])
    return tf.saved_model.load(str(version)).signatures


@pytest.fixture
def lines(tiny_run):
    return load(load_recipe(tiny_run / "recipe.lock.toml").data.source).interactions.to_pandas().tail(50)


def asked(export, lines):
    """The answers of the export, put by hand."""
    return export["rank"](
        user_id=tf.constant(lines["user"].astype(str)),
        item_id=tf.constant(lines["item"]),
        context_channel=tf.constant(lines["channel"]),
        context_hour=tf.constant(lines["hour"].astype("float32")),
    )


def test_predictions_are_those_of_the_export(run, export, lines):
    found = run.predict(lines)
    assert list(found) == TASKS
    assert found.index.equals(lines.index)
    rank = asked(export, lines)
    for task in ("discounted", "gift"):
        np.testing.assert_allclose(found[task], rank[task].numpy(), atol=1e-6)
    department = export["department"](item_id=tf.constant(lines["item"]))
    assert found["department"].tolist() == [name.decode() for name in department["class"].numpy()]
    each = run.predict({"item": lines["item"]}, tasks="department", probabilities=True)
    assert list(each) == [f"department={name.decode()}" for name in department["classes"].numpy()]
    np.testing.assert_allclose(each, department["probabilities"].numpy(), atol=1e-6)


def test_requests_come_in_parts(run, lines, monkeypatch):
    whole, lists = run.predict(lines), run.recommend(lines["user"].unique(), k=3)
    monkeypatch.setattr("mtkit.runs.answers.ROWS", 7)
    monkeypatch.setattr("mtkit.runs.answers.SCORES", 100)
    pd.testing.assert_frame_equal(run.predict(lines), whole, atol=1e-6)
    pd.testing.assert_frame_equal(run.recommend(lines["user"].unique(), k=3), lists, atol=1e-6)
    assert list(run.predict(lines.iloc[:0])) == TASKS


def test_columns_may_have_the_names_of_inputs(run, lines):
    named = lines.rename(columns={"user": "user_id", "hour": "context_hour"})
    pd.testing.assert_frame_equal(run.predict(named), run.predict(lines))


def test_what_is_missing_and_what_is_unknown(run, export, lines):
    part = lines[:4].assign(channel=[None, "web", "store", "mail"], hour=[np.nan, 9, 10, 11])
    part["user"] = ["nobody", "103", None, "104"]
    with pytest.warns(
        UserWarning, match=r"1 user is not known: 'nobody'; answers are those for the unknown user.*'100'"
    ):
        found = run.predict(part, tasks=["gift", "discounted"])
    assert list(found) == ["gift", "discounted"]
    plain = part.assign(user=["", "103", "", "104"], channel=["", "web", "store", "mail"])
    np.testing.assert_allclose(found["gift"], asked(export, plain)["gift"].numpy(), atol=1e-6)


def test_lists_are_those_of_the_export(run, export, lines):
    found = run.recommend(104, k=5, exclude_seen=False)
    assert list(found) == ["user", "rank", "item", "score"]
    nothing = tf.zeros([1, 0], tf.string)
    best = export["recommend"](user_id=tf.constant(["104"]), k=tf.constant(40), exclude_ids=nothing)
    items = [name.decode() for name in best["item_ids"].numpy()[0]]
    assert found["item"].tolist() == items[:5]
    assert found["user"].tolist() == [104] * 5
    assert found["rank"].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(found["score"], best["scores"].numpy()[0, :5], atol=1e-6)
    seen = dict(zip(items, best["seen"].numpy()[0], strict=True))
    new = [name for name in items if not seen[name]]
    assert run.recommend([104], k=40)["item"].tolist() == new
    assert run.recommend(["104"], k=3, exclude=new[1])["item"].tolist() == [new[0], *new[2:4]]
    assert set(run.recommend(lines["user"][:3], k=2)["user"]) == set(lines["user"][:3])


def test_similar_items_are_those_of_the_export(run, export):
    for by, name in (("embedding", "similar_items"), ("users", "items_together")):
        found = run.similar(["p01", "p02"], k=4, by=by)
        expected = export[name](item_id=tf.constant(["p01", "p02"]), k=tf.constant(4))
        names = [[name.decode() for name in row if name] for row in expected["item_ids"].numpy()]
        assert found.groupby("item")["similar"].agg(list).tolist() == names
        assert list(found) == ["item", "rank", "similar", "score"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda run, rows: run.predict(rows.drop(columns=["hour", "item"])),
            r"column is missing: 'hour' \(for disc.*'item'",
        ),
        (lambda run, rows: run.predict([1, 2]), "rows: expected a pandas.DataFrame, or a dictionary from names to arr"),
        (
            lambda run, rows: run.predict({"user": [1, 2], "item": ["a"]}),
            "expected columns of one length, got user 2, item 1",
        ),
        (
            lambda run, rows: run.predict(rows, tasks=["gifts"]),
            "no prediction task is called 'gifts'; did you mean 'gift'",
        ),
        (lambda run, rows: run.predict(rows.assign(hour="noon")), r"rows, column 'hour', row 1: 'noon' is no number"),
        (
            lambda run, rows: run.predict(rows.assign(user=1.5)),
            r"rows, column 'user', row 1: expected ids, got the fract",
        ),
        (lambda run, rows: run.recommend(rows), "users: expected ids, got a DataFrame; give a column of it"),
        (lambda run, rows: run.recommend([100], k=0), "k: expected an integer of 1 or more, got 0"),
        (
            lambda run, rows: run.recommend([100], filter={"color": "red"}),
            "filtered by no column 'color'; there are none",
        ),
        (lambda run, rows: run.similar("p99"), "items: 'p99' is no item of the catalog"),
        (lambda run, rows: run.similar("p01", by="text"), "by: got 'text'; known: embedding, users"),
    ],
)
def test_mistakes_are_one_message(run, lines, ask, message):
    with pytest.raises(DataError, match=message):
        ask(run, lines)


def test_there_is_nothing_to_load(tmp_path):
    with pytest.raises(RunError, match=r"recipe.lock.toml"):
        mtkit.load(tmp_path)


def test_pipelines_answer_by_their_model_as_it_is(tiny_pipeline, lines):
    pipeline = TrainablePipeline(**vars(tiny_pipeline))
    kernel = pipeline.model.heads["gift"].trainable_variables[0]
    before, kept = pipeline.predict(lines, "gift"), kernel.numpy()
    assert pipeline._signatures() is pipeline._signatures()
    try:
        kernel.assign(kept + 0.5)
        changed = pipeline.predict(lines, "gift")
    finally:
        kernel.assign(kept)
    assert not np.allclose(before, changed, atol=1e-3)


@pytest.mark.slow
def test_pipelines_answer_as_their_runs_do_and_after_training_otherwise(run, lines):
    pipeline = run.pipeline
    pd.testing.assert_frame_equal(pipeline.predict(lines), run.predict(lines), atol=1e-6)
    pd.testing.assert_frame_equal(pipeline.recommend([104, 105]), run.recommend([104, 105]), atol=1e-5)
    pd.testing.assert_frame_equal(pipeline.similar("p03"), run.similar("p03"), atol=1e-5)
    with pytest.raises(DataError, match="no signature 'items_together'"):
        pipeline.similar("p03", by="users")
    before = pipeline.predict(lines)
    pipeline.model.compile(keras.optimizers.Adam(0.02))
    pipeline.model.fit(pipeline.train_data(), steps_per_epoch=3, verbose=0)
    assert not np.allclose(before["gift"], pipeline.predict(lines)["gift"], atol=1e-4)
