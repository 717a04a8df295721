"""Time and memory of full-catalog evaluation as users and items grow: mtkit's ranking, from embeddings to NDCG@10.

Each size runs in a process of its own: embeddings of 64 numbers (float32), five relevant items and twenty excluded ones for
each user. Memory is the peak of the process above what it held before it ranked. Sizes share neither users nor items, and
all but the first are a multiple of it.

Prints a line of JSON. `time_ratio`: CPU time per user and item at the largest size over that at the smallest, 1 where time is
linear; `memory_ratio`: memory with ten times the users, the catalog being the same; `million_users_seconds`: extrapolated
from the largest size to 1,000,000 users with the same catalog.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from mtkit.evaluation.rank import rank
from mtkit.standard.ranking_metrics import Ndcg
from mtkit.types import Ragged

WIDTH, RELEVANT, EXCLUDED, K = 64, 5, 20, 10
MILLION = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=100_000, help="users and items of the largest size")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("USERS", "ITEMS"), help="measure one size, in this process"
    )
    options = parser.parse_args()
    if options.size:
        print(json.dumps(_measure(*options.size)))
        return
    large, small = options.largest, options.largest // 10
    found = {size: _in_process(*size) for size in ((small, small), (small, large), (large, small), (large, large))}
    per_cell = {size: result["cpu_seconds"] / (size[0] * size[1]) for size, result in found.items()}
    memory = {size: result["megabytes"] for size, result in found.items()}
    print(
        json.dumps(
            {
                "time_ratio": per_cell[large, large] / per_cell[small, small],
                "memory_ratio": memory[large, large] / memory[small, large],
                "million_users_seconds": found[large, large]["seconds"] * MILLION / large,
                "sizes": [{"users": users, "items": items, **found[users, items]} for users, items in found],
            }
        )
    )


def _in_process(users: int, items: int) -> dict[str, float]:
    words = [sys.executable, __file__, "--size", str(users), str(items)]
    printed = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(printed)
    return result


def _measure(users: int, items: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(users, WIDTH)).astype(np.float32)
    candidates = rng.normal(size=(WIDTH, items + 1)).astype(np.float32)
    targets, exclude = (_drawn(rng, users, items, count) for count in (RELEVANT, EXCLUDED))
    held, begin, cpu = _peak(), time.perf_counter(), time.process_time()
    ranking, _ = rank(lambda rows: queries[rows] @ candidates, targets, K, exclude)
    value = Ndcg().value(ranking, K)
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu,
        "megabytes": _peak() - held,
        "ndcg": value,
    }


def _drawn(rng: np.random.Generator, users: int, items: int, count: int) -> Ragged:
    """`count` items of each user."""
    drawn = rng.integers(1, items + 1, users * count, dtype=np.int32)
    return Ragged(np.arange(0, users * count + 1, count), {"item": drawn})


def _peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
