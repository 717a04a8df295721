"""The kit has to be able to fail: each test gives it a component with one defect."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import Field

from mtkit.schema import Column
from mtkit.spec import DataSource
from mtkit.standard.rows import EntityRows, Interactions, SampledNegatives, Windows
from mtkit.standard.splits import ByColumn, LeaveOneOut, Random, Rolling, Time, UserStratified
from mtkit.testing import check_data_source, check_rows, check_spec, check_split, sample_data

SPLITS = [
    Time(valid="1970-03-01", test="1970-03-20"), Rolling(length="10d"), LeaveOneOut(), Random(), Random(by="user"),
    UserStratified(),
]  # fmt: skip


@pytest.mark.parametrize("split", SPLITS, ids=repr)
def test_splits(split):
    check_spec(split)
    check_split(split)


def test_splits_by_a_column():
    check_split(ByColumn(column="part", valid="valid"), seeded=False)
    data = sample_data()
    parts = pa.array([part.replace("valid", "train") for part in data.interactions["part"].to_pylist()])
    column = data.interactions.column_names.index("part")
    check_split(
        ByColumn(column="part"), replace(data, interactions=data.interactions.set_column(column, "part", parts))
    )


class Overlapping(Random):
    """Tests on what is known, too."""

    def cuts(self, log):
        valid, test = super().cuts(log)
        clock = valid.clock.copy()
        clock[np.flatnonzero(test.clock >= test.cut)[0]] = 0
        return replace(valid, clock=clock), test


class OfTheFuture(Time):
    """Validates after the test."""

    def cuts(self, log):
        valid, test = super().cuts(log)
        return replace(test, name="valid"), replace(valid, name="test")


class Restless(Random):
    """Draws anew each time."""

    def cuts(self, log):
        return self.model_copy(update={"seed": int(np.random.default_rng().integers(1 << 30))})._cuts(log)

    def _cuts(self, log):
        return super().cuts(log)


class Stubborn(Random):
    """Draws the same whatever the seed."""

    def cuts(self, log):
        return Random(refit=self.refit).cuts(log)


class Silent(Random):
    """Does not say what it evaluates."""

    def cuts(self, log):
        return tuple(replace(cut, about="") for cut in super().cuts(log))


class AlwaysAnew(Random):
    """Trains anew, asked or not."""

    def cuts(self, log):
        return Random(seed=self.seed).cuts(log)


class Forgetful(Random):
    """Never trains on what validated."""

    def cuts(self, log):
        return Random(seed=self.seed, refit=False).cuts(log)


class Empty(Random):
    """Tests on nothing."""

    def cuts(self, log):
        valid, test = super().cuts(log)
        return valid, replace(test, clock=np.minimum(test.clock, test.cut - 1))


class Endless(Random):
    """Each of its folds has folds."""

    def each(self):
        return self, self


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Overlapping(), "what is tested is known, or evaluated, in validation"),
        (OfTheFuture(valid="1970-03-01", test="1970-03-20"), "what is tested is known, or evaluated, in validation"),
        (Restless(), "does not divide the same twice"),
        (Stubborn(), "another seed than 0 draws the same"),
        (Silent(), "valid does not say what it evaluates"),
        (AlwaysAnew(), "without refit the test is trained on more than validation"),
        (Forgetful(), "the test is not trained on all that it should be"),
        (Empty(), "the test part is empty"),
        (Endless(), r"each\(\) of one fold has 2"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_split_with_a_defect(split, message):
    with pytest.raises(AssertionError, match=message):
        check_split(split)


ROWS = [
    Interactions(batch_size=8), Interactions(batch_size=8, since="20d", sample=50, eval_sample=30),
    SampledNegatives(batch_size=8), Windows(batch_size=8, length="10d", count=3),
    EntityRows(batch_size=8, holdout_by="category"),
]  # fmt: skip


@pytest.mark.parametrize("rows", ROWS, ids=repr)
def test_rows(rows):
    check_spec(rows)
    check_rows(rows)


def changed(**changes):
    """Interactions whose table is made and then changed by functions of the table and the fold."""

    class Changed(Interactions):
        """Rows with a defect."""

        def make(self, fold, part):
            table = super().make(fold, part)
            return replace(table, **{name: change(table, fold) for name, change in changes.items()})

    return Changed(batch_size=8)


def popular(table, fold):
    """Items by how often they occur in all events, the evaluated ones included."""
    return {"n": np.bincount(fold.events.ids["item"])[table.ids["item"]]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed(note=lambda t, f: ""), "do not say what they are"),
        (changed(ids=lambda t, f: {"item": t.ids["item"] + 99}), "ids of item that its catalog does not have"),
        (changed(ids=lambda t, f: {"item": t.ids["item"].astype(float)}), "expected ids int32"),
        (changed(weights=lambda t, f: {}), "label without weight"),
        (changed(labels=lambda t, f: {"liked": t.labels["liked"] * np.nan}), "label liked is not finite"),
        (changed(weights=lambda t, f: {"liked": -t.weights["liked"]}), "or negative"),
        (changed(history=lambda t, f: t.history + 1), "the past"),
        (changed(history=lambda t, f: np.stack([t.history[:, 0], t.history[:, 1] + 1], 1)), "the past"),
        (changed(time=lambda t, f: t.time[::-1] * 0 + f.cut - 1), "at another time"),
        (changed(context=lambda t, f: {"n": np.random.default_rng().random(len(t))}), "made again: context n differ"),
        (changed(context=popular), "training rows with less to evaluate: context n differ"),
    ],
)  # fmt: skip
def test_rows_with_a_defect(rows, message):
    with pytest.raises(AssertionError, match=message):
        check_rows(rows)


class Source(DataSource):
    """The sample data."""

    seeds: list[int] = Field([0], description="of the data, one for each time they are loaded")
    more: dict[str, Column] = Field({}, description="more columns of users")

    def schema(self):
        schema = sample_data().schema
        return schema.model_copy(update={"entities": {**schema.entities, "user": self.more}}) if self.more else schema

    def load(self):
        seed = self.seeds.pop() if len(self.seeds) > 1 else self.seeds[0]
        return replace(sample_data(seed), schema=self.schema() if "age" in self.more else sample_data().schema)


def test_data_source():
    check_data_source(Source())
    for source, message in (
        (Source(seeds=[0, 1]), "interactions differ when they are loaded again"),
        (Source(more={"age": Column(kind="numeric")}), r"do not fit their schema: user\.age: declared"),
        (Source(more={"town": Column(kind="text")}), r"schema\(\) declares"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_data_source(source)
