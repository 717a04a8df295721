"""Faults of texts and lists, planted into a clean log."""

import pytest

ROWS = 6000
LETTERS = "caf\u00e9 na\u00efve \u2013 \u201equoted\u201c"


def test_clean_texts(clean, found):
    assert [str(one) for code in range(27, 33) for one in found(f"P{code:03}", clean)] == []


def test_missing_texts(clean, with_column, found):
    for blank, severity in ((600, "note"), (3600, "warning")):
        data = with_column(clean, "interactions.comment", lambda texts, n=blank: [None, " "] * (n // 2) + texts[n:])
        assert [(one.where, one.count, one.severity) for one in found("P027", data)] == [
            ("interactions.comment", blank, severity)
        ]


def test_standard_texts(clean, with_column, found):
    data = with_column(clean, "interactions.comment", lambda texts: ["no comment"] * 400 + texts[400:])
    (standard,) = found("P028", data)
    assert (standard.where, standard.count, standard.examples) == ("interactions.comment", 400, ("'no comment' (400)",))


def test_long_texts(clean, with_column, found):
    data = with_column(clean, "item.title", lambda titles: ["word " * 2000, *titles[1:]])
    (long,) = found("P029", data)
    assert (long.where, long.count, long.detail) == ("item.title", 1, "the longest has 10,000 characters")
    assert all(len(example) <= 80 for example in long.examples)


@pytest.mark.parametrize("wrong", [LETTERS.encode().decode("latin-1"), "caf\ufffd", "\u00d0\u00b4\u00d0\u00b0"])
def test_wrong_encoding(clean, with_column, found, wrong):
    data = with_column(clean, "item.title", lambda titles: [LETTERS, "S\u00c3O PAULO", *titles[2:]])
    assert found("P030", data) == []
    data = with_column(data, "item.title", lambda titles: [*titles[:-1], wrong])
    assert [(one.where, one.count) for one in found("P030", data)] == [("item.title", 1)]


@pytest.mark.parametrize("left", ['5\\" nails', "bread &amp; butter", "<p>new</p>", "line<br/>break"])
def test_left_escapes(clean, with_column, found, left):
    data = with_column(clean, "item.title", lambda titles: [left, "a < b & c > d", *titles[2:]])
    (escaped,) = found("P031", data)
    assert (escaped.where, escaped.count, escaped.examples) == ("item.title", 1, (repr(left),))


def test_long_lists(clean, with_column, found):
    for rows, severity in ((3, "note"), (30, "warning")):
        data = with_column(clean, "item.tags", lambda tags, n=rows: [list("abcdef")] * n + tags[n:])
        assert [(one.where, one.count, one.severity) for one in found("P032", data)] == [("item.tags", rows, severity)]
