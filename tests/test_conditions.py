import pytest
from pydantic import BaseModel, ValidationError

from mtkit.conditions import Where, as_text, where_fields, where_lists


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"event": "buy"}, "event = buy"),
        ({"event": ["buy", "cart"]}, "event in (buy, cart)"),
        ({"liked": True}, "liked = true"),
        ({"rating": {"at_least": 4, "below": 5}}, "rating >= 4 and rating < 5"),
        ({"event": {"none_of": ["view"]}, "price": {"null": False}}, "event != view and price is not null"),
        ([{"event": "buy"}, {"liked": 1}], "(event = buy) or (liked = 1)"),
    ],
)
def test_conditions_say_what_they_mean_and_are_written_as_given(given, words):
    where = Where.model_validate(given)
    assert where.in_words() == words
    assert Where.model_validate(where.model_dump(mode="json")) == where
    assert where.columns == tuple(dict.fromkeys(name for table in where.root for name in table))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("buy", "the name of a table"),
        ({}, "expected a table of columns"),
        ([], "expected a table of columns"),
        ({"event": {}}, "asks nothing"),
        ({"event": {"atleast": 3}}, "Extra inputs"),
        ({"price": {"at_least": "3"}}, "valid number"),
        ({"price": {"null": True, "above": 3}}, "what is null has no value"),
    ],
)
def test_what_is_no_condition_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        Where.model_validate(given)


def test_values_are_compared_as_columns_hold_them():
    assert [as_text(value) for value in (True, 4, 4.0, 4.5, "a")] == ["true", "4", "4", "4.5", "a"]


def test_fields_that_are_conditions_and_lists_of_them_are_told_apart():
    class Model(BaseModel):
        one: Where
        maybe: Where | None = None
        several: tuple[Where, ...] = ()
        other: tuple[str, ...] = ()

    assert where_fields(Model) == ("one", "maybe")
    assert where_lists(Model) == ("several",)
