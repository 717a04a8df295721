from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import Field
from tiny_shop import DAY, TinyShop

from mtkit import compose
from mtkit.data import encoded, leakage
from mtkit.data.catalogs import make_cuts
from mtkit.data.leakage import Finding, find_leaks, refuse
from mtkit.errors import DataError
from mtkit.recipe.settings import Catalog
from mtkit.schema import Column
from mtkit.standard.encoders import Features
from mtkit.standard.heads import UserPreference
from mtkit.standard.past_encoders import History
from mtkit.standard.rows import Interactions
from mtkit.standard.splits import ByColumn, LeaveOneOut, Random, Time, UserStratified

TIME = Time(valid="2024-07-01", test="2024-08-01")


class Shop(TinyShop):
    """The shop with other columns."""

    columns: Mapping[str, Column] = Field({})

    def schema(self):
        schema = super().schema()
        return schema.model_copy(update={"interactions": {**schema.interactions, **self.columns}})


def shop(change=None, **columns):
    """The shop's data, with further columns of the interactions and changed in some way."""
    source = Shop(columns={name: column for name, (column, _) in columns.items()})
    data = source.load()
    for name, (_, values) in columns.items():
        data = replace(data, interactions=data.interactions.append_column(name, [values(data.interactions)]))
    return source, change(data) if change else data


def leaks(source, data, split=TIME, reads=("context.channel",), label="gift", **sections):
    recipe = compose(
        data=source,
        split=split,
        rows={"lines": Interactions(batch_size=8)},
        encoder={"all": (History if reads[0] == "history.item" else Features)(reads=reads, dim=4)},
        task={"task": UserPreference(rows="lines", inputs=["all"], label=label)},
        **sections,
    )
    return find_leaks(recipe, data, *make_cuts(data, split))


@pytest.fixture(params=[None, 7], ids=["all at once", "few rows first"], autouse=True)
def few(request, monkeypatch):
    """How many rows, of interactions and of an entity, are looked at before all of them, which must change nothing."""
    if request.param:
        monkeypatch.setattr(encoded, "_FEW", request.param)
        monkeypatch.setattr(leakage, "SOME", request.param)


def of(findings, *levels):
    return [finding for finding in findings if finding.level in levels]


@pytest.mark.parametrize("split", [TIME, LeaveOneOut(), UserStratified(), Random()], ids=repr)
def test_data_without_leaks(split):
    source, data = shop()
    reads = ("context.channel", "context.hour", "item.weight", "user.age", "item.color")
    assert of(leaks(source, data, split, reads), "error", "warning") == []


def test_a_feature_that_is_the_label_under_another_name():
    copy = Column(kind="categorical"), lambda lines: pa.array(["yes" if g else "no" for g in lines["gift"].to_pylist()])
    findings = leaks(*shop(copy=copy), reads=("context.channel", "context.copy"))
    (finding,) = of(findings, "error", "warning")
    assert (finding.level, finding.where, finding.count) == ("error", "context.copy", 4000)
    with pytest.raises(DataError, match=r"(?s)would know.*context\.copy: has one value for each.*'gift'.*`sources`"):
        refuse(findings)
    refuse(of(findings, "note"))


def test_features_that_decide_the_label():
    reads = ("context.channel", "context.hour", "context.price", "context.shelf")
    shelf = Column(kind="categorical"), lambda lines: pa.array([f"{p:.1f}" for p in lines["price"].to_pylist()])
    cheap = Column(kind="label"), lambda lines: pa.array([float(f"{p:.1f}") < 0.5 for p in lines["price"].to_pylist()])
    source, data = shop(shelf=shelf, cheap=cheap)
    source = source.model_copy(update={"columns": {**source.columns, "discounted": Column(kind="label")}})
    data = replace(data, schema=source.schema())
    findings = {finding.where: finding for finding in leaks(source, data, reads=reads, label="cheap")}
    assert findings["context.price"].level == findings["context.shelf"].level == "warning"
    assert "one threshold" in findings["context.price"].what
    assert "every value" in findings["context.shelf"].what
    assert "context.hour" not in findings


