import re

import numpy as np
import pytest

from mtkit.backend import keras, tf
from mtkit.errors import DataError
from mtkit_bert import Bert
from mtkit_bert.frozen import FrozenEncoder, batches
from mtkit_bert.layers import BertModel
from mtkit_bert.transform import principal_components

TEXTS = [None, "milk", "fresh bread | a", "", "milk", "  ", "牛奶 milky", float("nan")]


def spec(path, **changes):
    return Bert(**{"reads": ["item.text"], "checkpoint": str(path), "max_tokens": 16} | changes)


def derived(path, context, **changes):
    (item,) = spec(path, **changes).derive(context).items()
    assert item[0] == "item.text/words"
    return item[1]


def expected_vector(path, ids):
    return BertModel.from_checkpoint(path)(np.array([ids])).numpy()[0].mean(0)


def test_vectors_are_the_means_of_hidden_states(make_checkpoint, make_context):
    path = make_checkpoint()
    vectors = derived(path, make_context(TEXTS))
    assert vectors.dtype == np.float32
    assert vectors.shape == (8, 12)
    np.testing.assert_allclose(vectors[1], expected_vector(path, [2, 5, 3]), atol=1e-5)
    np.testing.assert_allclose(vectors[2], expected_vector(path, [2, 8, 7, 9, 10, 3]), atol=1e-5)
    np.testing.assert_allclose(vectors[6], expected_vector(path, [2, 12, 11, 5, 6, 3]), atol=1e-5)
    np.testing.assert_array_equal(vectors[1], vectors[4])
    assert not vectors[[0, 3, 5, 7]].any()


def test_how_long_many_texts_took_is_said(make_checkpoint, make_context, capsys):
    path, context = make_checkpoint(), make_context([f"milk {number}" for number in range(300)])
    derived(path, context)
    assert re.search(r"^encoded 300 texts in [\d.]+ s \([\d,]+ a second\)$", capsys.readouterr().err, re.MULTILINE)
    derived(path, context)
    assert capsys.readouterr().err == ""


def test_first_token_and_truncation(make_checkpoint, make_context):
    path = make_checkpoint()
    hidden = BertModel.from_checkpoint(path)(np.array([[2, 8, 7, 3]])).numpy()[0]
    vectors = derived(path, make_context(TEXTS), pooling="cls", max_tokens=4)
    np.testing.assert_allclose(vectors[2], hidden[0], atol=1e-5)


def test_every_distinct_text_is_encoded_once_ever(make_checkpoint, make_context):
    path = make_checkpoint()
    first, second, third = (make_context(TEXTS) for _ in range(3))
    expected = derived(path, first)
    assert first.counters == {"texts_encoded": 3}
    np.testing.assert_array_equal(derived(path, second), expected)
    assert second.counters == {"texts_encoded": 0}
    derived(path, third, pooling="cls")
    assert third.counters == {"texts_encoded": 3}


def test_a_changed_text_is_encoded_alone(make_checkpoint, make_context):
    path = make_checkpoint()
    before = derived(path, make_context(TEXTS))
    context = make_context([*TEXTS[:2], "fresh milk", *TEXTS[3:]])
    after = derived(path, context)
    assert context.counters == {"texts_encoded": 1}
    np.testing.assert_array_equal(np.delete(after, 2, 0), np.delete(before, 2, 0))
    assert (after[2] != before[2]).all()


def test_a_killed_run_is_continued(make_checkpoint, make_context, monkeypatch):
    path = make_checkpoint()
    texts = [None, *(f"milk {'a ' * i}" for i in range(7))]
    monkeypatch.setattr("mtkit_bert.derive._BLOCK", 3)
    encode, calls = FrozenEncoder.encode, []

    def killed(self, block):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(block)
        return encode(self, block)

    with monkeypatch.context() as patch:
        patch.setattr(FrozenEncoder, "encode", killed)
        with pytest.raises(KeyboardInterrupt):
            derived(path, make_context(texts))
    context = make_context(texts)
    vectors = derived(path, context)
    assert context.counters == {"texts_encoded": 1}
    np.testing.assert_allclose(vectors, derived(path, make_context(texts, cache="other")), atol=1e-5)


