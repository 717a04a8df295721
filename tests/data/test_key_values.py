import numpy as np
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.columns import raw
from mtkit.data.key_values import code_of, key_column, of_events, of_rows
from mtkit.schema import Address
from mtkit.spec import Cut
from mtkit.standard.rows import Interactions

DAY = 86400


@pytest.fixture
def fold(make_shop):
    return make_fold(make_shop(seed=3), Cut("test", 60 * DAY, 100 * DAY), {"item": 0})


@pytest.mark.parametrize("part", ["train", "eval"])
@pytest.mark.parametrize("address", ["user.id", "item.id", "user.town", "item.family", "context.store"])
def test_numbers_of_rows_are_those_of_their_events_and_stand_for_their_values(fold, part, address):
    column = key_column(fold, Address(address))
    table = Interactions(batch_size=1).make(fold, part)
    numbers = of_rows(table, column)
    np.testing.assert_array_equal(numbers, of_events(fold, column)[table.event])
    assert (numbers < column.size).all()
    if address.endswith(".id"):
        assert column.values is None
        np.testing.assert_array_equal(numbers, table.ids[column.address.scope])
        return
    scope, name = address.split(".")
    held = (
        table.context[name]
        if scope == "context"
        else raw(fold.catalog(scope).columns[name], fold.schema.columns(scope)[name])[table.ids[scope]]
    )
    assert [None, *column.values] == sorted(set(column.values) | {None}, key=lambda value: value or "")
    assert [([None, *column.values])[number] for number in numbers] == held.tolist()


def test_values_of_rows_are_those_before_the_cut(fold):
    from dataclasses import replace

    early = replace(fold, cut=fold.events.time.min())
    assert key_column(early, Address("context.store")).values == ()
    assert not of_events(early, key_column(early, Address("context.store"))).any()


def test_several_columns_are_one_number_and_unknown_where_one_is(fold):
    columns = [key_column(fold, Address(address)) for address in ("user.town", "item.family", "context.store")]
    numbers = [of_events(fold, column) for column in columns]
    code, rows = code_of(columns, numbers), list(zip(*numbers, strict=True))
    assert [0 in row for row in rows] == (code == 0).tolist()
    known = {row for row in rows if 0 not in row}
    assert len(known) == len(set(code[code > 0].tolist())) > 5
