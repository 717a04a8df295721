"""How often `mtkit tasks` is right about tasks whose relations are known: `mtkit.testing.related_tasks`, at both ends.

Where tasks have nothing to do with one another, all are to be kept. Where they have, the one that is opposed to two others is
to be trained apart, and these, which are alike, are to be kept, as is one of noise, which has a small weight and does no harm. A
report is right if all four verdicts are.
Prints one JSON line: strength -> reports that are right, of how many, and the verdicts of those that are not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from mtkit.recipe.loader import load_recipe
from mtkit.runs.tasks import report_tasks
from mtkit.testing.related_tasks import expected_verdicts, write_related_tasks

ENDS = (0.0, 1.0)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=int, default=20, help="how many data sets of each strength")
    arguments.add_argument("--seeds", type=int, default=2, help="of each fit")
    options = arguments.parse_args()
    found: dict[str, dict[str, Any]] = {f"{end:g}": {"right": 0, "of": 0, "wrong": {}} for end in ENDS}
    for seed in range(options.data):
        for end in ENDS:
            verdicts, result = _verdicts(end, seed, options.seeds), found[f"{end:g}"]
            right = verdicts == expected_verdicts(end)
            result["right"], result["of"] = result["right"] + right, result["of"] + 1
            if not right:
                result["wrong"][str(seed)] = verdicts
            print(f"strength {end:g}, data {seed}: {verdicts}", file=sys.stderr, flush=True)
    print(json.dumps(found))


def _verdicts(strength: float, seed: int, seeds: int) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        recipe = load_recipe(write_related_tasks(Path(folder), strength, seed), ["train.validation_rows=0"])
        found = report_tasks(recipe, Path(folder) / "tasks", seeds=seeds, quiet=True)
    return {verdict["task"]: verdict["verdict"] for verdict in found["verdicts"]}


if __name__ == "__main__":
    main()
