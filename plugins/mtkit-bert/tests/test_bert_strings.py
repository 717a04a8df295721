"""Tokenization in the graph: the same ids as the checkpoint's tokenizer gives, for any text."""

import random

import numpy as np
import pytest
from bare import ask_bare
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from mtkit.backend import tf
from mtkit.errors import RecipeError
from mtkit_bert import Bert
from mtkit_bert.text_ops import WordPieceOps
from mtkit_bert.tokenizer import load_tokenizer
from mtkit_bert.tokens import padding_id
from mtkit_bert.wordpiece import make_tables, refusal

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MPNET = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
MAX_TOKENS, PADDING = 24, 0


def span(first, last):
    return [chr(code) for code in range(first, last) if not 0xD800 <= code < 0xE000]


#: What texts are made of; each is a source of its own.
POOLS = {
    "ascii": span(0x20, 0x7F),
    "latin": span(0xA0, 0x250),
    "modifiers and marks": span(0x2B0, 0x370),
    "greek and cyrillic": span(0x370, 0x530),
    "arabic": span(0x600, 0x780),
    "indic": span(0x900, 0xC00),
    "hangul": span(0xAC00, 0xAC40) + span(0x1100, 0x1180),
    "chinese": [*span(0x4E00, 0x4E40), *span(0xF900, 0xF920), *span(0x3000, 0x3040), *span(0x20000, 0x20010)],
    "symbols": [*span(0x2000, 0x2160), *span(0x2190, 0x21A0), *span(0xFF00, 0xFF20), *"ß™½…ªº²ﬁŉǆİıſK Å"],  # noqa: RUF001
    "emoji": [*span(0x1F600, 0x1F640), "\U0001f44d\U0001f3fd", "\u200d", "\ufe0f"],
    "control": [*span(0, 0x20), "\x7f", "\x85", "\xad", "\u200b", "\u2028", "\ufeff", "\ufffd", "\ufffe", "\ue000"],
    "special": [*SPECIAL, "[sep]", "[SE", "##", "[", "]", " "],
    "special of MPNet": [*MPNET, "<UNK>", "<u\u0301nk>", "  <mask>", "\x85<mask>", "<", "unk>", "[UNK", " "],
}


def literal(*tokens):
    return [AddedToken(token, normalized=False) for token in tokens]


def tokenizer_of(normalizer, special=SPECIAL, added=None, around=("[CLS]", "[SEP]"), seed=0):
    """A tokenizer over single characters of all pools and some random pieces."""
    rng = random.Random(seed)
    chars = sorted(
        {c for name, pool in POOLS.items() if name != "control" for c in pool if len(c) == 1 and rng.random() < 0.7}
    )
    letters = "abcdeghilmnoprstu"
    pieces = ["".join(rng.choices(letters, k=rng.randint(2, 6))) for _ in range(300)]
    words = [
        *special,
        *chars,
        *(f"##{c}" for c in chars if rng.random() < 0.8),
        *pieces,
        *(f"##{p}" for p in pieces[::2]),
    ]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(*((name, vocabulary[name]) for name in around[::-1]))
    tokenizer.add_special_tokens(added or literal(*special))
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def corpus(count, seed=1):
    """Texts of one pool, of all of them, of letters that make long words, and of any code points at all."""
    rng = random.Random(seed)
    mixed, anything = [c for pool in POOLS.values() for c in pool], span(0, 0x110000)
    pools = [*POOLS.values(), mixed, mixed, anything, [*"abcdeghilmnoprstu", " "]]
    return ["".join(rng.choices(rng.choice(pools), k=rng.randrange(40))) for _ in range(count)]


def assert_same(tokenizer, texts):
    ops = tf.function(WordPieceOps(make_tables(tokenizer), MAX_TOKENS, PADDING))
    for start in range(0, len(texts), 256):
        block = texts[start : start + 256]
        found = ops(tf.constant([text.encode() for text in block])).numpy()
        for text, ids in zip(block, found, strict=True):
            expected = tokenizer.encode(text).ids if text.strip() else []
            assert ids[: len(expected)].tolist() == expected, repr(text)
            assert (ids[len(expected) :] == PADDING).all(), repr(text)


