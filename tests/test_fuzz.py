"""Data files and recipes, drawn: each ends with one message, or with what an independent reading finds."""

import gzip
import json
import random
import string
import tomllib
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from tiny_shop import RECIPE

from mtkit.data.catalogs import make_cuts, make_fold
from mtkit.data.columns import load
from mtkit.data.labels import event_labels
from mtkit.errors import MtkitError
from mtkit.recipe.loader import load_recipe
from mtkit.recipe.toml_writer import toml_document
from mtkit.standard.sources import Files
from mtkit.standard.splits import Random

DATA_CASES, RECIPE_CASES, ROWS = 160, 320, 120
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = {
    "who": {"kind": "id", "entity": "user"},
    "what": {"kind": "id", "entity": "item"},
    "when": {"kind": "time"},
    "shop": {"kind": "categorical"},
    "price": {"kind": "numeric"},
    "kind": {"kind": "label", "classes": True},
    "good": {"kind": "label"},
}
IDS = (
    str,
    lambda n: f"{n:07d}",
    lambda n: f"0{n}",
    lambda n: f"u-{n}",
    lambda n: f"{n}.0",
    lambda n: str(n + 2**63),
    lambda n: str(n + 2**127),
    lambda n: f"Ü{n} \t'x",
    lambda n: f'"{n}",',
)
WORDS = ("1.20", "10:30", "True", "00501", "2024-01-31", "NA", "café", "=1+1", "a,b", 'say "x"', "line\nbreak", "null")
TIMES = (
    ("epoch", lambda t: str(int(t.timestamp()))),
    ("ms", lambda t: str(int(t.timestamp() * 1000))),
    ("us", lambda t: str(int(t.timestamp() * 1_000_000))),
    ("ns", lambda t: str(int(t.timestamp()) * 1_000_000_000)),
    ("iso", lambda t: t.strftime("%Y-%m-%d %H:%M:%S")),
    ("zone", lambda t: (t + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00")),
    ("dotted", lambda t: t.strftime("%d.%m.%Y %H:%M:%S")),
    ("us-style", lambda t: t.strftime("%m/%d/%Y %H:%M:%S")),
    ("mail", lambda t: t.strftime("%a, %d %b %Y %H:%M:%S +0000")),
    ("compact", lambda t: t.strftime("%Y%m%d%H%M%S")),
)
#: What makes a file wrong, and a word of the message that says so.
DAMAGES = {
    "price": ("$5", "is no number"),
    "good": ("yes", "is no number"),
    "when": ("soon", "time"),
}


class Case:
    """A table of text, and what it means."""

    def __init__(self, seed):
        self.rng = rng = random.Random(seed)
        user, item = rng.choice(IDS), rng.choice(IDS)
        self.form, written = rng.choice(TIMES)
        self.blank = rng.choice(["", "", " "])
        start = datetime(2023, rng.randint(1, 12), rng.randint(1, 28), tzinfo=UTC)
        self.times = [start + timedelta(seconds=rng.randrange(200 * 86_400)) for _ in range(ROWS)]
        self.rows = {
            "who": [self.some(user(rng.randrange(12))) for _ in range(ROWS)],
            "what": [self.some(item(rng.randrange(9)), 0.03) for _ in range(ROWS)],
            "when": [self.some(written(time), 0.03) for time in self.times],
            "shop": [self.some(rng.choice(WORDS)) for _ in range(ROWS)],
            "price": [self.some(rng.choice(["1", "2.5", "1e3", "-0", "1e60", "nan"])) for _ in range(ROWS)],
            "kind": [self.some(rng.choice(["01", "1", "x"]), 0.3) for _ in range(ROWS)],
            "good": [self.some(rng.choice("01"), 0.3) for _ in range(ROWS)],
            "unread": [rng.choice(WORDS) for _ in range(ROWS)],
        }
        self.expected = None
        self.damaged = rng.choice([*DAMAGES]) if rng.random() < 0.3 else None
        if self.damaged:
            self.rows[self.damaged][rng.randrange(ROWS)], self.expected = DAMAGES[self.damaged]
        if rng.random() < 0.2 and not self.damaged:
            self.impossible = rng.randrange(ROWS)
            self.rows["when"][self.impossible] = written(datetime(1970, 1, 2, tzinfo=UTC))
        else:
            self.impossible = None

    def some(self, value, blanks=0.1):
        return self.blank if self.rng.random() < blanks else value

    def write(self, folder):
        frame = pd.DataFrame(self.rows)
        names = self.rng.sample([*self.rows], len(self.rows))
        kind = self.rng.choice(["csv", "csv", "tsv", "semicolon", "gz", "jsonl", "parquet", "parts", "bom"])
        path = folder / f"log.{ {'semicolon': 'csv', 'gz': 'csv.gz', 'bom': 'csv'}.get(kind, kind) }"
        separator = {"tsv": "\t", "semicolon": ";"}.get(kind, ",")
        if kind == "jsonl":
            path.write_text("\n".join(json.dumps(row) for row in frame[names].to_dict("records")), encoding="utf-8")
        elif kind == "parquet":
            parquet.write_table(pa.Table.from_pandas(frame[names], preserve_index=False), path)
        elif kind == "parts":
            path.mkdir()
            for number, part in enumerate(np.array_split(np.arange(ROWS), 3)):
                frame.iloc[part][names].to_csv(path / f"part-{number}.csv", index=False)
        else:
            text = frame[names].to_csv(index=False, sep=separator)
            data = text.encode("utf-8-sig" if kind == "bom" else "utf-8")
            path.write_bytes(gzip.compress(data) if kind == "gz" else data)
        return path

    def usable(self):
        """The rows that stay, by pandas: every value as text, blanks as nothing."""
        frame = pd.DataFrame(self.rows, dtype=object)
        frame = frame.mask(frame.map(str.strip) == "")
        frame["second"] = [int((time - EPOCH).total_seconds()) for time in self.times]
        frame["kept"] = frame[["who", "what", "when"]].notna().all(axis=1)
        if self.impossible is not None:
            frame.loc[self.impossible, "kept"] = False
        return frame


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(DATA_CASES))
def test_files(seed, tmp_path):
    case = Case(seed)
    source = Files(interactions=case.write(tmp_path), columns=COLUMNS)
    if case.expected:
        with pytest.raises(MtkitError, match=case.expected) as caught:
            load(source)
        assert len(str(caught.value).splitlines()) == 1
        return
    dataset = load(source)
    frame = case.usable()
    kept = frame[frame.kept].reset_index(drop=True)
    found = dataset.interactions
    assert sum(dataset.left_out.values()) == (~frame.kept).sum()
    assert len(found) == len(kept)
    for name in ("who", "what", "shop", "kind"):
        assert found[name].to_pylist() == [None if pd.isna(value) else value for value in kept[name]], name
    assert found["when"].to_pylist() == kept["second"].tolist()
    numbers = pd.to_numeric(kept["price"], errors="coerce").astype(float)
    numbers = numbers.where(numbers.abs() < 3e38)
    np.testing.assert_array_equal(found["price"].to_numpy(), numbers.to_numpy())
    assert set(dataset.entities["user"]["id"].to_pylist()) == set(frame["who"].dropna())
    valid, _ = make_cuts(dataset, Random())
    fold = make_fold(dataset, valid, {"user": 0, "item": 0})
    positions = np.arange(len(fold.events))
    labels, good = event_labels(fold, positions, ["good"], "train"), fold.events.columns["good"]
    assert labels.weights["good"].sum() == len(good) - good.null_count
    assert labels.values["good"].sum() == good.to_pylist().count(1)  # noqa: PD011 - no data frame


ODD = (
    None,
    "",
    " ",
    "x",
    0,
    -1,
    1e308,
    float("inf"),
    2**63,
    True,
    [],
    [[]],
    {},
    {"use": "x"},
    "../..",
    "\x00",
    "é" * 50,
)


def _paths(values, path=()):
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from _paths(value, (*path, key))


def _changed(rng):
    """A recipe with one to three things changed, as text."""
    values = tomllib.loads(RECIPE)
    for _ in range(rng.randint(1, 3)):
        *folder, key = rng.choice([*_paths(values)])
        table = values
        for name in folder:
            table = table[name]
        match rng.randrange(4):
            case 0:
                del table[key]
            case 1:
                table[key] = rng.choice([value for value in ODD if value is not None])
            case 2:
                table["".join(rng.choices(string.ascii_lowercase + "_-. ", k=rng.randint(1, 12)))] = table[key]
            case _:
                table[key] = [table[key]]
    return toml_document(values)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RECIPE_CASES))
def test_recipes(seed, tmp_path, tiny_recipe):
    rng = random.Random(seed)
    text = _changed(rng)
    if rng.random() < 0.25:
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice(['"', "[", "=", "\x00", "\n[", "é", "]]\n"]) + text[place + rng.randrange(3) :]
    path = tmp_path / "drawn.toml"
    path.write_text(text, encoding="utf-8")
    try:
        recipe = load_recipe(path)
    except MtkitError as error:
        lines = str(error).splitlines()
        assert lines
        assert all(str(path) in line or "drawn.toml" in line for line in lines), lines
        return
    assert recipe.task
