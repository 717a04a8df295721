"""How long OpenMP's threads should spin while they wait for one another: fits of gradient boosting, by what is set.

The command `mtkit` lets them spin shortly (`short`), where neither OMP_WAIT_POLICY nor GOMP_SPINCOUNT is set. Each fit is in a
process of its own; `--busy` others compute all the time meanwhile, on the same cores.

    python bench/waiting_threads.py
    python bench/waiting_threads.py --busy 6
    python bench/waiting_threads.py --rows 300000
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

FIT = """
import sys, time
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
rng, size = np.random.default_rng(0), int(sys.argv[1])
rows, labels = rng.random((size, 12), np.float32), rng.random(size) < 0.1
begin = time.perf_counter()
HistGradientBoostingClassifier(max_iter=60, early_stopping=False).fit(rows, labels)
print(time.perf_counter() - begin)
"""
SETTINGS = {"short": {"GOMP_SPINCOUNT": "10000"}, "never": {"OMP_WAIT_POLICY": "PASSIVE"}, "default": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=0, help="processes that compute meanwhile")
    parser.add_argument("--rows", type=int, default=3700)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60, help="seconds after which a fit is given up")
    arguments = parser.parse_args()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(arguments.busy)]
    try:
        rounds = [
            {name: seconds(of, arguments.rows, arguments.limit) for name, of in SETTINGS.items()}
            for _ in range(arguments.rounds)
        ]
    finally:
        for process in busy:
            process.kill()
    medians = {name: round(statistics.median(one[name] for one in rounds), 2) for name in SETTINGS}
    print(json.dumps({"busy": arguments.busy, "rows": arguments.rows, **medians}))


def seconds(setting: dict[str, str], rows: int, limit: float) -> float:
    """What a fit takes, in a process of its own; infinite where it takes longer than the limit."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", FIT, str(rows)]
    try:
        done = subprocess.run(command, env=rest | setting, capture_output=True, text=True, check=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return float("inf")
    return float(done.stdout)


if __name__ == "__main__":
    main()
