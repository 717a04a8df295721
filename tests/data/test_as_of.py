"""Whatever happens after a moment, the features of rows up to that moment are the same, bit by bit."""

import numpy as np
import pyarrow as pa
import pytest

from mtkit.data.catalogs import make_fold
from mtkit.data.fit_features import together
from mtkit.data.known_as_of import KNOWN, known_columns
from mtkit.schema import Address
from mtkit.spec import Cut
from mtkit.standard.group_preprocessors import Pca
from mtkit.standard.number_preprocessors import Buckets, Log, MinMax, Quantile, Robust, Standardize
from mtkit.standard.preprocessors import Vocabulary
from mtkit.standard.rows import EntityRows, Interactions, Profiles, SampledNegatives, Windows
from mtkit.types import Dataset, RowTable

DAY = 86400
CUT = Cut("test", 60 * DAY, 100 * DAY)


def shuffle_after(shop, moment):
    """The shop with every column of the later interactions permuted on its own; all of them stay later."""
    rng = np.random.default_rng(5)
    table = shop.interactions
    late = np.flatnonzero(table["when"].to_numpy() > moment)
    columns = {}
    for name in table.column_names:
        order = np.arange(len(table))
        order[late] = rng.permutation(late)
        columns[name] = table[name].take(pa.array(order))
    return Dataset(pa.table(columns), shop.entities, shop.schema)


def features(fold, table, moment):
    """What a row is made of, by ids of the data: all rows up to the moment."""
    events = fold.events
    names = {entity: catalog.ids for entity, catalog in fold.entities.items()}
    for row in np.flatnonzero(table.time <= moment):
        past = slice(*table.history[row])
        assert (events.time[past] < table.time[row]).all()
        yield (
            [names[entity][ids[row]] for entity, ids in table.ids.items()],
            table.time[row],
            names["item"][events.ids["item"][past]].tolist(),
            (table.time[row] - events.time[past]).tolist(),
            [repr(values[row]) for values in table.context.values()],
            own_of(table, names["item"], row),
            levels_of(table, row),
        )


def own_of(table, names, row):
    own = table.lists["own"]
    mine = slice(*own.offsets[row : row + 2])
    return names[own.values["id"][mine]].tolist(), own.values["channels"][mine].tobytes()


def levels_of(table, row):
    popularity = table.shared["popularity"]
    return table.dense["activity"][row].tobytes(), popularity.values[popularity.index[row]].tobytes()


def with_known(rows, fold, part):
    """The rows with everything that can be known at their moments."""
    return known_columns(fold, rows.make(fold, part), KNOWN)


def known_as_of(fold, user, time):
    """Name -> bytes of everything that is known."""
    table = known_columns(fold, RowTable("", {"user": user}, time, np.zeros((0, 2)), time), KNOWN)
    found = {"activity": table.dense["activity"], "popularity": table.shared["popularity"].values}
    return {name: values.tobytes() for name, values in (found | table.lists["own"].values).items()}


def same_features(before, after, tables, moment):
    first, second = (list(features(*pair, moment)) for pair in zip((before, after), tables, strict=True))
    assert len(first) > 5
    assert first == second


@pytest.mark.parametrize(
    "rows",
    [
        Windows(batch_size=1, count=2, length="15d"),
        Interactions(batch_size=1, since="50d", sample=100),
        SampledNegatives(batch_size=1),
        Profiles(),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_training_rows_do_not_depend_on_what_follows_the_cut(shop, rows):
    before, after = (make_fold(data, CUT, {"item": 3}) for data in (shop, shuffle_after(shop, CUT.cut - 1)))
    tables = [with_known(rows, fold, "train") for fold in (before, after)]
    same_features(before, after, tables, CUT.cut)
    for name, values in tables[0].lists.items():
        assert values.values.keys() == tables[1].lists[name].values.keys()
        for key, of_lists in values.values.items():
            np.testing.assert_array_equal(of_lists, tables[1].lists[name].values[key])
    for name, values in tables[0].labels.items():
        np.testing.assert_array_equal(values, tables[1].labels[name])
        np.testing.assert_array_equal(tables[0].weights[name], tables[1].weights[name])


def test_catalogs_vocabularies_and_statistics_do_not_depend_on_what_follows_the_cut(shop):
    before, after = (make_fold(data, CUT, {"item": 3}) for data in (shop, shuffle_after(shop, CUT.cut - 1)))
    for entity, catalog in before.entities.items():
        assert catalog.ids.tolist() == after.entities[entity].ids.tolist()
        assert catalog.columns.equals(after.entities[entity].columns)
    tables = [Interactions(batch_size=1).make(fold, "train") for fold in (before, after)]
    of_numbers = [(spec, "amount") for spec in (Standardize, Robust, MinMax, Log, Quantile, Buckets)]
    for spec, name in ((Vocabulary, "store"), *of_numbers):
        states = [spec(columns=()).fit(table.context[name]) for table in tables]
        assert states[0] == states[1]
    addresses = (Address("context.store"), Address("context.amount"))
    of_rows = [together({address: table.context[address.column] for address in addresses}) for table in tables]
    assert Pca(columns=addresses).fit(of_rows[0]) == Pca(columns=addresses).fit(of_rows[1])
    items = [EntityRows(batch_size=1, holdout_by="family").make(fold, "train") for fold in (before, after)]
    np.testing.assert_array_equal(items[0].ids["item"], items[1].ids["item"])


@pytest.mark.parametrize("day", [20, 45, 75])
def test_rows_do_not_depend_on_what_follows_them(shop, day):
    moment = day * DAY + 150
    everyone = {"item": 0, "user": 0}
    before, after = (make_fold(data, CUT, everyone) for data in (shop, shuffle_after(shop, moment)))
    parts = ["train"] if moment < CUT.cut else ["train", "eval"]
    for part in parts:
        tables = [with_known(Interactions(batch_size=1), fold, part) for fold in (before, after)]
        same_features(before, after, tables, moment)
    user = np.arange(1, len(before.entities["user"]), dtype=np.int32)
    time = np.full(len(user), moment + 1)
    assert known_as_of(before, user, time) == known_as_of(after, user, time)


def test_the_shuffle_does_change_the_future(shop):
    before, after = (make_fold(data, CUT, {}) for data in (shop, shuffle_after(shop, CUT.cut)))
    tables = [with_known(Interactions(batch_size=1), fold, "eval") for fold in (before, after)]
    assert list(features(before, tables[0], CUT.end)) != list(features(after, tables[1], CUT.end))
    user = np.arange(1, len(before.entities["user"]), dtype=np.int32)
    first, second = (known_as_of(fold, user, np.full(len(user), CUT.end)) for fold in (before, after))
    assert [name for name in first if first[name] != second[name]] == ["activity", "popularity", "id", "channels"]
