import tomllib
from string import ascii_letters

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtkit.declared import at
from mtkit.recipe.toml_positions import dotted, locate, nested_beyond, split_key


def paths(value, path=()):
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*path, index))


TEXT = '''\
# a comment with [header] and key = 1
title = "not # a comment"  # but this is
[a.b]  # header
"quo.ted" = 'C:\\'
c.d.'e f' = """
x = 1
[no.header]
""\\" ends with two quotes"""""
g = \'\'\'
y = "\'\'\'\'
when = 1979-05-27 07:32:00
list = [ # comment ]
  1, [2,
  3], "]",
  {k = "}", l.m = [
    4]},
]
[[t]]
x = 1
[[t]]
[t.u]
y = {}
[[t.v]]
z = 1
[a]
late = true
"\\u00e9" = 1
'''
LINES = {
    ("title",): 2, ("a",): 25, ("a", "b"): 3, ("a", "b", "quo.ted"): 4, ("a", "b", "c"): 5, ("a", "b", "c", "d"): 5,
    ("a", "b", "c", "d", "e f"): 5, ("a", "b", "g"): 9, ("a", "b", "when"): 11, ("a", "b", "list"): 12,
    ("a", "b", "list", 0): 13, ("a", "b", "list", 1): 13, ("a", "b", "list", 1, 0): 13, ("a", "b", "list", 1, 1): 14,
    ("a", "b", "list", 2): 14, ("a", "b", "list", 3): 15, ("a", "b", "list", 3, "k"): 15,
    ("a", "b", "list", 3, "l"): 15, ("a", "b", "list", 3, "l", "m"): 15, ("a", "b", "list", 3, "l", "m", 0): 16,
    ("t",): 18, ("t", 0): 18, ("t", 0, "x"): 19, ("t", 1): 20, ("t", 1, "u"): 21, ("t", 1, "u", "y"): 22,
    ("t", 1, "v"): 23, ("t", 1, "v", 0): 23, ("t", 1, "v", 0, "z"): 24, ("a", "late"): 26, ("a", "é"): 27,
}  # fmt: skip


def lines(text):
    return {path: text.count("\n", 0, found.key[0]) + 1 for path, found in locate(text).items()}


def plain(values):
    """What two texts of one value have alike: nan is not equal to itself, and line feeds end lines."""
    return repr(values).replace("\\r\\n", "\\n")


def assert_spans_hold_what_tomllib_reads(text):
    """Each span read alone is the key, or the value, that tomllib has at its path."""
    values = tomllib.loads(text)
    for path, (key, value) in locate(text).items():
        part = text[slice(*key)]
        if isinstance(path[-1], str):
            assert list(tomllib.loads(f"{part} = 1")) == [path[-1]]
        if value:
            assert plain(tomllib.loads(f"value = {text[slice(*value)]}")["value"]) == plain(at(values, path))
            assert isinstance(path[-1], str) or key == value


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_form_is_located(newline):
    text = TEXT.replace("\n", newline)
    assert lines(text) == LINES
    assert set(paths(tomllib.loads(TEXT))) == set(LINES)
    assert_spans_hold_what_tomllib_reads(text)


def test_a_part_of_a_key_stands_where_it_is_written():
    text = "[a . 'b c']\nd.e = {f = [10, 'x']}  # 3\n"
    found = {path: (text[slice(*key)], value and text[slice(*value)]) for path, (key, value) in locate(text).items()}
    assert found == {
        ("a",): ("a", None),
        ("a", "b c"): ("'b c'", None),
        ("a", "b c", "d"): ("d", None),
        ("a", "b c", "d", "e"): ("e", "{f = [10, 'x']}"),
        ("a", "b c", "d", "e", "f"): ("f", "[10, 'x']"),
        ("a", "b c", "d", "e", "f", 0): ("10", "10"),
        ("a", "b c", "d", "e", "f", 1): ("'x'", "'x'"),
    }


