from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mtkit.data.catalogs import log_of, make_cuts, make_fold
from mtkit.errors import DataError, DeclarationError
from mtkit.schema import Column
from mtkit.spec import Cut, Log
from mtkit.standard.rows import EntityRows, Interactions, SampledNegatives, Windows
from mtkit.standard.splits import ByColumn, LeaveOneOut, Random, Rolling, Time, TimeShares, UserStratified


@pytest.fixture
def shop(make_shop):
    """The shop of seed 0, of which a column says the part of every basket."""
    return with_column(make_shop(), "part", ["test", "valid", *["train"] * 5])


def with_column(data, name, values):
    """The data with a column of the interactions that gives the values to baskets in turn."""
    given = pa.array([values[basket % len(values)] for basket in data.interactions["basket"].to_pylist()])
    columns = {**data.schema.interactions, name: Column(kind="categorical")}
    schema = data.schema.model_copy(update={"interactions": columns})
    return replace(data, interactions=data.interactions.append_column(name, given), schema=schema)


def at(times):
    return Log(None, np.arange(len(times)), times)


def seconds(*texts):
    return np.array(texts, dtype="datetime64[s]").astype(np.int64)


TIMES = seconds("2017-10-31T23:59:59", "2017-11-01T00:00:00", "2017-12-05T10:00:00")
VALID, TEST, END = seconds("2017-11-01", "2017-12-01", "2017-12-31").tolist()


def test_cuts_at_midnight_utc_and_ends_after_the_last():
    split = Time.model_validate_json('{"valid": "2017-11-01", "test": "2017-12-01"}', strict=True)
    assert split.cuts(at(TIMES)) == (
        Cut("valid", VALID, TEST, about="2017-11-01 to 2017-12-01"),
        Cut("test", TEST, TIMES[-1] + 1, about="2017-12-01 to 2017-12-05"),
    )


def test_an_end_may_be_given():
    split = Time(valid=date(2017, 11, 1), test=date(2017, 12, 1), end=date(2017, 12, 31))
    assert split.cuts(at(TIMES))[1] == Cut("test", TEST, END, about="2017-12-01 to 2017-12-31")


@pytest.mark.parametrize(
    ("part", "days"),
    [
        ("training", ("2017-10-01", "2017-11-15", None)),
        ("validation", ("2017-11-02", "2017-12-01", None)),
        ("test", ("2017-11-01", "2018-12-01", None)),
        ("test", ("2017-11-01", "2017-12-01", "2017-12-05")),
    ],
)
def test_names_the_part_that_is_empty(part, days):
    split = Time(**dict(zip(("valid", "test", "end"), days, strict=True)))
    with pytest.raises(
        DataError, match=f"the {part} part is empty: .* interactions are from 2017-10-31 23:59:59 to 2017"
    ):
        split.cuts(at(TIMES))


def test_no_interactions():
    with pytest.raises(DataError, match="there are no interactions"):
        Time(valid="2017-11-01", test="2017-12-01").cuts(at(TIMES[:0]))


@pytest.mark.parametrize("days", [("2017-12-01", "2017-11-01", None), ("2017-11-01", "2017-12-01", "2017-12-01")])
def test_days_must_be_in_order(days):
    with pytest.raises(DeclarationError, match="expected valid < test < end, got"):
        Time(**dict(zip(("valid", "test", "end"), days, strict=True)))


DRAWN = [
    Random(), Random(by="user", valid=0.2, test=0.2), UserStratified(valid=0.2, test=0.2), Random(seed=5, refit=False)
]  # fmt: skip
SPLITS = [
    Time(valid="1970-02-20", test="1970-03-10"), Time(valid="1970-02-20", test="1970-03-10", refit=False),
    TimeShares(valid=0.2, test=0.3), TimeShares(refit=False),
    Rolling(length="10d"), Rolling(length="10d", fold=1, refit=False),
    LeaveOneOut(), LeaveOneOut(count=2, refit=False), *DRAWN, UserStratified(refit=False),
    ByColumn(column="part", valid="valid"), ByColumn(column="part", valid="valid", refit=False),
]  # fmt: skip


def numbered(data):
    """The data with the number of each interaction in the place of its price."""
    numbers = pa.array(np.arange(len(data.interactions), dtype=float))
    return replace(data, interactions=data.interactions.set_column(5, "price", numbers))


