import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.known_as_of import KNOWN, known_columns
from mtkit.data.labels import Labels
from mtkit.data.row_builders import (
    entity_table,
    event_positions,
    event_table,
    first_in_group,
    held_out,
    sample,
    window_table,
)
from mtkit.errors import DataError
from mtkit.spec import Cut

DAY = 86400


@pytest.fixture
def fold(shop):
    return make_fold(shop, Cut("test", 60 * DAY, 90 * DAY), {})


def slow_windows(events, windows):
    user, item = events.ids["user"], events.ids["item"]
    for start, stop in windows:
        for u in range(len(events.offsets) - 1):
            mine = user == u
            targets = set(item[mine & (events.time >= start) & (events.time < stop)].tolist())
            if targets and (events.time[mine] < start).any():
                yield u, start, sorted(targets)


def test_windows_equal_the_slow_way(fold):
    windows = [(40 * DAY, 60 * DAY), (10 * DAY, 40 * DAY), (-DAY, 0)]
    table = window_table(fold, windows, "windows")
    expected = list(slow_windows(fold.events, windows))
    assert list(table.ids) == ["user"]
    assert [(int(u), int(t)) for u, t in zip(table.ids["user"], table.time, strict=True)] == [e[:2] for e in expected]
    for row, (_, _, targets) in enumerate(expected):
        begin, end = table.lists["target"].offsets[row : row + 2]
        assert table.lists["target"].values["item"][begin:end].tolist() == targets
    begin, end = table.history.T
    assert (fold.events.time[end - 1] < table.time).all()
    assert (begin == fold.events.offsets[table.ids["user"]]).all()


def test_windows_know_what_was_known_when_they_begin(fold):
    table = window_table(fold, [(40 * DAY, 60 * DAY), (10 * DAY, 40 * DAY)], "windows")
    assert table.columns() == {"target"}
    np.testing.assert_array_equal(table.known, table.time)


def test_events_know_what_was_known_when_their_group_began(fold):
    positions = event_positions(fold, "train")
    table = event_table(fold, positions, Labels(), "events")
    for row, position in enumerate(positions):
        group = fold.events.group == fold.events.group[position]
        assert table.known[row] == fold.events.time[group].min()
    assert (table.known < table.time).any()


def test_rows_are_taken_with_all_their_columns(fold):
    table = window_table(fold, [(40 * DAY, 60 * DAY), (10 * DAY, 40 * DAY)], "windows")
    table = known_columns(fold, table, KNOWN)
    rows = np.array([5, 0, 5])
    taken = table.take(rows)
    assert len(taken) == 3
    np.testing.assert_array_equal(taken.ids["user"], table.ids["user"][rows])
    np.testing.assert_array_equal(taken.dense["activity"], table.dense["activity"][rows])
    popularity = table.shared["popularity"]
    np.testing.assert_array_equal(taken.shared["popularity"].index, popularity.index[rows])
    for name in ("own", "target"):
        for place, row in enumerate(rows):
            one, other = taken.lists[name], table.lists[name]
            for key, values in one.values.items():
                found = values[one.offsets[place] : one.offsets[place + 1]]
                np.testing.assert_array_equal(found, other.values[key][other.offsets[row] : other.offsets[row + 1]])


def test_parts_of_events(fold):
    time = fold.events.time
    np.testing.assert_array_equal(event_positions(fold, "train"), np.flatnonzero(time < fold.cut))
    late = event_positions(fold, "train", 10 * DAY)
    np.testing.assert_array_equal(late, np.flatnonzero((time < fold.cut) & (time >= 50 * DAY)))
    np.testing.assert_array_equal(event_positions(fold, "eval", 10 * DAY), np.flatnonzero(time >= fold.cut))
    soon = event_positions(fold, "eval", length=10 * DAY)
    np.testing.assert_array_equal(soon, np.flatnonzero((time >= fold.cut) & (time < fold.cut + 10 * DAY)))


def test_sample_is_seeded_and_keeps_the_order():
    rows = np.arange(100, 200)
    drawn = sample(rows, 10, seed=1)
    assert len(set(drawn)) == 10
    assert sorted(drawn) == drawn.tolist()
    np.testing.assert_array_equal(drawn, sample(rows, 10, seed=1))
    assert drawn.tolist() != sample(rows, 10, seed=2).tolist()
    assert sample(rows, None, 1) is rows
    assert sample(rows, 100, 1) is rows


def test_first_in_group(fold):
    positions = event_positions(fold, "train")
    seen, expected = set(), []
    for position in positions:
        key = (fold.events.group[position], fold.events.ids["item"][position])
        expected += [] if key in seen else [position]
        seen.add(key)
    assert len(expected) < len(positions)
    assert first_in_group(fold.events, positions).tolist() == expected


def test_held_out_depends_on_value_and_seed_alone():
    values = np.array([f"group {i}" for i in range(2000)], dtype=object)
    chosen = held_out(values, 0.0, 0.2, seed=0)
    assert 0.17 < chosen.mean() < 0.23
    assert not (chosen & held_out(values, 0.2, 0.4, seed=0)).any()
    np.testing.assert_array_equal(held_out(values[:700], 0.0, 0.2, seed=0), chosen[:700])
    assert (held_out(values, 0.0, 0.2, seed=1) != chosen).any()
    np.testing.assert_array_equal(held_out(np.repeat(values, 2), 0.0, 0.2, seed=0), np.repeat(chosen, 2))


def test_no_rows_is_an_error(fold):
    with pytest.raises(DataError, match="fold 'test' has no rows here: windows of nobody"):
        window_table(fold, [(0, 0)], "windows of nobody")
    with pytest.raises(DataError, match="fold 'test' has no rows here: items of nothing"):
        entity_table(fold, "item", np.zeros(0, dtype=np.int64), "items of nothing")
