"""Memory of a built model's row tables, and of requests to an export with many items.

The first is what a process holds more once a model is built, beside what the arrays of its row tables measure: 2 would be
two copies of them. The others are asked of an untrained export of a made-up shop with 20,000 items, in a process that has
TensorFlow alone: how much more the process holds at most while it answers, after small requests. `past` is that of a new
user who brings 20,000 items along, `most` the largest of all requests for k = 2**31 - 1.

Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ITEMS, MOST = 20_000, 2**31 - 1
RECIPE_OF_ROWS = """\
recipe = 1
name = "rows"
[data]
use = "files"
interactions = "interactions.parquet"
columns.user = {kind = "id", entity = "user"}
columns.item = {kind = "id", entity = "item"}
columns.time = {kind = "time"}
columns.channel = {kind = "categorical"}
columns.price = {kind = "numeric"}
columns.liked = {kind = "label"}
[data.split]
use = "time"
valid = 2024-11-01
test = 2024-12-01
[rows.windows]
use = "windows"
length = "30d"
count = 3
batch_size = 64
[rows.lines]
use = "interactions"
batch_size = 64
[encoder.user]
use = "features"
reads = ["user.id"]
dim = 4
[encoder.past]
use = "history"
reads = ["history.item"]
items = "item"
length = 16
dim = 4
[encoder.item]
use = "features"
reads = ["item.id"]
dim = 4
[encoder.visit]
use = "features"
reads = ["context.channel", "context.price"]
dim = 4
[task.next]
use = "gated_retrieval"
rows = "windows"
query = ["past"]
candidate = ["item"]
[task.liked]
use = "user_preference"
rows = "lines"
inputs = ["user", "item", "visit"]
label = "liked"
[evaluate]
metrics = ["ndcg"]
baselines = []
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000_000, help="interactions of the model that is built")
    parser.add_argument("--part", choices=("built", "export", "ask"), help="a part alone, as the program starts itself")
    parser.add_argument("--directory", type=Path, help="of a part")
    options = parser.parse_args()
    parts = {"built": _built, "export": _export, "ask": _ask}
    if options.part:
        print(json.dumps(parts[options.part](options.directory, options.rows)))
        return
    with tempfile.TemporaryDirectory() as directory:
        built, _, asked = (_alone(part, directory, options.rows) for part in parts)
    print(json.dumps(built | asked))


def _alone(part: str, directory: str, rows: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--directory", directory, "--rows", str(rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _pipeline(directory: Path, rows: int, users: int) -> tuple[Any, int]:
    """A model that is built, and the bytes that the process held before it was."""
    import numpy as np
    import pandas as pd

    from mtkit.data.catalogs import make_cuts
    from mtkit.data.columns import load
    from mtkit.model.assembly import assemble
    from mtkit.recipe.loader import load_recipe

    rng = np.random.default_rng(0)
    columns = {
        "user": rng.integers(0, users, rows),
        "item": rng.permutation(np.arange(rows) % ITEMS),
        "time": 1_704_067_200 + rng.integers(0, 365 * 86_400, rows),
        "channel": np.array(list("abcde"))[rng.integers(0, 5, rows)],
        "price": rng.random(rows),
        "liked": rng.random(rows) < 0.3,
    }
    pd.DataFrame(columns).to_parquet(directory / "interactions.parquet")
    del columns
    (directory / "rows.toml").write_text(RECIPE_OF_ROWS, "utf-8")
    recipe = load_recipe(directory / "rows.toml")
    dataset = load(recipe.data.source)
    cut = make_cuts(dataset, recipe.data.split)[1]
    before = _held()
    return assemble(recipe, dataset, cut), before


def _built(directory: Path, rows: int) -> dict[str, Any]:
    from mtkit.data.memory import bytes_of

    _pipeline(directory, 100_000, 5_000)  # what TensorFlow and its threads take at all
    pipeline, before = _pipeline(directory, rows, rows // 20)
    held = _held() - before
    arrays = sum(bytes_of(table) for parts in pipeline.tables.values() for table in parts.values())
    return {"built_gigabytes": held / 2**30, "built_ratio": held / arrays}


def _export(directory: Path, rows: int) -> dict[str, Any]:
    del rows
    from mtkit.serving.export import save

    return {"version": str(save(_pipeline(directory, 200_000, 5_000)[0], directory / "export"))}


def _ask(directory: Path, rows: int) -> dict[str, Any]:
    del rows
    import numpy as np
    import tensorflow as tf

    signatures = tf.saved_model.load(str(directory / "export/1")).signatures

    def grown(signature: str, **inputs: Any) -> float:
        specs = signatures[signature].structured_input_signature[1]
        request = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
        before = _held()
        Path("/proc/self/clear_refs").write_text("5")  # the most that was held begins anew
        signatures[signature](**request)
        return (_most() - before) / 2**20

    def new(items: int, k: int) -> dict[str, Any]:
        ids, age = np.arange(items).astype(str).astype(object), np.linspace(300, 1, items)
        return {
            "history_item_ids": ids[None],
            "history_age": age[None],
            "k": k,
            "exclude_ids": np.zeros([1, 0], object),
        }

    known = {"user_id": ["1"], "exclude_ids": np.zeros([1, 0], object)}
    requests = {
        "recommend": {**known, "k": 10},
        "past": {"user_id": ["1"], "k": 10},
        "recommend_new_user": new(2, 10),
    }
    for signature, request in requests.items():
        grown(signature, **request)
    most = {
        "recommend": grown("recommend", **requests["recommend"] | {"k": MOST}),
        "past": grown("past", **requests["past"] | {"k": MOST}),
    }
    past = grown("recommend_new_user", **new(ITEMS, 10))
    most["recommend_new_user"] = grown("recommend_new_user", **new(ITEMS, MOST))
    return {"past_megabytes": past, "most_megabytes": max(most.values()), "most": most}


def _held() -> int:
    """Bytes that the process holds, what was freed given back."""
    import ctypes
    import gc

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _most() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
