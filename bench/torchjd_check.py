"""mtkit's balancing of gradients beside TorchJD's, on random Jacobians.

Jacobians in float64 have 2 to 8 tasks, and gradients from 1e-6 to 1e6 in length, of several kinds in turn: plain, in conflict,
of low rank, with gradients that are 0, with two that are opposite, with lengths up to 10,000 times apart. TorchJD
(torchjd_peer.py, `make torchjd`) gets them without the gradients that are 0, which count as if they were not there in mtkit.

Rules in closed form, and those that both solve exactly, are compared by their sum of the gradients, relative to its norm; from
TorchJD's draws where they are random. Sums below a millionth of the shortest gradient are 0. Where a solver iterates, its
objective counts: of MGDA the squared length of the sum, by that of the longest gradient; of CAGrad what is done for the task for
which least is done, by the lengths of the mean and of the longest gradient; of Nash-MTL the sum of the logarithms of the cosines
with all gradients, where a direction is good for all tasks, for else there is no solution.

Prints a table, and a line of JSON: {METHOD: {"compared": Jacobians, "worse": how far mtkit's result is off, or its objective the
worse, at most, "better": how much the better at most, "apart": how many are beyond the tolerance, either way}, ...}.

    python bench/torchjd_check.py [--jacobians 1000] [--seed 0] [--peer .venv-torchjd/bin/python] [--markdown]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mtkit.backend import tf
from mtkit.layers.grad_drop import kept
from mtkit.layers.gramian import Gradients
from mtkit.layers.gramian_weights import IMTLG, MGDA, AlignedMTL, CAGrad, ConFIG, NashMTL, PCGrad, UPGrad

BENCH = Path(__file__).resolve().parent
KINDS = ("plain", "conflict", "low rank", "zeros", "opposite", "lengths")
WEIGHTINGS = {
    "imtl_g": IMTLG(), "aligned_mtl": AlignedMTL(), "config": ConFIG(), "upgrad": UPGrad(),
    "mgda": MGDA(), "cagrad": CAGrad(0.4), "nash_mtl": NashMTL(max_norm=0.0),
}  # fmt: skip
METHODS = ("pcgrad", "grad_drop", *WEIGHTINGS)
#: Difference, or objective, that is the same.
TOLERANCE = dict.fromkeys(METHODS, 1e-5) | dict.fromkeys(("mgda", "cagrad", "nash_mtl"), 1e-3)
LEAK = 0.5
NOTHING, CANCELED = 1e-6, 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jacobians", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", type=Path, default=BENCH.parent / ".venv-torchjd/bin/python", help="TorchJD's Python")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    arguments = parser.parse_args()
    if not arguments.peer.is_file():
        sys.exit(f"there is no {arguments.peer}: make it with `make torchjd`, or name another Python with --peer")
    rng = np.random.default_rng(arguments.seed)
    jacobians = [made(KINDS[number % len(KINDS)], rng) for number in range(arguments.jacobians)]
    with tempfile.TemporaryDirectory() as directory:
        theirs = answers(arguments.peer, jacobians, Path(directory))
    found = {method: summary(method, jacobians, theirs) for method in METHODS}
    show(found, arguments.markdown)
    print(json.dumps(found))


def made(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A Jacobian `[tasks, n]` of a kind."""
    tasks, width, digits = rng.integers(2, 9), rng.integers(8, 33), 6
    found = rng.normal(size=(tasks, width))
    match kind:
        case "conflict":
            found -= rng.uniform(0.5, 1) * found.mean(0)
        case "low rank":
            rank = rng.integers(1, tasks)
            found = rng.normal(size=(tasks, rank)) @ rng.normal(size=(rank, width))
        case "zeros":
            found[rng.permutation(tasks)[: rng.integers(1, tasks)]] = 0
        case "opposite":
            found[1] = -rng.uniform(0.5, 2) * found[0]
        case "lengths":
            found, digits = found * 10.0 ** rng.uniform(-2, 2, size=(tasks, 1)), 4
    return found * 10.0 ** rng.uniform(-digits, digits)


def answers(peer: Path, jacobians: Sequence[np.ndarray], directory: Path) -> dict[str, np.ndarray]:
    """TorchJD's results, by METHOD/NUMBER."""
    source, target = directory / "jacobians.npz", directory / "results.npz"
    np.savez(source, **{str(number): there(jacobian) for number, jacobian in enumerate(jacobians)})
    subprocess.run([peer, BENCH / "torchjd_peer.py", source, target], check=True)
    with np.load(target) as results:
        return dict(results)


def there(jacobian: np.ndarray) -> np.ndarray:
    """The gradients that are not 0."""
    return jacobian[jacobian.any(1)]


