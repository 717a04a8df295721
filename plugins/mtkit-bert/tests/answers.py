"""What transformers 4 answered, in oracle/: oracle/record.py keeps it, tests are held against it."""

from pathlib import Path

import numpy as np

DIRECTORY = Path(__file__).parent / "oracle"


def keep(name, **arrays):
    """Writes `NAME.npz`."""
    np.savez_compressed(DIRECTORY / f"{name}.npz", **arrays)


def kept(name):
    """Name -> array of `NAME.npz`."""
    with np.load(DIRECTORY / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def pack(ids):
    """Token ids of texts as two arrays: all ids, and how many each text has."""
    return {"ids": np.concatenate(ids).astype(np.int32), "lengths": np.array([len(row) for row in ids], np.int32)}


def unpack(arrays):
    """Token ids of texts, as lists."""
    return [part.tolist() for part in np.split(arrays["ids"], np.cumsum(arrays["lengths"])[:-1])]


def pad(ids, side="right", padding=0):
    """Token ids and mask int32 `[texts, tokens]`, padded on a side to the longest text."""
    lengths = np.array([[len(row)] for row in ids])
    places = np.arange(lengths.max())
    mask = places < lengths if side == "right" else places >= lengths.max() - lengths
    padded = np.full(mask.shape, padding, np.int32)
    padded[mask] = np.concatenate(ids)
    return padded, mask.astype(np.int32)


def sample(hidden, mask, step):
    """Of hidden states `[texts, tokens, width]`, what is small: every `step`-th number of each token, and means of texts."""
    weights = mask[:, :, None] / mask.sum(1)[:, None, None]
    means = (hidden * weights).sum(1).astype(np.float32)
    return {"tokens": hidden[mask == 1][:, ::step], "means": means}
