import json

import numpy as np
import pytest

from mtkit.backend import tf
from mtkit.errors import DataError
from mtkit_bert.masking import Masking, hashed, uniform
from mtkit_bert.vocabulary import Vocabulary, read_vocabulary

MASK, SPECIAL, SIZE, ROWS = 4, (0, 1, 2, 3, 4), 40, 44
KEY = np.array([7, 3])


def texts(count, tokens=24, seed=0):
    """Token ids with [CLS] and [SEP] (2, 3) and padding, an unknown token (1) among them, and lengths."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, SIZE, [count, tokens]).astype(np.int32)
    lengths = rng.integers(2, tokens + 1, count).astype(np.int32)
    ids[:, 0], ids[:, 4] = 2, 1
    for row, length in enumerate(lengths):
        ids[row, length - 1], ids[row, length:] = 3, 0
    return ids, lengths


@pytest.fixture
def masking():
    return Masking(Vocabulary(SIZE, MASK, SPECIAL), ROWS, 0.15)


def splitmix(*parts):
    """The hash in Python's own integers."""
    state, most = 0, (1 << 64) - 1
    for part in parts:
        state = ((state ^ (part & most)) + 0x9E3779B97F4A7C15) & most
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & most
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & most
        state ^= state >> 31
    return state


def test_the_hash_is_splitmix():
    parts = [(0, 0), (1, -1), (2**40 + 5, 17), (-3, 2**62)]
    found = hashed(*(tf.constant(values, tf.int64) for values in zip(*parts, strict=True))).numpy()
    assert [int(value) & (2**64 - 1) for value in found] == [splitmix(*pair) for pair in parts]
    numbers = uniform(hashed(tf.constant(9), tf.range(100_000))).numpy()
    assert 0 <= numbers.min() < 1e-4 < 1 - 1e-4 < numbers.max() < 1
    np.testing.assert_allclose(np.histogram(numbers, 20, (0, 1))[0], 5000, rtol=0.06)
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.01


def test_a_share_of_each_text_is_hidden(masking):
    ids, lengths = texts(200)
    masked = masking(ids, lengths, KEY, tf.range(200))
    rows, places = masked.index.numpy().T
    np.testing.assert_array_equal(masked.targets, ids[rows, places])
    for row in range(200):
        candidates = [p for p in range(lengths[row]) if ids[row, p] not in SPECIAL]
        hidden = places[rows == row]
        assert set(hidden) <= set(candidates)
        assert len(hidden) == (max(1, int(len(candidates) * 0.15 + 0.5)) if candidates else 0)
        others = np.setdiff1d(np.arange(24), hidden)
        np.testing.assert_array_equal(masked.ids[row].numpy()[others], ids[row, others])
    assert any(not np.isin(row[:length], SPECIAL, invert=True).any() for row, length in zip(ids, lengths, strict=True))


def test_what_stands_in_their_place():
    masking = Masking(Vocabulary(SIZE, MASK, SPECIAL), ROWS, 0.9)
    ids, lengths = texts(20_000)
    masked = masking(ids, lengths, KEY, tf.range(20_000))
    instead, targets = tf.gather_nd(masked.ids, masked.index).numpy(), masked.targets.numpy()
    assert np.mean(instead == MASK) == pytest.approx(0.8, abs=0.005)
    other = instead[(instead != MASK) & (instead != targets)]
    assert np.mean(instead == targets) == pytest.approx(0.1 + 0.1 / 35, abs=0.005)
    assert set(other) == set(range(5, SIZE))
    np.testing.assert_allclose(np.bincount(other)[5:] / len(other), 1 / 35, rtol=0.15)
    places = masked.index[:, 1].numpy()
    assert np.corrcoef(places, instead == MASK)[0, 1] == pytest.approx(0, abs=0.01)


def test_masks_depend_on_key_and_number_alone(masking):
    ids, lengths = texts(30)
    masked = masking(ids, lengths, KEY, tf.range(30)).ids.numpy()
    some = np.array([20, 3, 11])
    wide = np.pad(ids[some], [(0, 0), (0, 7)])
    np.testing.assert_array_equal(masking(wide, lengths[some], KEY, tf.constant(some)).ids[:, :24], masked[some])
    for key in ([7, 4], [8, 3]):
        assert (masking(ids, lengths, tf.constant(key, tf.int64), tf.range(30)).ids.numpy() != masked).any(1).sum() > 15
    assert (masking(ids, lengths, KEY, tf.range(1, 31)).ids.numpy() != masked).any(1).sum() > 15


def test_the_vocabulary_of_a_checkpoint(make_checkpoint):
    path = make_checkpoint()
    assert read_vocabulary(path) == Vocabulary(15, 4, (0, 1, 2, 3, 4))
    declared = {"mask_token": {"content": "a"}, "cls_token": "milk", "model_max_length": 12, "bos_token": None}
    (path / "tokenizer_config.json").write_text(json.dumps(declared))
    assert read_vocabulary(path) == Vocabulary(15, 10, (0, 1, 2, 3, 4, 5, 10))


def test_without_a_mask_token(make_checkpoint):
    path = make_checkpoint()
    text = (path / "tokenizer.json").read_text().replace("[MASK]", "[GAP]")
    (path / "tokenizer.json").write_text(text)
    with pytest.raises(DataError, match=r"the tokenizer has no mask token \(\[MASK\] or <mask>\).*of the BERT family"):
        read_vocabulary(path)
