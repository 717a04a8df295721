"""Seconds that `mtkit init` and `mtkit profile` take on a log of a million rows and 15 columns, as processes of their own.

The log is made up: users and items with skewed frequencies, times in order, categories, numbers, two labels, a text; with a
table of items. `init` writes its recipe, which `profile` then reads.

Prints a line of JSON: {"rows": ..., "init": seconds, "profile": seconds, "init_cpu": ..., "profile_cpu": ...}; CPU seconds
count what other work on the machine does not.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROWS = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write(directory, arguments.rows)
        recipe = str(directory / "recipe.toml")
        files = [str(directory / "events.csv"), str(directory / "items.csv")]
        found = {"rows": arguments.rows}
        for command, given in (("init", [*files, "-o", recipe, "--yes"]), ("profile", [recipe])):
            found[command], found[f"{command}_cpu"] = timed(command, given)
    print(json.dumps(found))


def timed(command: str, arguments: list[str]) -> tuple[float, float]:
    """Seconds on the clock, and of CPU."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    call = [str(Path(sys.executable).with_name("mtkit")), command, *arguments]
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begin, cpu


def write(directory: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    users, items = rows // 40, 20_000
    frame = pd.DataFrame(
        {
            "user_id": (users * random.random(rows) ** 2).astype(int),
            "item_id": (items * random.random(rows) ** 3).astype(int),
            "timestamp": np.sort(random.integers(1_700_000_000, 1_720_000_000, rows)),
            "clicked": (random.random(rows) < 0.2).astype(int),
            "liked": (random.random(rows) < 0.03).astype(int),
            "query": random.choice(["shoes", "red shoes", "coat", "warm coat", "hat"], rows),
        }
    )
    for number in range(5):
        frame[f"place_{number}"] = random.choice(list("abcdefgh"), rows)
    for number in range(4):
        frame[f"size_{number}"] = random.normal(size=rows).round(3)
    frame.to_csv(directory / "events.csv", index=False)
    titles = [f"thing {number} of {'abcdef'[number % 6]}" for number in range(items)]
    kinds = random.choice(["shoe", "coat", "hat"], items)
    pd.DataFrame({"item_id": range(items), "title": titles, "kind": kinds}).to_csv(directory / "items.csv", index=False)


if __name__ == "__main__":
    main()
