import pytest

import mtkit
from mtkit.backend import keras
from mtkit.callbacks import EpochMetric
from mtkit.model.model_evaluation import evaluate


@pytest.fixture
def pipeline(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))
    pipeline = mtkit.build(tiny_recipe)
    pipeline.model.compile(keras.optimizers.Adam(0.02))
    return pipeline


@pytest.mark.slow
def test_metrics_are_in_the_logs_and_stop_training(pipeline):
    keys = ("next/new/ndcg@3", "gift/auc")
    stopping = keras.callbacks.EarlyStopping("val_next/new/ndcg@3", mode="max", min_delta=9, patience=2)
    callbacks = [EpochMetric(pipeline, keys[0], every=2), EpochMetric(pipeline, keys[1]), stopping]
    history = pipeline.model.fit(pipeline.train_data(), epochs=6, callbacks=callbacks, verbose=0).history
    ranking, gift = (history[f"val_{key}"] for key in keys)
    assert len(ranking) == len(gift) == 3
    assert ranking[0] == ranking[1] != ranking[2]
    found = evaluate(pipeline)
    assert ranking[2] == pytest.approx(found[keys[0]])
    assert gift[2] == pytest.approx(found[keys[1]])


def test_one_task_is_measured_alone(pipeline):
    found = evaluate(pipeline, tasks=["gift"])
    assert found.keys() == {f"gift/{part}{name}" for part in ("", "new/") for name in ("auc", "accuracy")}
    assert found == {key: pytest.approx(value) for key, value in evaluate(pipeline).items() if key in found}


def test_keys_that_the_recipe_does_not_have(pipeline):
    with pytest.raises(
        ValueError, match=r"no metric of the recipe has the key 'next/ndgc@3'; did you mean 'next/ndcg@3'"
    ):
        EpochMetric(pipeline, "next/ndgc@3")
