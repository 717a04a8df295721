"""Lists of two stages on evaluation rows, beside lists that are put together row by row."""

import numpy as np
import pytest
from passes import answers, scorer

from mtkit.feed.device_tables import RowStore
from mtkit.serving.list_evaluation import evaluate_lists

SETS = ('task.gift={use = "user_preference", inputs = ["customer", "look"]}', "train.epochs=1", "evaluate.slices=[]")


def ndcg(lists, table, k, own=None):
    """NDCG@k of the lists of rows that have something to find."""
    values = []
    for row, items in enumerate(lists):
        found = table.lists["target"]
        targets = (
            set(found.values["item"][found.offsets[row] : found.offsets[row + 1]].tolist())
            - (own[row] if own else set())
            - {0}
        )
        if targets:
            gains = 1 / np.log2(np.arange(2, k + 2))
            hits = np.array([item in targets for item in items[:k]] + [False] * (k - len(items[:k])))
            values.append((hits * gains).sum() / gains[: len(targets)].sum())
    return np.mean(values)


def first(scores, candidates, out=()):
    """The first candidates of a row of scores."""
    scores = scores.copy()
    scores[[0, *out]] = -np.inf
    return [item for item in np.argsort(-scores, kind="stable")[:candidates] if scores[item] > -np.inf]


@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, False])
def test_lists_are_measured_as_they_are_made(train_tiny, seen):
    settings = f"recommend={{candidates = 9, utility = {{discounted = 1, gift = 0.5}}, seen = {str(seen).lower()}}}"
    pipeline = train_tiny(*SETS, settings)
    table = pipeline.tables["windows"]["eval"]
    scores = scorer(pipeline.model, "next", pipeline.model.feed.rows["windows/eval"])(np.arange(len(table)))
    past = table.lists["own"]
    own = [set(past.values["id"][past.offsets[r] : past.offsets[r + 1]].tolist()) for r in range(len(table))]
    retrieved = [first(row, 9, () if seen else own[r]) for r, row in enumerate(scores)]
    final = []
    for r, items in enumerate(retrieved):
        pairs = {"user": np.full(len(items), table.ids["user"][r], np.int32), "item": np.array(items, np.int32)}
        rows = RowStore(
            table.take(np.full(len(items), r)).__class__(
                name="pairs",
                ids=pairs,
                time=table.time[[r] * len(items)],
                history=table.history[[r] * len(items)],
                known=table.known[[r] * len(items)],
            )
        )
        said = answers(pipeline.model, ["discounted", "gift"], rows)
        final.append(np.array(items)[np.argsort(-(said["discounted"] + 0.5 * said["gift"]), kind="stable")].tolist())
    measured = evaluate_lists(pipeline, pipeline.protocol())
    beside = measured.beside["retrieval"]
    for k in (3, 10):
        assert measured[f"next/recommend/ndcg@{k}"] == pytest.approx(
            ndcg(final, table, k, None if seen else own), abs=1e-6
        )
        assert beside[f"next/recommend/ndcg@{k}"] == pytest.approx(
            ndcg(retrieved, table, k, None if seen else own), abs=1e-6
        )
    assert set(measured) == set(beside)
    assert measured["next/recommend/coverage@3"] > 0
    assert 0 < beside["next/recommend/diversity@3"] < 2
    assert measured.counts["next/recommend"] == beside.counts["next/recommend"]
    assert measured["next/recommend/ndcg@3"] != beside["next/recommend/ndcg@3"]


def test_recipes_without_lists_measure_none(tiny_pipeline):
    assert not evaluate_lists(tiny_pipeline, tiny_pipeline.protocol())
