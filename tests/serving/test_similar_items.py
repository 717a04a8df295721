"""Items like an item, beside NumPy."""

import numpy as np
import pytest
from asking import ask, ids_of

from mtkit.backend import tf
from mtkit.standard.exporters import SavedModel

NOTHING = "nothing"


def test_similar_items_are_the_nearest_by_cosine(tiny_pipeline, exported):
    items = ids_of(tiny_pipeline, "item")
    embeddings = ask(exported, "embed_item", item_id=items)["embedding"][:, :-1]  # the last one is the bias
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    answer = ask(exported, "similar_items", item_id=[items[3], NOTHING, items[8]], k=6)
    for row, item in ((0, 3), (2, 8)):
        cosine = unit @ unit[item]
        cosine[[0, item]] = -np.inf
        np.testing.assert_allclose(answer["scores"][row], np.sort(cosine)[::-1][:6], atol=1e-5)
        assert {name.decode() for name in answer["item_ids"][row]} == {items[i] for i in np.argsort(-cosine)[:6]}
    assert set(answer["item_ids"][1]) == {b""}
    assert np.isneginf(answer["scores"][1]).all()
    assert ask(exported, "similar_items", item_id=items[1:3], k=10**6)["item_ids"].shape == (2, len(items) - 1)


@pytest.mark.slow
def test_items_together_are_had_by_the_same_users(tiny_pipeline, tmp_path):
    export = SavedModel(unseen=False, together=7, shrinkage=3).export(tiny_pipeline, tmp_path)
    signatures = tf.saved_model.load(str(export)).signatures
    items, events = ids_of(tiny_pipeline, "item"), tiny_pipeline.fold.events
    had = np.zeros((len(events.offsets) - 1, len(items)))
    had[events.ids["user"], events.ids["item"]] = 1
    together, buyers = had.T @ had, had.sum(0).clip(1)
    score = together / np.sqrt(np.outer(buyers, buyers)) * together / (together + 3)
    np.fill_diagonal(score, 0)
    answer = ask(signatures, "items_together", item_id=[items[2], NOTHING], k=100)
    assert answer["item_ids"].shape == (2, 7)
    np.testing.assert_allclose(answer["scores"][0], np.sort(score[2])[::-1][:7], atol=1e-6)
    for name, found in zip(answer["item_ids"][0], answer["scores"][0], strict=True):
        assert abs(score[2, items.index(name.decode())] - found) < 1e-6
    assert set(answer["item_ids"][1]) == {b""}
