from datetime import timedelta

import pytest

from mtkit.recipe.column_checks import not_a_feature
from mtkit.recipe.past_checks import unfit_pasts
from mtkit.schema import Address, Column, Schema
from mtkit.spec import Encoder, Neighborhood, Where
from mtkit.standard.past_encoders import History

SCHEMA = Schema(
    interactions={
        "user": Column(kind="id", entity="user"),
        "product": Column(kind="id", entity="item"),
        "when": Column(kind="time"),
        "event": Column(kind="categorical"),
        "price": Column(kind="numeric"),
        "age": Column(kind="numeric"),
        "item": Column(kind="categorical"),
        "item_ids": Column(kind="categorical"),
        "note": Column(kind="text"),
        "tags": Column(kind="list"),
        "counts": Column(kind="weight"),
        "cheap": Column(kind="label", sources=("price",)),
        "payment": Column(kind="label", classes=True),
        "kinds": Column(kind="label", multi_label=True),
        "back": Column(kind="label", horizon=timedelta(days=5), sources=("gone",)),
        "gone": Column(kind="numeric"),
    },
    entities={"user": {"trusts": Column(kind="list"), "town": Column(kind="categorical")}, "item": {}},
)


class Around(Encoder):
    """Reads the graph of past events."""

    edges: tuple[Where, ...] = ()
    friends: str | None = None

    @property
    def neighborhood(self):
        return Neighborhood("acting", (3,), self.edges, self.friends)


def test_what_is_known_of_past_events():
    found = {address: column.kind for address, column in SCHEMA.features().items() if address.scope == "history"}
    assert found == {
        "history.item": "id",
        "history.event": "categorical",
        "history.price": "numeric",
        "history.cheap": "numeric",
        "history.payment": "categorical",
    }


def test_rows_that_stand_for_themselves_have_no_past():
    schema = Schema(interactions={"event": Column(kind="categorical")}, entities={})
    assert set(schema.features()) == {"context.event"}


def found(reads=("history.item",), where=None):
    encoders = {"past": History(reads=reads, where=where)}
    return [(path[2:], message) for path, message in unfit_pasts({}, encoders, SCHEMA)]


def test_what_fits():
    assert not found(("history.item", "history.event", "history.cheap"), {"event": "buy", "note": "x", "cheap": 1})
    assert not list(unfit_pasts({"rows": None}, {"past": None}, SCHEMA))


@pytest.mark.parametrize(("reads", "index"), [(("history.event",), 0), (("history.event", "history.item"), 0)])
def test_columns_are_read_of_a_past(reads, index):
    ((path, message),) = found(reads)
    assert path == ("reads", index)
    assert message == "history.event is read of the events of 'history.item'; name that before it"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("back", "'back' looks ahead: it is not known when the event happens"),
        ("gone", "'gone' is a source of label 'back', which looks ahead: it is not known when the event happens"),
        ("age", "every past has 'age' as something else; give the column another name"),
        ("item_ids", "every past has 'item_ids' as something else; give the column another name"),
    ],
)
def test_conditions_ask_for_what_is_known_of_a_past(column, message):
    assert found(where={"event": "buy", column: 1}) == [(("where",), message)]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("history.event", ""),
        ("history.back", "'back' looks ahead: it is not known when the event happens"),
        ("history.gone", "'gone' is a source of label 'back', which looks ahead"),
        ("history.age", "every past has 'age' as something else; give the column another name"),
        ("history.note", "history.note is declared as text, which no encoder reads here"),
        ("history.tags", "history.tags is declared as list, which no encoder reads here"),
        ("history.counts", "history.counts is a weight: it says what a row counts, and cannot be a feature"),
        ("history.kinds", "history.kinds is label 'kinds', and cannot be a feature"),
        ("history.evnt", "no feature is called 'history.evnt'; did you mean 'history.event'?"),
        ("context.price", "context.price is a source of label 'cheap', and cannot be a feature"),
    ],
)
def test_why_a_column_cannot_be_read_of_past_events(address, message):
    found = not_a_feature(Address(address), SCHEMA)
    assert found.startswith(message)
    assert bool(found) == bool(message)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"edges": [{"event": "buy"}, {"cheap": 1}], "friends": "trusts"}, []),
        (
            {"edges": [{"event": "buy"}, {"gone": 1}]},
            [
                (
                    "edges",
                    "'gone' is a source of label 'back', which looks ahead: it is not known when the event happens",
                )
            ],
        ),
        (
            {"friends": "town"},
            [("friends", "the user has no column of lists 'town'; known: trusts")],
        ),
    ],
)
def test_graphs_are_of_what_is_known_of_a_past(options, expected):
    encoders = {"graph": Around(reads=("history.item",), **options)}
    found = [(path[2], message) for path, message in unfit_pasts({}, encoders, SCHEMA)]
    assert found == expected
