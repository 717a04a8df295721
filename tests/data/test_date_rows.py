"""Users at dates, beside loops over the events."""

import numpy as np
import pytest

from mtkit.conditions import Where
from mtkit.data.catalogs import make_fold
from mtkit.data.date_rows import date_table
from mtkit.errors import DataError
from mtkit.spec import Cut

DAY = 86400


@pytest.fixture
def fold(shop):
    return make_fold(shop, Cut("test", 70 * DAY, 100 * DAY), {})


def by_hand(fold, dates, ahead, active, counts):
    """(user, date) -> labels, from one event after another."""
    events, found = fold.events, {}
    price = events.columns["price"].to_pylist()
    lines = [n for n in range(len(events)) if counts(n)]
    for date in dates:
        for user in sorted(set(events.ids[next(iter(events.ids))].tolist())):
            own = [n for n in lines if events.ids[next(iter(events.ids))][n] == user]
            if any(date - active <= events.time[n] < date for n in own):
                after = [n for n in own if date <= events.time[n] < date + ahead]
                found[user, date] = (float(not after), len(after), sum(price[n] for n in after))
    return found


@pytest.mark.parametrize("store", [None, "north"])
def test_labels_are_of_what_follows(fold, store):
    where = Where.model_validate({"store": store}) if store else None
    stores = fold.events.columns["store"].to_pylist()
    dates, ahead, active = [60 * DAY, 45 * DAY], 10 * DAY, 20 * DAY
    table = date_table(fold, dates, ahead, "some", active=active, where=where, sums={"spent": "price"})
    expected = by_hand(fold, dates, ahead, active, lambda n: store in (None, stores[n]))
    found = dict(
        zip(
            zip(table.ids[next(iter(table.ids))].tolist(), table.time.tolist(), strict=True),
            zip(*(table.labels[name].tolist() for name in ("gone", "acts", "spent")), strict=True),
            strict=True,
        )
    )
    assert found.keys() == expected.keys()
    assert len({values[0] for values in expected.values()}) == 2
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-5)
    user, acting = table.ids[next(iter(table.ids))], fold.events.ids[next(iter(fold.events.ids))]
    for (begin, end), who, time in zip(table.history, user, table.time, strict=True):
        assert (fold.events.time[begin:end] < time).all()
        assert end - begin == np.count_nonzero((acting == who) & (fold.events.time < time))
    assert (table.ends == table.time + ahead).all()


def test_nobody_is_an_error(fold):
    with pytest.raises(DataError, match="has no rows here: nobody"):
        date_table(fold, [-DAY], DAY, "nobody")
    nothing = Where.model_validate({"store": "nowhere"})
    with pytest.raises(DataError, match="has no rows here: nothing"):
        date_table(fold, [50 * DAY], DAY, "nothing", where=nothing)
    assert np.isfinite(date_table(fold, [50 * DAY], DAY, "all").labels["acts"]).all()
