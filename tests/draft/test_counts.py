"""Sizes that settings depend on."""

import numpy as np
import pandas as pd
import pytest
from user_files import customers_alone

from mtkit.draft.counts import counts_of
from mtkit.draft.roles import tables_of
from mtkit.draft.tables import find_tables


def counted(directory, time="time"):
    return counts_of(tables_of(find_tables([directory]).tables, {}, {}), time)


def test_against_pandas(tmp_path):
    random = np.random.default_rng(0)
    users = np.concatenate([random.integers(0, 30, 900), random.integers(20, 60, 100)])
    log = pd.DataFrame(
        {"user": users, "item": random.integers(0, 99, 1000), "time": np.arange(1000) * 3600 + 1_700_000_000}
    )
    log.sample(frac=1, random_state=0).to_csv(tmp_path / "log.csv", index=False)
    counts = counted(tmp_path)
    assert (counts.rows, counts.users, counts.items) == (1000, log["user"].nunique(), log["item"].nunique())
    assert counts.repeats == pytest.approx(log.duplicated(["user", "item"]).mean())
    assert counts.items_of[10] == (log["item"].value_counts() >= 10).sum()
    assert counts.returning == pytest.approx(log["user"][900:].isin(log["user"][:900]).mean())
    assert counts.days == pytest.approx(999 / 24)
    assert counts.tail_days == pytest.approx(99 / 24)


def test_ids_that_a_table_lacks_are_counted(tmp_path):
    pd.DataFrame({"user": [1, 2] * 50, "item": [*range(20)] * 5}).to_csv(tmp_path / "log.csv", index=False)
    pd.DataFrame({"item": [*range(19)], "size": 1.5}).to_csv(tmp_path / "items.csv", index=False)
    assert counted(tmp_path, "").unlisted == {"item": 5}


def test_rows_alone_have_rows(tmp_path):
    counts = counted(customers_alone(tmp_path), "")
    assert (counts.rows, counts.users, counts.items) == (2000, 0, 0)