def summary(method: str, jacobians: Sequence[np.ndarray], theirs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the differences of a method come to."""
    found = np.array([difference(method, jacobian, theirs, str(number)) for number, jacobian in enumerate(jacobians)])
    found = found[np.isfinite(found)]
    return {
        "compared": len(found),
        "worse": float(found.max()),
        "better": float(-found.min()),
        "apart": int((np.abs(found) > TOLERANCE[method]).sum()),
    }


def difference(method: str, jacobian: np.ndarray, theirs: Mapping[str, np.ndarray], name: str) -> float:
    """How far mtkit is off, or how much the worse; nan where TorchJD has no answer, or there is no solution."""
    expected = theirs[f"{method}/{name}"]
    gradients = there(jacobian)
    shortest = np.linalg.norm(gradients, axis=1).min()
    if method == "pcgrad":
        found = PCGrad.projected(
            Gradients.of(tf.constant(gradients @ gradients.T)), tf.constant(theirs[f"orders/{name}"])
        )
        return apart(gradients.T @ found.numpy(), expected, shortest)
    if method == "grad_drop":
        leak = tf.linspace(tf.zeros([], tf.float64), LEAK, len(gradients))
        return apart(
            kept(tf.constant(gradients), tf.constant(theirs[f"uniform/{name}"]), leak).numpy(), expected, shortest
        )
    if method in ("cagrad", "nash_mtl"):
        jacobian = jacobian / np.linalg.norm(jacobian)
    weights = weighed(method, jacobian)
    if method in OBJECTIVES:
        return OBJECTIVES[method](there(jacobian), weights[jacobian.any(1)], expected)
    return apart(jacobian.T @ weights, expected, shortest)


def weighed(method: str, jacobian: np.ndarray) -> np.ndarray:
    """mtkit's weights."""
    return traced(method)(tf.constant(jacobian @ jacobian.T)).numpy()


@cache
def traced(method: str) -> Any:
    """A method as a function of the Gramian, at its first step."""

    def weights(gramian: tf.Tensor) -> tf.Tensor:
        memory = {name: tf.constant(value) for name, value in WEIGHTINGS[method].memory(gramian.shape[0]).items()}
        return WEIGHTINGS[method](gramian, memory, tf.zeros([2], tf.int64))[0]

    return tf.function(weights, autograph=False)


def apart(one: np.ndarray, other: np.ndarray, shortest: float) -> float:
    """The distance of two sums, by the longer one."""
    length = max(np.linalg.norm(one), np.linalg.norm(other))
    return 0.0 if length < NOTHING * shortest else float(np.linalg.norm(one - other) / length)


def shorter(gradients: np.ndarray, weights: np.ndarray, expected: np.ndarray) -> float:
    """How much longer mtkit's sum is than TorchJD's, squared, by the longest gradient."""
    found = gradients.T @ weights
    return float((found @ found - expected @ expected) / np.square(gradients).sum(1).max())


def kinder(gradients: np.ndarray, weights: np.ndarray, expected: np.ndarray) -> float:
    """How much less mtkit's sum does for the task for which it does least."""
    least, theirs = ((gradients @ total).min() for total in (gradients.T @ weights, expected))
    return float((theirs - least) / np.linalg.norm(gradients.mean(0)) / np.linalg.norm(gradients, axis=1).max())


def fairer(gradients: np.ndarray, weights: np.ndarray, expected: np.ndarray) -> float:
    """How much less the utilities' product is with mtkit's sum, by its logarithm."""
    lengths = np.linalg.norm(gradients, axis=1)
    if np.linalg.norm(gradients.T @ weighed("mgda", gradients)) < CANCELED * lengths.min() or np.isnan(expected).any():
        return np.nan

    def objective(total: np.ndarray) -> float:
        return float(
            np.log(np.maximum(gradients @ total / lengths / np.linalg.norm(total), np.finfo(float).tiny)).sum()
        )

    return objective(expected) - objective(gradients.T @ weights)


OBJECTIVES = {"mgda": shorter, "cagrad": kinder, "nash_mtl": fairer}


def show(found: Mapping[str, Mapping[str, Any]], markdown: bool) -> None:
    """The table."""
    heads = (
        "method",
        "compared by",
        "Jacobians",
        "mtkit worse, at most",
        "TorchJD worse, at most",
        "beyond the tolerance",
    )
    rows = []
    for method, values in found.items():
        iterates = method in OBJECTIVES
        rows.append((
            method,
            f"{'objective' if iterates else 'sum'}, {TOLERANCE[method]:.0e}",
            f"{values['compared']:,}",
            f"{max(values['worse'], 0):.1e}",
            f"{max(values['better'], 0):.1e}" if iterates else "",
            f"{values['apart']:,}",
        ))  # fmt: skip
    if markdown:
        for row in (heads, ["---"] * len(heads), *rows):
            print(f"| {' | '.join(row)} |")
        return
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
