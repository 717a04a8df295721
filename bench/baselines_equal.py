"""Largest difference between the baselines in a run's metrics.json and the independent reference.

Prints a line of JSON: {"max_difference": ..., "compared": ...}; exit status 1 where it is above the tolerance or a run
lacks a baseline or metric of the reference.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reference_ecommerce import installed, read, reference

if TYPE_CHECKING:
    from collections.abc import Mapping


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", type=Path, help="metrics.json of a run of recipes/ecommerce.toml")
    parser.add_argument("--reference", type=Path, help="what reference_ecommerce.py printed; default: computed anew")
    parser.add_argument("--tolerance", type=float, default=1e-6)
    arguments = parser.parse_args()
    measured = json.loads(arguments.metrics.read_text())["baselines"]
    if arguments.reference:
        expected = json.loads(arguments.reference.read_text())
    else:
        expected = reference(read(installed()), cutoffs(measured["popularity"]))
    differences = compare(measured, expected["test"])
    for key, difference in sorted(differences.items()):
        if not difference <= arguments.tolerance:
            print(f"{key}: differs by {difference:g}", file=sys.stderr)
    largest = max(differences.values())
    print(json.dumps({"max_difference": largest if math.isfinite(largest) else None, "compared": len(differences)}))
    sys.exit(not largest <= arguments.tolerance)


def cutoffs(values: Mapping[str, object]) -> list[int]:
    """The k of the keys `next/metric@k`."""
    return sorted({int(match[1]) for key in values if (match := re.fullmatch(r"next/\w+@(\d+)", key))})


def compare(measured: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """`baseline next/metric@k` -> absolute difference; infinite where the run has no such value."""
    return {
        f"{name} {key}": abs(_mean(measured.get(name, {}).get(key, math.inf)) - value)
        for name, values in expected.items()
        for key, value in values.items()
    }


def _mean(value: float | Mapping[str, float]) -> float:
    """With several seeds a value is `{"mean", "std", "values"}`."""
    return value if isinstance(value, int | float) else value["mean"]


if __name__ == "__main__":
    main()
