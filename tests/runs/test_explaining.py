import json

import numpy as np
import pytest
from click.testing import CliRunner

from mtkit.backend import tf
from mtkit.cli.program import main
from mtkit.errors import RunError
from mtkit.feed.batch import Batch
from mtkit.model.forward import Forward
from mtkit.runs.explaining import _shapley, explain
from mtkit.serving.servable import Servable
from mtkit.types import DAY

USER = "105"


@pytest.fixture(scope="module")
def found(tiny_pipeline):
    return explain(tiny_pipeline, USER)


def scored(pipeline, user, item, dropped=frozenset()):
    """The score of an item if events of some items had not been: shorter pasts, given to the model as a request gives them."""
    served, fold = Servable(pipeline, "next", unseen=False), pipeline.fold
    row = int(served.lookups["user"].rows(tf.constant([user])).numpy()[0])
    events = fold.events
    begin, end = events.offsets[[row, row + 1]]
    there = [n for n in range(begin, end) if events.time[n] < fold.end]
    names = [served.lookups["item"].names(tf.constant([events.ids["item"][n]])).numpy()[0] for n in there]
    kept = [n for n, name in enumerate(names) if name.decode() not in dropped]
    given = {
        "history_item_ids": tf.constant([[names[n] for n in kept]]),
        "history_age": tf.constant([[(fold.end - events.time[there[n]]) / DAY for n in kept]], tf.float32),
    }
    batch = served.past_along(["next"], row).batch(given)
    catalog = served.head.catalog(Forward(pipeline.model).task("next", Batch({})))
    scores = served.head.score(served.head.queries(served.request("next", batch)), catalog, batch).numpy()[0]
    return float(scores[int(served.lookups["item"].rows(tf.constant([item])).numpy()[0])])


def test_parts_sum_to_the_score(tiny_pipeline, found):
    parts = found.anyone + found.known + sum(one.part for one in found.past) + found.residual
    assert parts == pytest.approx(found.score, abs=1e-5)
    assert found.is_whole
    assert abs(found.residual) < 1e-4
    assert found.score == pytest.approx(scored(tiny_pipeline, USER, found.item), abs=1e-4)
    assert sum(one.repeat for one in found.past) == 1  # the best item is one that the user had


def test_removing_items_moves_the_score_as_stated(tiny_pipeline, found):
    """One by one, and all together that are said to raise it, or to lower it."""
    for one in found.past[:3]:
        without = scored(tiny_pipeline, USER, found.item, {one.item})
        assert without - found.score == pytest.approx(one.removed, abs=1e-4)
    for sign in (1, -1):
        named = {one.item for one in found.past if sign * one.removed > 1e-3 and not one.repeat}
        if named:
            assert sign * (scored(tiny_pipeline, USER, found.item, named) - found.score) > 0
    (repeat,) = (one for one in found.past if one.repeat)
    assert repeat.part > 0 > repeat.removed


def test_an_item_that_the_user_never_had(tiny_pipeline, found):
    had = {one.item for one in found.past}
    names = [str(name) for name in tiny_pipeline.fold.catalog("item").ids[1:]]
    new = next(name for name in names if name not in had)
    other = explain(tiny_pipeline, USER, new)
    assert (other.item, any(one.repeat for one in other.past)) == (new, False)
    assert other.score == pytest.approx(scored(tiny_pipeline, USER, new), abs=1e-4)
    assert set(other.encoders) == {"product", "look"}


def test_who_is_not_there(tiny_pipeline):
    with pytest.raises(RunError, match="no user of the catalog is called 'nobody'; ids are as in the data, such as"):
        explain(tiny_pipeline, "nobody")
    with pytest.raises(RunError, match="no item of the catalog is called 'p99'"):
        explain(tiny_pipeline, USER, "p99")


def test_parts_of_a_sum_are_exact_and_others_are_shared():
    values = np.array([3.0, -1.0, 0.5])
    parts, additive = _shapley(lambda kept: kept @ values, 3)
    assert additive
    assert parts == pytest.approx(values)
    parts, additive = _shapley(lambda kept: 4.0 * (kept[:, 0] & kept[:, 1]) + kept[:, 2], 3)
    assert not additive
    assert parts == pytest.approx([2.0, 2.0, 1.0])
    assert _shapley(lambda kept: np.zeros(len(kept)), 0)[0].shape == (0,)


def test_what_the_command_prints(tiny_run):
    told = CliRunner().invoke(main, ["explain", str(tiny_run), "--user", USER, "-n", "2"], catch_exceptions=False)
    for words in ("the item, for anyone", "the item itself", "other items of the past", "residual"):
        assert words in told.output
    assert max(map(len, told.output.splitlines())) <= 80
    done = CliRunner().invoke(main, ["explain", str(tiny_run), "--user", USER, "--json"], catch_exceptions=False)
    values = json.loads(done.output)
    parts = values["anyone"] + values["known"] + sum(one["part"] for one in values["past"]) + values["residual"]
    assert parts == pytest.approx(values["score"], abs=1e-5)