@pytest.mark.parametrize(
    "options",
    [
        {"lowercase": True},
        pytest.param(
            {"lowercase": False, "strip_accents": False, "clean_text": False, "handle_chinese_chars": False},
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_ids_are_those_of_the_tokenizer(options):
    tokenizer = tokenizer_of(normalizers.BertNormalizer(**options))
    assert refusal(tokenizer) == ""
    assert_same(tokenizer, corpus(3000))


@pytest.mark.slow
def test_ids_of_added_tokens_as_mpnet_has_them():
    """One takes the spaces before it, one is found in the normalized text."""
    added = [
        *literal("<s>", "<pad>", "</s>", "[UNK]"),
        AddedToken("<unk>", normalized=True, special=True),
        AddedToken("<mask>", lstrip=True, normalized=False),
    ]
    tokenizer = tokenizer_of(normalizers.BertNormalizer(), MPNET, added, ("<s>", "</s>"))
    assert refusal(tokenizer) == ""
    counts = {"<UNK>": 1, "a<un\u200bk>a": 3, "a \t<mask>": 2, "a<s>  <mask> a": 4}
    for text, count in counts.items():
        assert len(tokenizer.encode(text, add_special_tokens=False).ids) == count
    assert_same(tokenizer, [*counts, "<un</s>k>", "<u nk>", *corpus(2000)])


@pytest.mark.slow
def test_ids_of_a_published_vocabulary(minilm):
    tokenizer = load_tokenizer(minilm, MAX_TOKENS)
    assert refusal(tokenizer) == ""
    words = [word.removeprefix("##") for word in tokenizer.get_vocab()]
    rng = random.Random(2)
    made = ["".join(rng.choices([*words, " ", "ß", "\u0301"], k=rng.randrange(12))) for _ in range(2000)]
    assert_same(tokenizer, corpus(2000) + made + ["a" * 100, "a" * 101, "fresh milk, 2 %"])
    ops = WordPieceOps(make_tables(tokenizer), MAX_TOKENS, PADDING)
    assert not ops(tf.constant(["", " \t\u3000"])).numpy().any()
    assert ops(tf.constant([], tf.string)).shape[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: setattr(t, "normalizer", normalizers.NFC()), "its normalizer is NFC, expected BertNormalizer"),
        (lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Whitespace()), "its pre-tokenizer is Whitespace"),
        (lambda t: setattr(t, "model", models.BPE()), "its model is BPE, expected WordPiece"),
        (
            lambda t: t.add_tokens([AddedToken("new", rstrip=True)]),
            "added token 'new' is not matched by its characters alone",
        ),
        (lambda t: t.add_tokens(["new", "New"]), "'new' and 'new' can overlap"),
        (lambda t: t.add_tokens(["two words"]), "added token 'two words' is not matched by its characters alone"),
        (lambda t: t.add_special_tokens([AddedToken("aba", normalized=False)]), "'aba' and 'aba' can overlap"),
    ],
)
def test_other_tokenizers_are_refused(change, message):
    tokenizer = tokenizer_of(normalizers.BertNormalizer())
    change(tokenizer)
    assert message in refusal(tokenizer)


def test_marks_that_change_places_are_refused():
    """Two marks that normalization keeps and puts into order."""
    words = {word: number for number, word in enumerate([*SPECIAL, "a", "##\u08d1", "##\u08d2", "\u08d1", "\u08d4"])}
    tokenizer = tokenizer_of(normalizers.BertNormalizer())
    tokenizer.model = models.WordPiece(words, unk_token="[UNK]")
    kept = tokenizer.normalizer.normalize_str("a\u08d1\u08d4\u08d2")
    moved = len(kept) == 4 and kept != "a\u08d1\u08d4\u08d2"
    assert bool(refusal(tokenizer)) == moved


@pytest.fixture
def train(make_checkpoint, train_tiny):
    """A function from a checkpoint to a trained pipeline that reads texts, whose export takes strings."""
    sets = (
        "task.next.candidate=['words']",
        "task.department.inputs=['words', 'look']",
        "rows.windows.count=2",
        "train.epochs=1",
        "data.lines=1000",
        "export.text_signatures=true",
    )
    unsets = (
        "correlation",
        "task.gift",
        "task.discounted",
        "rows.lines",
        "encoder.visit",
        "encoder.past",
        "task.next.query",
    )

    def train(path, *more):
        words = f"use = 'bert', reads = ['item.text'], checkpoint = '{path}', max_tokens = 12, dim = 8"
        return train_tiny(f"encoder.words={{{words}}}", *sets, "task.next.query=['customer']", *more, unsets=unsets)

    return train


TEXTS = ["fresh milk", "", "milky  Bread | A", "牛奶 [SEP] unknown", "a" * 30]


