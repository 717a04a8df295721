import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.errors import DataError
from mtkit_bert import Bert
from mtkit_bert.tokens import padding_id, token_columns

TEXTS = np.array([None, "milk", "fresh bread | a", "", "milk", "  ", "milky milk bread", float("nan")], object)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_columns_of_texts(make_checkpoint, family):
    path = make_checkpoint(family, pad_token_id=4)
    padding = padding_id(path)
    assert padding == (4 if family == "roberta" else 0)
    ids, numbers = token_columns(TEXTS, path, 16)
    assert ids.dtype == numbers.dtype == np.int32
    assert ids.shape == (8, 6)
    np.testing.assert_array_equal(ids[1], [2, 5, 3, *[padding] * 3])
    np.testing.assert_array_equal(ids[2], [2, 8, 7, 9, 10, 3])
    np.testing.assert_array_equal(ids[4], ids[1])
    assert (ids[[0, 3, 5, 7]] == padding).all()
    assert len({*numbers[[1, 2, 6], 0].tolist()}) == 3
    assert numbers[1] == numbers[4]
    assert not numbers[[0, 3, 5, 7]].any()


def test_long_texts_are_cut(make_checkpoint):
    ids, _ = token_columns(TEXTS, make_checkpoint(), 4)
    np.testing.assert_array_equal(ids[2], [2, 8, 7, 3])


def test_a_catalog_without_texts(make_checkpoint):
    ids, numbers = token_columns(TEXTS[[0, 3]], make_checkpoint(), 16)
    assert ids.shape == numbers.shape == (2, 1)
    assert not ids.any()
    assert not numbers.any()


def test_other_things_than_texts_are_refused(make_checkpoint):
    with pytest.raises(DataError, match=r"row 1 holds 7 \(int\), expected a text or null"):
        token_columns(np.array([None, 7], object), make_checkpoint(), 16)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_token_ids_give_what_the_catalog_has(make_checkpoint, make_context, family):
    path, context = make_checkpoint(family), make_context(TEXTS)
    spec = Bert(reads=["item.text"], checkpoint=str(path), mode="last_n", n=1, max_tokens=16, dim=3)
    columns, layer, derivation = spec.derive(context), spec.build(context), spec.derivation(context)
    ids = columns["item.text/words/tokens"]
    wider = tf.pad(ids, [[0, 0], [0, 2]], constant_values=padding_id(path))
    derived = derivation({"item_text_token_ids": wider})
    assert set(derived) == set(columns)
    np.testing.assert_allclose(layer(derived), layer(columns), atol=1e-5)
    ((name, known),) = derivation.inputs.items()
    assert name == "item_text_token_ids"
    assert (known.dtype, known.shape) == ("int32", (None,))
    assert "at most 16" in known.about
