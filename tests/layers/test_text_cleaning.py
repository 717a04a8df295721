import html
import unicodedata

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.layers.text_cleaning import CleanText
from mtkit.testing import check_layer_config


@pytest.fixture(scope="module")
def cleaned():
    """Texts, cleaned by a layer with options; layers have tables, and are made once."""
    made = {}

    def clean(texts, **options):
        layer = made.setdefault(tuple(options.items()), None) or CleanText(**options)
        made[tuple(options.items())] = layer
        return [text.decode() for text in layer(tf.constant(list(texts))).numpy()]

    return clean


def test_by_hand(cleaned):
    texts = [
        "<p class='a'>Fish &amp; Chips</p><br/>\n\n a < b &lt;i&gt; <!-- no\nmore -->ok",
        "<script>if (a<b) { x }</script>see <STYLE type=x>p {}</STYLE>https://x.org/a?b=1&amp;c, or WWW.example.com!",
        "caf\u0065\u0301 \uff26\uff55\uff4c\uff4c \ufb01n \u00a0\u2003x\u2122 \u1112\u1161\u11ab",
        "",
        "   \t ",
        "&#228;&#xE4;&#XE4; &nosuch; &#0; &#128; &#1114112; &#xD800; AT&T &amp;lt;",
    ]
    assert cleaned(texts, urls=True, lower=True) == [
        "fish & chips a < b <i> ok",
        "see or",
        "café full fin xtm 한",
        "",
        "",
        "äää &nosuch; \ufffd € \ufffd \ufffd at&t &lt;",
    ]
    assert cleaned([" <b>A</b>  https://x.org B\u0301 "], html=False, unicode=False) == [
        "<b>A</b> https://x.org B\u0301"
    ]


def test_entities_are_those_of_html(cleaned):
    names = sorted(name for name in html.entities.html5 if name.endswith(";"))
    texts = [f"x&{name}y" for name in names] + [f"x&#{code};y&#x{code:x};" for code in range(1, 3000, 7)]
    found = cleaned(texts, unicode=False)
    for text, clean in zip(texts, found, strict=True):
        characters = [c for c in html.unescape(text) if unicodedata.category(c) not in ("Cc", "Zs", "Zl", "Zp")]
        assert [c for c in clean if c != " "] == characters, text


def test_characters_are_those_of_nfkc(cleaned):
    codes = [code for code in range(0x20, 0x30000) if unicodedata.category(chr(code))[0] in "LNPSM"]
    texts = [f"x{chr(code)}y" for code in codes if not unicodedata.combining(chr(code))]
    found = cleaned(texts, html=False)
    for text, clean in zip(texts, found, strict=True):
        assert clean == " ".join(unicodedata.normalize("NFKC", text).split()), (text, clean)


def test_letters_and_marks_are_one_character(cleaned):
    letters = [chr(code) for code in range(0xC0, 0x1F00) if unicodedata.category(chr(code))[0] == "L"]
    letters += [chr(code) for code in range(0xAC00, 0xD7A4, 37)]
    texts = [f"{unicodedata.normalize('NFD', letter)}z" for letter in letters]
    found = cleaned(texts, html=False)
    for text, clean in zip(texts, found, strict=True):
        assert clean == " ".join(unicodedata.normalize("NFKC", text).split()), text


def test_broken_bytes_and_graphs(cleaned):
    layer = CleanText(lower=True)
    texts = tf.constant([b"\xff\xfeA", b"a\x00b", "É".encode(), b""])
    found = layer(texts).numpy().tolist()
    assert found[1:] == [b"a b", "é".encode(), b""]
    assert found[0].endswith(b"a")
    in_graph = tf.function(layer, input_signature=[tf.TensorSpec([None], tf.string)])
    np.testing.assert_array_equal(in_graph(texts), found)
    assert in_graph(texts[:0]).shape == (0,)
    check_layer_config(layer)