def token_ids(path):
    ids = np.full([len(TEXTS), 14], padding_id(path), np.int32)
    for row, text in enumerate(TEXTS):
        tokens = load_tokenizer(path, 12).encode(text).ids if text else []
        ids[row, : len(tokens)] = tokens
    return ids


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_strings_are_served_as_their_ids_are(make_checkpoint, train, tmp_path, family):
    """With operations of TensorFlow alone."""
    path = make_checkpoint(family)
    pipeline = train(path)
    export = pipeline.recipe.export.export(pipeline, tmp_path / "export")
    look = {"item_color": ["red"] * len(TEXTS), "item_weight": [0.5] * len(TEXTS)}
    questions = {}
    for name, given in {"embed_new_item": {}, "department_new_item": look}.items():
        questions[name] = given | {"item_text_token_ids": token_ids(path).tolist()}
        questions[f"{name}_text"] = given | {"item_text": TEXTS}
    result = ask_bare(export, questions)
    assert set(result["ops"]) <= set(result["core"])
    assert not result["foreign"]
    answers = result["answers"]
    for name, output in (("embed_new_item", "embedding"), ("department_new_item", "probabilities")):
        by_ids, by_text = (np.array(answers[key][output], float) for key in (name, f"{name}_text"))
        np.testing.assert_allclose(by_text, by_ids, atol=1e-5)
        assert np.abs(by_text[0] - by_text[2]).max() > 1e-6
    names = set(tf.saved_model.load(str(export)).signatures)
    assert {name for name in names if name.endswith("_text")} == {
        "embed_new_item_text",
        "department_new_item_text",
    }
    assert "`item.text` as in the data; empty if missing" in (export / "signatures.md").read_text("utf-8")


@pytest.mark.slow
def test_texts_are_cleaned_before_they_become_tokens(make_checkpoint, train, tmp_path):
    path = make_checkpoint()
    pipeline = train(path, "preprocess.clean={use='clean_text', columns=['item.text']}")
    export = pipeline.recipe.export.export(pipeline, tmp_path / "export")
    dirty = [f"<p>{text.replace(' ', '&nbsp; ')}</p><!-- red green -->" for text in TEXTS]
    served = tf.saved_model.load(str(export)).signatures
    by_ids = served["embed_new_item"](item_text_token_ids=tf.constant(token_ids(path)))["embedding"]
    by_text = served["embed_new_item_text"](item_text=tf.constant(dirty))["embedding"]
    np.testing.assert_allclose(by_text, by_ids, atol=1e-5)
    described = (export / "signatures.md").read_text("utf-8")
    assert described.count("`item.text` is cleaned before, as the recipe's `preprocess` says") > 0


# Components have variance 1: what rounding makes of the vectors of a random network, which are nearly the same, grows.
@pytest.mark.parametrize(("options", "tolerance"), [({"components": 2}, 1e-3), ({"mode": "full"}, 1e-5)], ids=str)
def test_every_derivation_takes_strings(make_checkpoint, make_context, options, tolerance):
    path = make_checkpoint()
    spec = Bert(reads=("item.text",), checkpoint=str(path), max_tokens=12, **options)
    context = make_context(["milk", *TEXTS])
    by_ids = spec.derivation(context)({"item_text_token_ids": tf.constant(token_ids(path))})
    by_text = spec.string_derivation(context)({"item_text": tf.constant(TEXTS)})
    assert set(by_text) == set(by_ids)
    for address, column in by_text.items():
        np.testing.assert_allclose(column, by_ids[address][:, : column.shape[1]], atol=tolerance)


def test_what_a_servable_holds_can_be_found(make_checkpoint, make_context):
    """TensorFlow walks through all attributes of a module; a tokenizer with added tokens must not stop it."""
    spec = Bert(reads=("item.text",), checkpoint=str(make_checkpoint()), max_tokens=12)
    derivation = spec.string_derivation(make_context(["milk"]))
    parts = tf.train.TrackableView(derivation).descendants()
    assert any(isinstance(part, tf.saved_model.experimental.TrackableResource) for part in parts)


def test_refusal_comes_before_training(train, make_checkpoint):
    path = make_checkpoint(name="other")
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.save(str(path / "tokenizer.json"))
    with pytest.raises(RecipeError, match=r"export.text_signatures: encoder words: strings need a WordPiece .* is NFC"):
        train(path)


def test_spec_says_what_it_refuses(make_checkpoint, make_context):
    spec = Bert(reads=("item.text",), checkpoint=str(make_checkpoint()), max_tokens=12)
    assert spec.string_refusal(make_context(["milk"])) == ""
