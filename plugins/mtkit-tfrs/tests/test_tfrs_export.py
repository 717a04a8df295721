"""Exports of recipes with heads on TensorFlow Recommenders."""

import numpy as np
from bare import ask_bare

from mtkit.backend import tf

RANKING = 'task.cheap={use = "tfrs_ranking", rows = "lines", inputs = ["customer", "product"], label = "discounted"}'
RETRIEVAL = (
    'task.next={use = "tfrs_retrieval", rows = "lines", evaluate = "windows", '
    'query = ["customer", "past"], candidate = ["product"]}'
)


def test_needs_no_operations_but_tensorflows_own(train_tiny, tmp_path):
    from mtkit.serving.export import save

    pipeline = train_tiny(RANKING, RETRIEVAL, "train.epochs=1", "rows.lines.sample=500", unsets=["task.next"])
    version = save(pipeline, tmp_path / "export")
    users, items = ["101", "102"], ["p01", "p02"]
    ranked = {"user_id": users, "item_id": items, "context_channel": ["web"] * 2, "context_hour": [9.0] * 2}
    asked = {"user_id": users, "k": 40, "exclude_ids": [[""]]}
    questions = {"rank": ranked, "recommend": asked, "embed_user": {"user_id": users}, "embed_item": {"item_id": items}}
    # More than there are, and moments that cannot be.
    past = {"history_item_ids": [["", "p01", "p02"]], "history_age": [[-1.0, float("nan"), -5.0]]}
    person = {"user_town": ["a"], "user_age": [3e38]}
    questions["recommend_new_user"] = {**past, **person, "k": 2**31 - 1, "exclude_ids": [["p02"]]}
    result = ask_bare(version, questions)
    assert result["foreign"] == []
    assert set(result["ops"]) <= set(result["core"])
    assert set(result["answers"]["rank"]) == {"cheap", "discounted", "gift"}

    new = {name: np.array(values[0]) for name, values in result["answers"]["recommend_new_user"].items()}
    assert (new["item_ids"] != "").sum() == 39
    assert np.isfinite(new["scores"][:39].astype(float)).all()
    assert new["item_ids"][new["seen"] == "True"].tolist() == ["p01"]

    # Without a pair term the dot product of the embeddings is the score.
    query, candidate = (np.array(result["answers"][f"embed_{side}"]["embedding"], float) for side in ("user", "item"))
    names = np.array(result["answers"]["recommend"]["item_ids"])
    scores = np.array(result["answers"]["recommend"]["scores"], float)
    for row, user in enumerate(query):
        for item, vector in zip(items, candidate, strict=True):
            (score,) = scores[row][names[row] == item]
            np.testing.assert_allclose(score, user @ vector, atol=1e-5)
    assert "is the score of `recommend`" in (version / "signatures.md").read_text("utf-8")
    assert tf.io.gfile.exists(str(version / "signatures.json"))
