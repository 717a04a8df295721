import numpy as np
import pyarrow as pa
import pytest

from mtkit.data import encoded
from mtkit.data.encoded import Encoded, Repeats, first_rows, present, value_of, which_in
from mtkit.types import Dataset


def drawn(high, size, seed=0, low=0):
    return np.random.default_rng(seed).integers(low, high, size)


def test_columns_are_encoded_once(shop):
    data = Encoded(shop)
    assert data.codes("store") is data.codes("store")
    assert data.numbers("price") is data.numbers("price")
    stores, code = shop.interactions["store"].to_pylist(), data.codes("store")
    assert code.dtype == np.int32
    assert {(store, number) for store, number in zip(stores, code.tolist(), strict=True) if store is None} == {
        (None, -1)
    }
    assert len(set(zip(stores, code.tolist(), strict=True))) == 3
    ids = shop.entities["item"]["id"].to_pylist()
    assert [ids[row] for row in data.rows("item")] == shop.interactions["product"].to_pylist()


def test_rows_of_an_entity_may_be_asked_of_the_first_interactions(shop):
    first, whole = Encoded(shop).rows("item", 9), Encoded(shop)
    np.testing.assert_array_equal(first, whole.rows("item")[:9])
    np.testing.assert_array_equal(first, whole.rows("item", 9))


def test_the_next_of_the_same_and_the_last_of_who_acts():
    of, on, time = drawn(6, 80), drawn(3, 80, 1, -1), drawn(40, 80, 2) - 5
    for second in (None, on):
        repeats, same = Repeats(time, of.astype(np.int32), second), np.equal.outer(of, of)
        assert repeats.last.tolist() == [not (same[row] & (time > time[row])).any() for row in range(80)]
        if second is not None:
            same &= np.equal.outer(on, on)
        later = [time[same[row] & (time > time[row])] - time[row] for row in range(80)]
        assert repeats.gap.tolist() == [gaps.min(initial=np.inf) for gaps in map(np.float64, later)]


def test_keys_and_times_that_do_not_fit_into_one_number_are_ordered_alike():
    key, time = drawn(5, 50), drawn(7, 50, 1)
    for shift in (0, 2**61):
        order = encoded._order(key, np.where(time == 6, time + shift, time))
        assert list(zip(key[order], time[order], strict=True)) == sorted(zip(key, time, strict=True))


def test_the_value_that_each_key_goes_with():
    key = drawn(20, 100)
    assert value_of(key, key * 2, 25, -7).tolist() == [k * 2 if k in key else -7 for k in range(25)]
    assert value_of(key, np.arange(100)) is None
    assert value_of(key[:0], key[:0]).tolist() == []


def test_hashes_that_share_a_slot_are_not_the_same(monkeypatch):
    monkeypatch.setattr(encoded, "_SLOTS", 8)
    values, others = (drawn(200, 90, seed).astype(np.uint64) for seed in (3, 4))
    assert which_in(values, others).tolist() == [value in set(others.tolist()) for value in values.tolist()]


@pytest.mark.parametrize("asked", [(), ("customer", "price", "store")])
def test_rows_have_one_hash_if_they_are_equal(shop, asked):
    lines = pa.concat_tables([shop.interactions, shop.interactions.slice(3, 40)])
    data = Encoded(Dataset(lines, shop.entities, shop.schema))
    for name in asked:
        data.codes(name)
    rows = [tuple(row.items()) for row in lines.drop_columns(["basket"]).to_pylist()]
    hashes = data.row_hashes(["basket"]).tolist()
    assert len(set(zip(rows, hashes, strict=True))) == len(set(rows)) == len(set(hashes))


def test_present_numbers():
    code = np.array([3, -1, 0, 3])
    assert present(code).tolist() == [True, False, False, True, True]
    assert present(code, np.array([False, False, True, True])).tolist() == [True, False, False, True, False]


def test_few_rows_are_looked_at_before_all():
    assert list(first_rows(100)) == [100]
    assert list(first_rows(10**6)) == [65536, 125001, 10**6]
