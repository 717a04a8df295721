import json

import pytest

from mtkit.errors import DataError
from mtkit.shown import counted, escaped, hide, redacted, shown, shown_line, shown_values

RED, C1, TURNED = "\x1b[31mred", "\x9b2J", "\u202egnp.exe"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(RED, r"\u001b[31mred"), (C1, r"\u009b2J"), (TURNED, r"\u202egnp.exe"), ("\r\ud800", r"\u000d\ud800")],
)
def test_control_characters_are_escaped(text, expected):
    assert shown(text) == shown_line(text) == expected
    assert str(DataError(f"no user {text}")) == f"no user {expected}"


def test_lines_stay_in_messages_and_not_in_values():
    assert shown("a\n\tb 牛奶 é") == "a\n\tb 牛奶 é"
    assert shown_line("a\n\tb") == r"a\u000a\u0009b"


def test_json_stays_json():
    text = json.dumps({"a": C1 + TURNED + 'quote " \\'}, indent=2, ensure_ascii=False)
    assert json.loads(escaped(text)) == json.loads(text)
    assert escaped(text).isprintable() is False  # its line breaks
    assert escaped(text).replace("\n", "").isprintable()


@pytest.mark.parametrize("secret", ["tiny", "s3cr3t-t0ken", "with 'quotes\" and \\", "kühl/schrank", "two\nlines here"])
def test_values_from_the_environment_are_references(secret):
    hide({secret: "${env:X}"})
    forms = secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], f"{secret}/", f"a {secret}, b"
    for form in forms:
        assert secret not in shown(form)
        assert "${env:X}" in shown(form)
    assert str(DataError(f"{secret}: no such file")) == "${env:X}: no such file"


def test_paths_are_hidden_as_they_are_normalized():
    hide({"https://user:word@host": "${env:X}"})
    assert shown("/recipes/https:/user:word@host: no such file") == "/recipes/${env:X}: no such file"


def test_long_values_are_hidden_within_words_and_short_ones_are_not():
    hide({"s3cr3t-t0ken": "${env:LONG}", "tiny": "${env:SHORT}", "1": "${env:ONE}", "2048": "${env:NUMBER}"})
    assert shown("xs3cr3t-t0kenx tiny destiny 1 of 2048") == "x${env:LONG}x ${env:SHORT} destiny 1 of 2048"


def test_the_longest_value_goes_first():
    assert redacted("a/b c", {"a": "A", "a/b": "AB", "": "no"}) == "AB c"


def test_texts_in_values_are_references_and_keys_are_names():
    hide({"s3cr3t-t0ken": "${env:X}"})
    value = {"s3cr3t-t0ken": ("s3cr3t-t0ken: read", 0.5), "deep": [{"a": None, "b": True}]}
    assert shown_values(value) == {"s3cr3t-t0ken": ["${env:X}: read", 0.5], "deep": [{"a": None, "b": True}]}


def test_counts_are_one_or_several():
    assert [counted(number, "row") for number in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]
    assert [counted(number, "is", "are") for number in (1, 2)] == ["1 is", "2 are"]