def test_no_texts_at_all(make_checkpoint, make_context):
    vectors = derived(make_checkpoint(), make_context([None, ""]), components=3)
    np.testing.assert_array_equal(vectors, np.zeros([2, 3]))


def test_random_state_is_the_same_with_and_without_cached_texts(make_checkpoint, make_context):
    path, draws = make_checkpoint(), []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        derived(path, make_context(TEXTS))
        draws.append([tf.random.uniform([]).numpy(), keras.initializers.GlorotUniform()([1, 1]).numpy().item()])
    assert draws[0] == draws[1]


def test_values_that_are_no_texts(make_checkpoint, make_context):
    with pytest.raises(DataError, match=r"encoder words over item.text: row 1 holds 3 \(int\), expected a text"):
        derived(make_checkpoint(), make_context([None, 3]))


def test_too_many_tokens(make_checkpoint, make_context):
    with pytest.raises(DataError, match=r"max_tokens is 24, but .* has 23 positions"):
        derived(make_checkpoint("roberta"), make_context(TEXTS), max_tokens=24)


def test_tokenizer_of_another_network(make_checkpoint, make_context):
    def change(state):
        return state | {"embeddings.word_embeddings.weight": state["embeddings.word_embeddings.weight"][:9].copy()}

    path = make_checkpoint(change=change, vocab_size=9)
    with pytest.raises(DataError, match=r"the tokenizer has 15 token ids, but the network has only 9"):
        derived(path, make_context(TEXTS))


def test_without_tokenizer_json_the_vocabulary_is_read(make_checkpoint, make_context):
    path = make_checkpoint()
    expected = derived(path, make_context(TEXTS))
    (path / "tokenizer.json").unlink()
    context = make_context(TEXTS)
    np.testing.assert_array_equal(derived(path, context), expected)
    assert context.counters == {"texts_encoded": 3}


def test_batches_hold_all_rows_within_budget():
    lengths = [5, 3, 40, 3, 4, 9, 3]
    found = list(batches(lengths, 12))
    assert sorted(row for rows in found for row in rows.tolist()) == list(range(7))
    assert [rows.tolist() for rows in found] == [[1, 3, 6], [4, 0], [5], [2]]
    assert list(batches([], 12)) == []


def test_principal_components_are_the_directions_of_largest_variance():
    random = np.random.default_rng(0)
    vectors = (random.normal(size=[500, 6]) @ random.normal(size=[6, 6]) + 5).astype(np.float32)
    mean, matrix = principal_components(vectors, 4)
    result = (vectors - mean) @ matrix
    np.testing.assert_allclose(result.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(result.T, bias=True), np.eye(4), atol=1e-4)
    values, directions = np.linalg.eigh(np.cov(vectors.T, bias=True))
    expected = (vectors - vectors.mean(0)) @ directions[:, :1:-1] / np.sqrt(values[:1:-1])
    np.testing.assert_allclose(np.abs(result), np.abs(expected), atol=1e-3)
    assert (result[np.abs(result).argmax(0), range(4)] > 0).all()


def test_components_beyond_the_span_are_zero():
    vectors = np.eye(5, dtype=np.float32)[:3]
    mean, matrix = principal_components(vectors, 4)
    result = (vectors - mean) @ matrix
    np.testing.assert_allclose(np.cov(result.T, bias=True), np.diag([1, 1, 0, 0]), atol=1e-5)


def test_row_order_does_not_matter_to_components(make_checkpoint, make_context):
    path = make_checkpoint()
    forth = derived(path, make_context(TEXTS), components=2)
    back = derived(path, make_context(TEXTS[::-1]), components=2)
    np.testing.assert_array_equal(forth, back[::-1])


def test_build_projects_the_derived_address(make_checkpoint, make_context):
    encoder, context = spec(make_checkpoint(), dim=5), make_context(TEXTS)
    features = encoder.derive(context)
    layer = encoder.build(context)
    assert layer(features).shape == [8, 5]
    assert layer.name == "words"