def told(column, label):
    """Values of a column and of a label, and whether each of the column goes with one of the label, pair by pair."""
    pairs = set(zip(column, label, strict=True))
    return len(set(column)), len(set(label)), len(pairs) == len(set(column))


@pytest.mark.parametrize("number", [2, 3, 400, 401])
@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("wrong", [None, 0, 3999])
def test_a_column_that_tells_the_label_does_so_in_every_row(number, nulls, wrong):
    """Held against a count of pairs; 400 values of 4000 rows are the most that are not chance."""

    def values(lines):
        gift, row = np.array(lines["gift"].to_pylist()), np.arange(len(lines))
        shelf = 2 * (row % (number // 2)) + gift
        shelf[gift & (row % 3 == 0) & (number % 2 == 1)] = number
        if wrong is not None:
            shelf[wrong] = 1 - gift[wrong]
        return pa.array(shelf.astype(str), mask=gift & nulls & (row % 90 == 0))

    source, data = shop(shelf=(Column(kind="categorical"), values))
    found = of(leaks(source, data, reads=("context.channel", "context.shelf")), "error", "warning")
    distinct, classes, tells = told(*(data.interactions[name].to_pylist() for name in ("shelf", "gift")))
    expected = [] if not tells or distinct * 10 > 4000 else ["error" if distinct == classes else "warning"]
    assert [finding.level for finding in found] == expected


def returns(lines, days, same=True):
    """Whether the user buys (the same) again within so many days, by comparing all pairs."""
    user, item = (np.unique(lines[name].to_numpy(), return_inverse=True)[1] for name in ("user", "item"))
    time = lines["time"].to_numpy()
    later = (time[None] > time[:, None]) & (time[None] <= time[:, None] + days * DAY) & (user[None] == user[:, None])
    return (later & (item[None] == item[:, None]) if same else later).any(1)


@pytest.mark.parametrize(("same", "what"), [(True, "the user has the same item again"), (False, "the user acts again")])
@pytest.mark.parametrize("opposite", [False, True])
def test_a_label_that_looks_ahead_needs_a_horizon(same, what, opposite):
    def values(lines):
        return pa.array(returns(lines, 20, same) != opposite)

    label = Column(kind="label")
    (finding,) = of(leaks(*shop(again=(label, values)), label="again"), "error")
    assert finding.where == "again"
    assert finding.what.startswith(f"says whether {what} within ")
    assert 19 < float(finding.what.split()[-2]) <= 20
    assert 'horizon = "20d"' in finding.advice
    covered = label.model_copy(update={"horizon": timedelta(days=20)})
    assert not of(leaks(*shop(again=(covered, values)), label="again"), "error", "warning")


def test_a_label_that_fades_at_the_end():
    def values(lines):
        time = lines["time"].to_numpy()
        return pa.array((np.arange(len(time)) % 2 == 0) & (time < time.max() - 8 * DAY))

    (finding,) = of(leaks(*shop(later=(Column(kind="label"), values)), label="later"), "error", "warning")
    assert (finding.level, finding.where) == ("warning", "later")
    assert "in 0.0% of those just before the end" in finding.what


def test_a_number_is_no_label_that_fades():
    def values(lines):
        time = lines["time"].to_numpy()
        return pa.array(np.where(time < time.max() - 8 * DAY, 5.0, 1.0) - (np.arange(len(time)) % 2))

    assert not of(leaks(*shop(stars=(Column(kind="label"), values)), label="stars"), "error", "warning")


def with_statistic(statistic, name="weight"):
    def change(data):
        lines = data.interactions.to_pandas()
        items = data.entities["item"]
        values = items["id"].to_pandas().map(statistic(lines)).astype(float)
        column = items.column_names.index(name)
        return replace(data, entities={**data.entities, "item": items.set_column(column, name, [pa.array(values)])})

    return change


STATISTICS = {
    "the number of interactions": lambda lines: lines.groupby("item").size(),
    "the mean of price": lambda lines: lines.groupby("item")["price"].mean(),
}


@pytest.mark.parametrize("what", list(STATISTICS))
def test_statistics_over_the_whole_data(what):
    reads = ("context.channel", "item.weight")
    cut = make_cuts(TinyShop().load(), TIME)[1].cut

    def logarithm(lines):
        return np.log1p(STATISTICS[what](lines))

    (finding,) = of(leaks(*shop(with_statistic(logarithm)), reads=reads), "error", "warning")
    assert finding.level == "error"
    assert (finding.where, finding.what) == ("item.weight", f"is {what} of its item, the test's included")
    assert finding.count == 40
    before = with_statistic(lambda lines: STATISTICS[what](lines[lines["time"] < cut]))
    assert not of(leaks(*shop(before), reads=reads), "error", "warning")
    assert not of(leaks(*shop(with_statistic(STATISTICS[what]))), "error")


def test_a_statistic_of_some_items_alone_is_none():
    def swapped(lines):
        counts = lines.groupby("item").size().astype(float)
        first, second = counts.index[counts.index != 0][-2:]
        counts[first], counts[second] = counts.max() + 1, counts.min() - 1
        return counts

    assert not of(leaks(*shop(with_statistic(swapped)), reads=("context.channel", "item.weight")), "error", "warning")


@pytest.mark.parametrize("entity", ["item", "user"])
def test_statistics_over_the_whole_data_in_the_context(entity):
    cut = make_cuts(TinyShop().load(), TIME)[1].cut
    reads = ("context.channel", "context.popularity")

    def popularity(known):
        def values(lines):
            frame = lines.to_pandas()
            counts = frame[frame["time"] < known].groupby(entity).size()
            return pa.array(frame[entity].map(counts).fillna(0).astype(float))

        return Column(kind="numeric"), values

    (finding,) = of(leaks(*shop(popularity=popularity(np.inf)), reads=reads), "error", "warning")
    assert (finding.level, finding.where) == ("error", "context.popularity")
    assert finding.what == f"is the number of interactions of its {entity}, the test's included"
    assert not of(leaks(*shop(popularity=popularity(cut)), reads=reads), "error", "warning")

    def so_far(lines):
        return pa.array(lines.to_pandas().groupby(entity).cumcount().astype(float))

    assert not of(leaks(*shop(popularity=(Column(kind="numeric"), so_far)), reads=reads), "error", "warning")


def test_an_attribute_that_interactions_repeat_is_no_statistic():
    def change(data):
        items, lines = data.entities["item"].to_pandas().set_index("id"), data.interactions
        price = items["weight"].fillna(0)[lines["item"].to_numpy(zero_copy_only=False)]
        column = lines.column_names.index("price")
        return replace(data, interactions=lines.set_column(column, "price", [pa.array(price.to_numpy())]))

    assert not of(leaks(*shop(change), reads=("context.channel", "item.weight")), "error", "warning")


def test_rows_that_are_there_twice():
    def doubled(data):
        return replace(data, interactions=pa.concat_tables([data.interactions, data.interactions.slice(0, 1000)]))

    source, data = shop(lambda data: doubled(replace(data, schema=without_basket(data.schema))))
    assert not of(leaks(source, data), "error", "warning")
    split = Random(test=0.2)
    (finding,) = of(leaks(source, data, split), "error", "warning")
    test = make_cuts(data, split)[1]
    rows = [tuple(row.values()) for row in data.interactions.drop_columns(["basket"]).to_pylist()]
    known = {row for row, moment in zip(rows, test.clock, strict=True) if moment < test.cut}
    assert finding.count == sum(row in known for row, m in zip(rows, test.clock, strict=True) if m >= test.cut) > 100


def without_basket(schema):
    return schema.model_copy(update={"interactions": {n: c for n, c in schema.interactions.items() if n != "basket"}})


def test_baskets_across_the_cut():
    def late(data):
        time = data.interactions["time"].to_numpy().copy()
        first = np.unique(data.interactions["basket"].to_numpy(), return_index=True)[1]
        cut = make_cuts(data, TIME)[1].cut
        moved = first[np.argsort(-time[first])[:3]]
        time[moved] = cut - DAY
        column = data.interactions.column_names.index("time")
        return replace(data, interactions=data.interactions.set_column(column, "time", [pa.array(time)]))

    source, data = shop(late)
    (finding,) = of(leaks(source, data), "warning")
    time, basket = (data.interactions[name].to_numpy() for name in ("time", "basket"))
    cut = make_cuts(data, TIME)[1].cut
    assert finding.count == np.isin(basket[time >= cut], basket[time < cut]).sum() > 0


def test_what_only_the_test_has_is_counted():
    source, data = shop()
    cut = make_cuts(data, TIME)[1].cut
    time = data.interactions["time"].to_numpy()
    item = np.where((time >= cut) & (np.arange(len(time)) % 50 == 0), "p00", "p01")
    column = data.interactions.column_names.index("item")
    data = replace(data, interactions=data.interactions.set_column(column, "item", [pa.array(item)]))
    (finding,) = of(leaks(source, data), "note")
    assert finding == Finding(
        "note",
        "test",
        f"1 of 2 item ids, in {(item == 'p00').sum()} interactions, never train",
        1,
        "they are left out unless data.catalog.item has min_count = 0",
    )


def test_what_only_the_test_has_may_be_kept():
    split, catalog = Random(by="user"), {"user": Catalog(min_count=0)}
    left, kept = (of(leaks(*shop(), split, catalog=c), "note")[1] for c in ({}, catalog))
    assert left.what == kept.what
    assert left.what.startswith("8 of 8 user ids")
    assert kept.advice == "their user.id says nothing, other columns may"


def test_a_test_before_the_end_of_training():
    source, data = shop()
    (finding,) = of(leaks(source, data, LeaveOneOut()), "note")
    time, (_, test) = data.interactions["time"].to_numpy(), make_cuts(data, LeaveOneOut())
    last = time[test.clock < test.cut].max()
    assert finding.count == (time[(test.clock >= test.cut)] < last).sum() > 0
    assert "no forecast" in finding.advice


def test_a_column_that_says_the_parts():
    def parts(lines):
        basket = np.unique(lines["basket"].to_numpy(), return_inverse=True)[1]
        return pa.array(np.select([basket % 4 == 0, basket % 4 == 1], ["test", "valid"], "train"))

    def doubled(data):
        lines = data.interactions
        repeated = (
            lines.filter(pc.equal(lines["part"], "test"))
            .slice(0, 500)
            .set_column(lines.column_names.index("part"), "part", [["train"] * 500])
        )
        return replace(data, interactions=pa.concat_tables([lines, repeated]), schema=without_basket(data.schema))

    split, part = ByColumn(column="part", valid="valid"), (Column(kind="categorical"), parts)
    for other, read in (("context.channel", "context.part"), ("history.item", "history.part")):
        (finding,) = of(leaks(*shop(part=part), split, (other, read)), "error", "warning")
        assert (finding.level, finding.where) == ("error", read)
        assert finding.what.startswith("says which part")
    assert not of(leaks(*shop(part=part), reads=("context.channel", "context.part")), "error")
    assert not of(leaks(*shop(part=part), split), "error", "warning")
    (finding,) = of(leaks(*shop(doubled, part=part), split), "error", "warning")
    tested = shop(part=part)[1].interactions["part"].to_pylist().count("test")
    assert finding.what.startswith("500 tested interactions are in training too")
    assert finding.what.endswith(f", of {tested:,}")


def _lists(of_row):
    """A column of lists of the interactions, of row number and label."""
    return Column(kind="list"), lambda lines: pa.array(
        [sorted(of_row(*r)) for r in enumerate(lines["gift"].to_pylist())]
    )


def test_lists_that_tell_the_label():
    reads = ("context.channel", "context.same", "context.within", "context.harmless")
    same = _lists(lambda row, gift: ["bow", "card"] if gift else ["bag"])
    within = _lists(lambda row, gift: [f"n{row}", *(["bow"] if gift else [])])
    harmless = _lists(lambda row, gift: [f"n{row % 50}", *(["bow"] if gift and row % 3 else [])])
    findings = {
        f.where: f
        for f in of(leaks(*shop(same=same, within=within, harmless=harmless), reads=reads), "error", "warning")
    }
    assert findings.keys() == {"context.same", "context.within"}
    assert "one value for each" in findings["context.same"].what
    assert findings["context.within"].what == "has 'bow' where the label 'gift' has one value, and nowhere else"
    assert findings["context.within"].level == "error"
