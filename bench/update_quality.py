"""An update with newer data beside training anew on all of them: how much worse it is, and what it costs.

A made-up shop (`mtkit data make shop`) is divided at the begin of its last half month: a run on what came before is updated
with the rest (`mtkit update`), and the same recipe is trained anew on all. Both are tested on the same rows. With several seeds,
each has a shop of its own.

Prints a line of JSON: by seed and on average NDCG@10 of both, `loss`, that of training anew minus that of the update, and
`examples`, the share of the rows that training anew sees, in all row tables with a time together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

METRIC = "next/ndcg@10"
BEGIN = datetime(2024, 4, 16)  # noqa: DTZ001 - the column has no zone
BEFORE = ("data.split.valid=2024-03-17", "data.split.test=2024-04-01")
LEAN = ("evaluate.baselines=['popularity']", "export.verify=false", "export.unseen=false")
TIMED = ("lines", "next")


def mtkit(*words: object) -> None:
    """Runs the command, which has to succeed."""
    program = "import sys; from mtkit.cli.program import main; main(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", program, *map(str, words)], check=True, stdout=sys.stderr)


def sets(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def divide(shop: Path, begin: datetime) -> None:
    """Moves what is from a moment on to the folder `later`, and the rows of entities that came with it."""
    later = shop.parent / "later"
    later.mkdir()
    log = pq.read_table(shop / "interactions.parquet")
    early = pc.less(log["time"], pa.scalar(begin).cast(log["time"].type))
    for entity in ("user", "item"):
        table = pq.read_table(shop / f"{entity}s.parquet")
        known = pc.is_in(table["id"], value_set=pc.unique(log.filter(early)[entity]))
        pq.write_table(table.filter(pc.invert(known)), later / f"{entity}s.parquet")
        pq.write_table(table.filter(known), shop / f"{entity}s.parquet")
    pq.write_table(log.filter(pc.invert(early)), later / "interactions.parquet")
    pq.write_table(log.filter(early), shop / "interactions.parquet")


def read(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return found


def seen(run: Path) -> float:
    """Rows that the training for the test saw."""
    rows = json.loads((run / "rows" / "test.json").read_text(encoding="utf-8"))["tables"]
    passes = read(run)["training"]["test"]["passes"]
    return float(sum(passes[name] * rows[name]["train"]["rows"] for name in TIMED))


def measured(seed: int, rows: int, epochs: int, replay: float) -> Mapping[str, float]:
    """Both figures of one shop."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mtkit("data", "make", "shop", "-o", folder / "whole", "--rows", rows, "--seed", seed)
        mtkit("data", "make", "shop", "-o", folder / "shop", "--rows", rows, "--seed", seed)
        divide(folder / "shop", BEGIN)
        mtkit("run", folder / "whole/shop.toml", "--run-dir", folder / "anew", "-q", *sets(*LEAN))
        mtkit("run", folder / "shop/shop.toml", "--run-dir", folder / "before", "-q", *sets(*LEAN, *BEFORE))
        options = ["--data", folder / "later", "--run-dir", folder / "updated", "--replay", replay, "-q"]
        mtkit("update", folder / "before", *options, *sets(f"train.epochs={epochs}"))
        updated, anew = (read(folder / run) for run in ("updated", "anew"))
        parts = {
            "before": updated["init"]["test"]["before"][METRIC],
            "updated": updated["test"][METRIC],
            "anew": anew["test"][METRIC],
            "loss": anew["test"][METRIC] - updated["test"][METRIC],
            "examples": seen(folder / "updated") / seen(folder / "anew"),
        }
        return {key: round(value, 5) for key, value in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--replay", type=float, default=0.1)
    options = parser.parse_args()
    found = [measured(seed, options.rows, options.epochs, options.replay) for seed in range(options.seeds)]
    mean = {key: round(sum(one[key] for one in found) / len(found), 5) for key in found[0]}
    print(json.dumps({"seeds": found, **mean}))


if __name__ == "__main__":
    main()