def folds(data, split):
    return [make_fold(data, cut, {"user": 0, "item": 0}) for cut in make_cuts(data, split)]


def trained(fold):
    return fold.events.columns["price"].to_numpy()[fold.events.time < fold.fit].astype(int)


def evaluated(fold):
    return fold.events.columns["price"].to_numpy()[fold.events.time >= fold.cut].astype(int)


@pytest.mark.parametrize("split", SPLITS, ids=repr)
def test_nothing_that_is_evaluated_is_known_before(shop, split):
    data = numbered(shop)
    valid, test = folds(data, split)
    for fold in (valid, test):
        assert set(trained(fold)).isdisjoint(evaluated(fold))
        table = Interactions(batch_size=1).make(fold, "eval")
        numbers = fold.events.columns["price"].to_numpy().astype(int)
        for begin, end in table.history:
            assert set(numbers[begin:end]).isdisjoint(evaluated(test) if fold is valid else ())
    assert set(trained(valid)).isdisjoint(evaluated(test))
    assert set(evaluated(valid)).isdisjoint(evaluated(test))
    assert len(trained(valid))
    whole = set(trained(valid)) | set(evaluated(valid))
    assert set(trained(test)) == (whole if split.refit else set(trained(valid)))


@pytest.mark.parametrize("split", [split for split in SPLITS if not split.refit], ids=repr)
def test_without_refit_the_rows_of_training_are_those_of_validation(shop, split):
    valid, test = folds(shop, split)
    assert (valid.trained, test.trained) == ("valid", "valid")
    for spec in (
        Interactions(batch_size=1, sample=40),
        Windows(batch_size=1, length="5d", count=3),
        SampledNegatives(batch_size=1),
    ):
        one, other = spec.make(valid, "train"), spec.make(test, "train")
        for entity, ids in one.ids.items():
            np.testing.assert_array_equal(ids, other.ids[entity])
        np.testing.assert_array_equal(one.time, other.time)
        np.testing.assert_array_equal(np.diff(one.history), np.diff(other.history))
        assert one.classes == other.classes
    evaluated = [EntityRows(batch_size=1, holdout_by="text", holdout=0.3).make(f, "eval") for f in (valid, test)]
    rest = EntityRows(batch_size=1, holdout_by="text", holdout=0.3).make(test, "train")
    assert not set(rest.ids["item"]) & {int(i) for table in evaluated for i in table.ids["item"]}