class Writer:
    """Writes random TOML and notes on which line each path stands."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""
        self.lines = {}

    def put(self, text):
        self.text += text

    def note(self, path, *, implied=False):
        line = self.text.count("\n") + 1
        if implied:
            self.lines.setdefault(path, line)
        else:
            self.lines[path] = line

    def pick(self, *choices):
        return self.draw(st.sampled_from(choices))

    def gap(self):
        self.put(self.pick("", " ", "\n", " # ] } \" '\n"))

    def key(self, name):
        return self.pick(name, f'"{name}"', f"'{name}'")

    def scalar(self):
        self.put(
            self.pick(
                "1", "-2.5e3", "true", "1979-05-27 07:32:00", "07:32:00.5", '"a # b"', "'[x]'", '"\\\\"', '"\\""',
                '"""\nx = 1\n[y]\n"""', '"""a\\"""b"""""', "'''\n'''", "''''a'''''", '""', "''", '"""\\\n  z"""',
            )
        )  # fmt: skip

    def value(self, path, depth, *, inline=False):
        kind = self.pick("scalar", "array", "table") if depth else "scalar"
        if kind == "scalar":
            self.scalar()
        elif kind == "array":
            self.put("[")
            for index in range(self.draw(st.integers(0, 3))):
                self.gap()
                self.note((*path, index))
                self.value((*path, index), depth - 1)
                self.gap()
                self.put(",")
            self.gap()
            self.put("]")
        else:
            self.put("{ ")
            for index, name in enumerate(self.names()):
                self.put(", " if index else "")
                self.pair(path, name, depth - 1)
            self.put("}")

    def names(self):
        return self.draw(st.lists(st.text(ascii_letters, min_size=1, max_size=3), max_size=3, unique=True))

    def pair(self, path, name, depth):
        parts = [name, *(["sub"] if self.pick(True, False) else [])]
        for end in range(1, len(parts)):
            self.note((*path, *parts[:end]), implied=True)
        self.note((*path, *parts))
        self.put(self.pick(".", " . ").join(map(self.key, parts)) + self.pick("=", " = "))
        self.value((*path, *parts), depth)

    def body(self, path, depth):
        for name in self.names():
            self.gap()
            self.pair(path, "k" + name, depth)
            self.put("\n")

    def document(self):
        self.body((), 2)
        for number, name in enumerate(self.names()):
            for index in range(self.pick(0, 1, 2)):
                self.gap()
                path = (f"a{name}{number}", "in")
                self.note(path[:1], implied=True)
                self.note(path, implied=True)
                self.note((*path, index))
                self.put(f"[[ {self.key(path[0])}.in ]]\n")
                self.body((*path, index), 2)
                self.note((*path, index, "deep"))
                self.put(f"[{path[0]}.in.deep]\n")
                self.body((*path, index, "deep"), 1)
        for name in self.names():
            self.gap()
            self.note(("t" + name,), implied=True)
            self.note(("t" + name, "x"))
            self.put(f"[ t{name} . x ] # end\n")
            self.body(("t" + name, "x"), 2)


@given(st.data())
def test_every_path_that_tomllib_yields_is_located_at_its_line(data):
    writer = Writer(data.draw)
    writer.document()
    values = tomllib.loads(writer.text)
    assert set(paths(values)) == set(writer.lines)
    assert lines(writer.text) == writer.lines
    assert_spans_hold_what_tomllib_reads(writer.text)


def test_dotted_quotes_what_is_not_bare():
    assert dotted(("evaluate", "baselines", 1, "half life")) == 'evaluate.baselines[1]."half life"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b-1 = 2", (("a", "b-1"), " = 2")),
        ('a."b=c".d', (("a", "b=c", "d"), "")),
        ("= 2", None),
    ],
)
def test_split_key(text, expected):
    assert split_key(text) == expected


@pytest.mark.parametrize("text", ['"{}"', "'{}'", '"""{}\n{}"""', '"""{}"""""', "'''{}''''", '"\\"{}"'])
def test_brackets_and_dots_in_texts_and_comments_are_not_depth(text):
    value = text.replace("{}", ".[{" * 50)
    document = (
        f'# [[[ a.b\n"a.b.c.d" = {value} # ...\nx = [{", ".join([value] * 9)}] # {{{{{{\n[t.u]\nv = {{w = 1.5}}\n'
    )
    tomllib.loads(document)
    assert nested_beyond(document, 2) == 0
    assert nested_beyond(document, 1) == document.count("\n") - 1


@pytest.mark.parametrize(
    ("text", "deepest"), [("a.b.c = 1", 2), ("a = {b = {c.d = [1]}}", 4), ("a = [[], {b = 1}, [\n[]\n]]", 3)]
)
def test_depth_is_of_keys_tables_and_arrays(text, deepest):
    assert nested_beyond(f"\n{text}", deepest) == 0
    assert nested_beyond(f"\n{text}", deepest - 1) >= 2
