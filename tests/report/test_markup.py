from mtkit.report.markup import Html, clipped, details, el, slug, table


def test_texts_and_attributes_are_escaped():
    evil = '<script>alert("1")</script>'
    made = el("p", evil, [evil, None, 3], title=evil)
    assert "<script" not in made
    assert made.count("&lt;script&gt;") == 3
    assert el("b", Html("<i>x</i>")) == "<b><i>x</i></b>"
    assert (
        el("td", "x", class_="n", open=False, aria_label="y", hidden=True)
        == '<td class="n" aria-label="y" hidden>x</td>'
    )


def test_a_table_has_heads_and_is_reached_by_keyboard():
    made = table("Figures <of> it", ("name", "value"), [("<a>", 1), ("b", 2)], numbers=(1,))
    assert made.count("<th ") == 4
    assert made.count('scope="row"') == 2
    assert 'tabindex="0"' in made
    assert 'aria-label="Figures &lt;of&gt; it"' in made
    assert "&lt;a&gt;" in made
    assert table("Nothing", ("name",), []) is None
    assert details("more", None) is None


def test_names_of_places_and_long_texts():
    assert slug("weak", "Two Tower/é") == "weak-two-tower"
    assert clipped("a\n\tb\x1b" + "c" * 200, 10) == "a b\\u001b…"