@pytest.mark.parametrize("refit", [True, False])
def test_without_refit_only_training_is_known(shop, refit):
    split = Time(valid="1970-02-20", test="1970-03-10", refit=refit)
    columns = shop.interactions.to_pydict()
    new = [when // 86400 >= 50 for when in columns["when"]]
    columns["payment"] = ["check" if late else paid for late, paid in zip(new, columns["payment"], strict=True)]
    columns["product"] = [
        "p19" if late else item.replace("9", "8") for late, item in zip(new, columns["product"], strict=True)
    ]
    data = replace(shop, interactions=pa.table(columns))
    test = make_fold(data, make_cuts(data, split)[1], {"item": 0})
    assert ("check" in Interactions(batch_size=1).make(test, "eval").classes["payment"]) == refit
    if refit:
        assert "p19" in make_fold(data, make_cuts(data, split)[1], {}).entities["item"].ids
    else:
        with pytest.raises(DataError, match="nothing to evaluate"):
            make_fold(data, make_cuts(data, split)[1], {})


@pytest.mark.parametrize("split", [LeaveOneOut(), *DRAWN, ByColumn(column="part", valid="valid")], ids=repr)
def test_baskets_stay_together(shop, split):
    for fold in folds(shop, split):
        late = pd.Series(fold.events.time >= fold.cut)
        assert late.groupby(fold.events.group).mean().isin([0, 1]).all()


def test_the_last_basket_of_each_user_is_tested_on(shop):
    data = numbered(shop)
    valid, test = folds(data, LeaveOneOut())
    frame = shop.interactions.to_pandas()
    frame["begin"] = frame.groupby(["customer", "basket"])["when"].transform("min")
    rank = frame.groupby("customer")["begin"].rank(method="dense", ascending=False)
    size = frame.groupby("customer")["begin"].transform("nunique")
    assert sorted(evaluated(test)) == np.flatnonzero((rank == 1) & (size > 1)).tolist()
    assert sorted(evaluated(valid)) == np.flatnonzero((rank == 2) & (size > 2)).tolist()
    row = Windows(batch_size=1).make(test, "eval")
    assert len(row) == len(frame[rank > 1].groupby("customer"))
    past = frame[(rank > 1)].groupby("customer").size()
    users = test.entities["user"].ids[row.ids["user"]]
    assert np.diff(row.history)[:, 0].tolist() == past[users].tolist()


def test_users_that_are_drawn_have_no_past(shop):
    _, test = folds(shop, Random(by="user", test=0.3))
    late = test.events.time >= test.cut
    users = test.events.ids["user"]
    assert set(users[late]).isdisjoint(users[~late])
    assert len(set(users[late])) == 3
    with pytest.raises(DataError, match=r"fold 'test' has nothing to evaluate.*user not in the catalog.*min_count"):
        make_fold(shop, make_cuts(shop, Random(by="user", test=0.3))[1], {"item": 0})


def test_a_random_window_is_a_share_of_what_is_known(make_shop):
    _, test = folds(make_shop(users=40, baskets=3000), UserStratified(valid=0.1, test=0.1))
    known = (test.events.time < test.cut).sum()
    recent = Interactions(batch_size=1, since="10d").make(test, "train")
    assert abs(len(recent) / known - 0.1) < 0.02


def test_folds_roll(shop):
    split = Rolling(length="10d", folds=3, stride="5d", end="1970-04-01")
    cuts = [make_cuts(shop, fold) for fold in split.each()]
    assert [fold.fold for fold in split.each()] == [1, 2, 3]
    days = [[(cut.cut // 86400, cut.end // 86400) for cut in pair] for pair in cuts]
    assert days == [[(60, 70), (70, 80)], [(65, 75), (75, 85)], [(70, 80), (80, 90)]]
    assert make_cuts(shop, split) == cuts[2]
    assert Time(valid="1970-02-20", test="1970-03-10").each() == (Time(valid="1970-02-20", test="1970-03-10"),)
    with pytest.raises(DeclarationError, match="expected a fold of 1 to 3, got 4"):
        Rolling(fold=4)


def test_shares_are_of_interactions_in_the_order_of_time():
    times = np.random.default_rng(0).permutation(100)
    valid, test = TimeShares(valid=0.08, test=0.2).cuts(at(times))
    assert [(cut.cut, cut.end) for cut in (valid, test)] == [(72, 80), (80, 100)]
    # What is of one second is on one side.
    valid, test = TimeShares(valid=0.1, test=0.1).cuts(at(np.repeat(np.arange(10), 7)))
    assert [(cut.cut, cut.end) for cut in (valid, test)] == [(8, 9), (9, 10)]
    with pytest.raises(DataError, match="the training part is empty"):
        TimeShares(valid=0.4, test=0.5).cuts(at(np.zeros(5, int)))
    with pytest.raises(DataError, match="the training part is empty: there are no interactions"):
        TimeShares().cuts(at(TIMES[:0]))


@pytest.mark.parametrize(
    ("split", "log", "message"),
    [
        (TimeShares(), Log(None, np.arange(5), None), "needs times.*use random"),
        (Time(valid="2017-11-01", test="2017-12-01"), Log(None, np.arange(5), None), "needs times.*use random"),
        (LeaveOneOut(), Log(np.zeros(5, int), np.arange(5), None), "needs times"),
        (LeaveOneOut(), at(TIMES), "needs users"),
        (UserStratified(), at(TIMES), "needs users.*random"),
        (Random(by="user"), at(TIMES), "needs users"),
        (LeaveOneOut(), Log(np.arange(3), np.arange(3), TIMES), "validation part is empty: users have too few"),
        (Random(), Log(None, np.arange(2), None), "the validation part is empty: 2 interactions are too few"),
    ],
)
def test_data_that_lack_something(split, log, message):
    with pytest.raises(DataError, match=message):
        split.cuts(log)


def test_shares_leave_something_to_train_on():
    with pytest.raises(DeclarationError, match=r"expected valid \+ test < 1, got 0\.5 \+ 0\.5"):
        Random(valid=0.5, test=0.5)


def values_of(fold, part):
    late = fold.events.time >= fold.cut
    return set(
        fold.events.columns.filter(pa.array(late if part == "eval" else fold.events.time < fold.fit))[
            "part"
        ].to_pylist()
    )


def test_a_column_says_the_parts(shop):
    split = ByColumn.model_validate_json('{"column": "part", "valid": "valid"}', strict=True)
    valid, test = folds(shop, split)
    assert (values_of(valid, "train"), values_of(valid, "eval")) == ({"train"}, {"valid"})
    assert (values_of(test, "train"), values_of(test, "eval")) == ({"train", "valid"}, {"test"})
    parts = shop.interactions["part"].to_pylist()
    assert len(evaluated(numbered_fold := folds(numbered(shop), split)[1])) == parts.count("test")
    assert [parts[number] for number in evaluated(numbered_fold)] == ["test"] * parts.count("test")
    assert make_cuts(shop, split)[1].about == "part = test"


def test_past_moments_of_a_user_keep_their_distances(shop):
    cut = make_cuts(shop, ByColumn(column="part", valid="valid"))[1]
    frame = shop.interactions.to_pandas().assign(clock=cut.clock)
    for _, own in frame.groupby("customer"):
        tested = own[own["part"] == "test"]
        if len(tested):
            before = own[(own["part"] != "test") & (own["when"] < tested["when"].min())]
            assert (cut.cut - before["clock"] == tested["when"].min() - before["when"]).all()
            assert (own.loc[own["part"] != "test", "clock"] < cut.cut).all()


def test_validation_is_drawn_where_none_is_published(make_shop):
    data = with_column(make_shop(baskets=600), "fold", ["a", "a", "a", "b"])
    split = ByColumn(column="fold", train="a", test="b", valid=0.2)
    (valid, test), log = make_cuts(data, split), log_of(data, split.reads)
    part = np.select([valid.clock < valid.cut, valid.clock < valid.end], ["train", "valid"], "test")
    assert (log.columns["fold"][part == "test"] == "b").all()
    assert (log.columns["fold"][part != "test"] == "a").all()
    baskets = pd.Series(part).groupby(log.group)
    assert baskets.nunique().eq(1).all()
    assert (baskets.first() == "valid").sum() == 0.2 * (baskets.first() != "test").sum()
    assert valid.about == "20% of training, drawn"
    assert (test.clock[part != "test"] < test.cut).all()
    again, other = (make_cuts(data, split.model_copy(update={"seed": seed}))[0].clock for seed in (0, 1))
    assert (again == valid.clock).all()
    assert (other != valid.clock).any()


def test_rows_that_stand_for_themselves_have_a_published_test():
    parts = np.array(["train"] * 40 + ["test"] * 10, object)
    log = Log(None, np.arange(50), None, {"part": parts})
    valid, test = ByColumn(column="part").cuts(log)
    assert (test.clock >= test.cut).tolist() == [False] * 40 + [True] * 10
    assert ((valid.clock >= valid.cut) & (valid.clock < valid.end)).sum() == 4
    assert len(set(valid.clock[:40])) > 30


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["train", "test", None], r"part: 1 value is none of 'train', 'test', such as null"),
        (["train", "test", "dev"], "such as 'dev'; name each part's"),
        (["train"] * 20, "the test part is empty: part has the values 'train'"),
        (["train", "test"], "the validation part is empty: part has the values 'test', 'train'"),
    ],
)
def test_columns_that_do_not_say_the_parts(values, message):
    log = Log(None, np.arange(len(values)), None, {"part": np.array(values, object)})
    with pytest.raises(DataError, match=message):
        ByColumn(column="part").cuts(log)


def test_parts_need_values_of_their_own():
    with pytest.raises(DeclarationError, match="expected a value for each part, got 'a', 'a'"):
        ByColumn(column="part", train="a", test="a")
    with pytest.raises(DeclarationError, match=r"valid: expected a number above 0 and below 1 or text, got 1\.5"):
        ByColumn(column="part", valid=1.5)


def test_hours_are_periods_with_their_times():
    log = Log(time=np.arange(0, 100 * 3600, 1800), user=None, group=np.arange(200))
    valid, test = Rolling.model_validate({"length": "12h", "folds": 2}).cuts(log)
    assert (valid.end - valid.cut, test.end - test.cut) == (12 * 3600, 12 * 3600)
    assert test.about == "1970-01-04 15:30:01 to 1970-01-05 03:30:01"
