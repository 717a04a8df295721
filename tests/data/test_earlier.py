"""Which training rows are left of a run that goes on with another one."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.earlier import Earlier
from mtkit.errors import DataError
from mtkit.spec import Cut
from mtkit.standard.rows import EntityRows, Interactions, Profiles, Sequences, Windows

DAY = 86400
UNTIL = 60 * DAY


class NoQueries:
    """A plan of which no task has queries."""

    def __init__(self, *queries):
        self._queries = queries

    def queries(self, _table):
        return self._queries


@pytest.fixture
def fold(shop):
    return make_fold(shop, Cut("test", 80 * DAY, 101 * DAY), {})


def left(fold, table, replay=0.1, seed=0, plan=None):
    earlier = Earlier(UNTIL, {"user": 5, "item": 5}, {}, {}, replay, seed)
    return earlier.tables(plan or NoQueries(), fold, {"rows": {"train": table, "eval": table}})["rows"]["train"]


def test_new_events_stay_and_a_share_of_the_others_is_drawn(fold):
    table = Interactions(labels=("cheap",)).make(fold, "train")
    found = left(fold, table)
    is_new = table.time >= UNTIL
    assert np.count_nonzero(found.time >= UNTIL) == is_new.sum() > 0
    assert np.count_nonzero(found.time < UNTIL) == round(0.1 * (~is_new).sum())
    assert found.note.startswith(f"{table.note}; those that the earlier run has not learned from, and ")
    assert (left(fold, table).event == found.event).all()
    assert set(left(fold, table, seed=1).event) != set(found.event)
    assert (left(fold, table, replay=0).time >= UNTIL).all()
    assert len(left(fold, table, replay=1)) == len(table)


def test_labels_that_look_ahead_were_not_known_to_it(fold):
    assert fold.schema.interactions["returns"].horizon == timedelta(days=5)
    table = Interactions(labels=("returns",)).make(fold, "train")
    found = left(fold, table, replay=0)
    assert found.time.min() >= UNTIL - 5 * DAY
    assert (found.time < UNTIL).any()


def test_windows_are_new_that_end_later(fold):
    table = Windows(length="20d", stride="10d", count=6).make(fold, "train")
    found = left(fold, table, replay=0)
    assert set(found.time // DAY) == {60, 50}  # [50, 70) has ten new days
    assert len(found) == np.isin(table.time // DAY, [50, 60]).sum()


def test_profiles_are_new_of_users_who_acted_since(fold):
    table = Profiles().make(fold, "train")
    found = left(fold, table, replay=0)
    events = fold.events
    acted = set(events.ids["user"][(events.time >= UNTIL) & (events.time < fold.fit)])
    assert set(found.ids["user"]) == acted & set(table.ids["user"])


def test_sequences_and_queries_stay_whole(fold):
    table = Sequences(length=4, labels=("cheap",)).make(fold, "train")
    found = left(fold, table, replay=0)
    assert found.units == found.sequence[-1] + 1 == len(np.unique(found.sequence))
    wanted = np.isin(table.sequence, table.sequence[table.time >= UNTIL])
    assert found.event.tolist() == table.event[wanted].tolist()
    assert (found.time < UNTIL).any()

    table = Interactions(labels=("cheap",)).make(fold, "train")
    by_user = replace(table, dense={**table.dense, "query customer": table.ids["user"]})
    found = left(fold, by_user, replay=0, plan=NoQueries("customer"))
    acted = set(table.ids["user"][table.time >= UNTIL])
    assert len(found) == np.isin(table.ids["user"], list(acted)).sum()


def test_rows_without_time_all_stay(fold):
    table = EntityRows(entity="item", holdout_by="family").make(fold, "train")
    assert left(fold, table, replay=0) is table


def test_where_nothing_is_left_it_is_said(fold):
    table = Interactions(labels=("cheap",)).make(fold, "train")
    old = table.take(np.flatnonzero(table.time < UNTIL))
    with pytest.raises(DataError, match=r"row table 'rows' has no training row .* train.replay = 0 draws none"):
        left(fold, old, replay=0)
    assert len(left(fold, old, replay=1e-9)) == 1


def test_the_fold_knows_which_ids_are_of_the_earlier_run(fold):
    earlier = Earlier(UNTIL, {"user": 5, "item": 7}, {}, {}, 0.1, 0)
    assert earlier.fold(fold).earlier == {"user": 5, "item": 7}
    assert fold.earlier == {}
