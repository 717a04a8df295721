from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtkit.conditions import Where
from mtkit.data.catalogs import make_fold
from mtkit.data.conditions import events_where, holding
from mtkit.schema import Column
from mtkit.spec import Cut

DAY = 86_400
DECLARED = {
    "event": Column(kind="categorical"),
    "flag": Column(kind="categorical"),
    "code": Column(kind="categorical"),
    "rating": Column(kind="numeric"),
    "liked": Column(kind="label"),
}
TABLE = pa.table(
    {
        "event": ["buy", "view", None, "cart", "buy"],
        "flag": [True, False, None, True, False],
        "code": [1, 2, 3, None, 1],
        "rating": [5.0, 3.0, 4.0, None, 3.5],
        "liked": [1, 0, None, 1, 0],
    }
)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"event": "buy"}, [0, 4]),
        ({"event": ["buy", "cart"]}, [0, 3, 4]),
        ({"event": {"none_of": ["buy"]}}, [1, 3]),
        ({"event": {"null": True}}, [2]),
        ({"event": {"null": False}}, [0, 1, 3, 4]),
        ({"flag": True}, [0, 3]),
        ({"code": 1}, [0, 4]),
        ({"code": 1.0}, [0, 4]),
        ({"rating": {"at_least": 3.5}}, [0, 2, 4]),
        ({"rating": {"above": 3.5, "below": 5}}, [2]),
        ({"rating": {"at_most": 3.5}}, [1, 4]),
        ({"rating": [3, 5]}, [0, 1]),
        ({"liked": 1}, [0, 3]),
        ({"liked": True}, [0, 3]),
        ({"event": "buy", "liked": 0}, [4]),
        ([{"event": "view"}, {"rating": {"null": True}}], [1, 3]),
    ],
)
def test_which_rows_a_condition_holds_for(where, rows):
    assert np.flatnonzero(holding(Where.model_validate(where), TABLE, DECLARED)).tolist() == rows


VALUES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.one_of(st.none(), st.integers(-3, 3))), min_size=1, max_size=30
)


@given(VALUES, st.lists(st.sampled_from("abc"), min_size=1, max_size=2), st.integers(-3, 3))
def test_conditions_are_those_of_pandas(values, some, bound):
    frame = pd.DataFrame(values, columns=["event", "rating"])
    table = pa.table(
        {"event": pa.array(frame["event"], pa.string()), "rating": pa.array([v for _, v in values], pa.float64())}
    )
    rating = pd.to_numeric(frame["rating"])
    both = holding(Where.model_validate({"event": some, "rating": {"at_least": bound}}), table, DECLARED)
    assert both.tolist() == (frame["event"].isin(some) & (rating >= bound)).tolist()
    either = holding(Where.model_validate([{"event": some}, {"rating": {"below": bound}}]), table, DECLARED)
    assert either.tolist() == (frame["event"].isin(some) | (rating < bound)).tolist()


def test_events_for_which_a_condition_holds_stay_with_their_users(shop):
    fold = make_fold(shop, Cut("test", 70 * DAY, 100 * DAY), {})
    weight = np.arange(len(fold.events), dtype=np.float32)
    events, columns = replace(fold.events, weight=weight), fold.schema.interactions
    where = Where.model_validate({"store": "north"})
    kept = events_where(events, where, columns)
    there = holding(where, events.columns, columns)
    assert 0 < len(kept) < len(events)
    for user in range(len(events.offsets) - 1):
        whole, part = (slice(*of.offsets[user : user + 2]) for of in (events, kept))
        assert kept.time[part].tolist() == events.time[whole][there[whole]].tolist()
        assert kept.weight[part].tolist() == weight[whole][there[whole]].tolist()
        assert kept.ids["item"][part].tolist() == events.ids["item"][whole][there[whole]].tolist()
    assert kept.columns["store"].to_pylist() == events.columns["store"].filter(pa.array(there)).to_pylist()
    assert events_where(events, None, columns) is events
