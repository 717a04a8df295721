"""The problem of two losses in two variables on which CAGrad and Nash-MTL are shown, by every way of balancing gradients.

Its basin has a Pareto set, x2 about -8.36 (-8.43 at the ends) with x1 from -7 (where the second loss is least) to 7 (the
first); above lies a slope with two narrow valleys, in which the gradients conflict. Five starts, and Adam with .001. In the
second paper the first loss is a tenth of that in the first (`--scale 0.1`, 35,000 steps; `--scale 1`, 100,000 steps).

Sources: Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021, appendix; Navon et al., Multi-Task
Learning as a Bargaining Game, ICML 2022, appendix B, and the code of both.

Prints a table of where each method ends, and a line of JSON: {METHOD: {"reached": how many starts, "ends": [[x1, x2], ...],
"losses": [[first, second], ...]}, ...}.

    python bench/toy_problem.py [--scale 0.1] [--steps 35000] [--plot FILE.svg] [--markdown]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mtkit.backend import tf
from mtkit.layers.grad_drop import grad_drop
from mtkit.layers.gramian import Weighting
from mtkit.layers.gramian_weights import DBMTL, IMTLG, MGDA, AlignedMTL, CAGrad, ConFIG, NashMTL, PCGrad, UPGrad

STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
SET, HALF_LENGTH, CLOSE = -8.3552, 7.0, 0.1
LEAST = 5e-6
RATE, DECAYS, EPSILON = 1e-3, (0.9, 0.999), 1e-8
CALL = 500

WEIGHTINGS: dict[str, Weighting] = {
    "PCGrad": PCGrad(), "MGDA": MGDA(), "CAGrad": CAGrad(), "Nash-MTL": NashMTL(), "IMTL-G": IMTLG(),
    "Aligned-MTL": AlignedMTL(), "ConFIG": ConFIG(), "UPGrad": UPGrad(), "DB-MTL": DBMTL(),
}  # fmt: skip

Direction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1, help="of the first loss")
    parser.add_argument("--steps", type=int, default=35_000)
    parser.add_argument(
        "--plot", type=Path, help="where a plot of the ways in the plane of the losses is written, as SVG"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    arguments = parser.parse_args()
    ways = {name: descend(direction, arguments.scale, arguments.steps) for name, direction in directions().items()}
    if arguments.plot:
        arguments.plot.write_text(plot(ways, arguments.scale))
    found = {name: summary(way[-1], arguments.scale) for name, way in ways.items()}
    show(found, arguments.markdown)
    print(json.dumps(found))


def losses(point: tf.Tensor, scale: float) -> tf.Tensor:
    """Both losses, `[..., 2]`, of points `[..., 2]`."""
    first, second = point[..., 0], point[..., 1]
    above, below = tf.maximum(tf.tanh(second / 2), 0), tf.maximum(tf.tanh(-second / 2), 0)
    turned = tf.tanh(-second)
    slopes = [(-first - 7) / 2 - turned, (-first + 3) / 2 + turned + 2]
    valleys = [tf.math.log(tf.maximum(tf.abs(slope), LEAST)) + 6 for slope in slopes]
    basins = [((first - side) ** 2 + 0.1 * (second + 8) ** 2) / 10 - 20 for side in (7, -7)]
    one, other = (above * valley + below * basin for valley, basin in zip(valleys, basins, strict=True))
    return tf.stack([one * scale, other], -1)


def directions() -> dict[str, Direction]:
    """What a Jacobian and a seed become, by method; methods that remember go by their last step, which these do not need."""

    def weighted(weighting: Weighting) -> Direction:
        def direction(jacobian: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            memory = {name: tf.constant(value) for name, value in weighting.memory(len(STARTS[0])).items()}
            weights, _ = weighting(tf.matmul(jacobian, jacobian, transpose_b=True), memory, seed)
            return tf.linalg.matvec(jacobian, weights, transpose_a=True)

        return direction

    return {
        "sum": lambda jacobian, _: tf.reduce_sum(jacobian, 0),
        "GradDrop": grad_drop,
        **{name: weighted(weighting) for name, weighting in WEIGHTINGS.items()},
    }


def descend(direction: Direction, scale: float, steps: int) -> np.ndarray:
    """The points after every `CALL` steps from each start, `[calls + 1, starts, 2]`."""

    def step(
        done: tf.Tensor, point: tf.Tensor, mean: tf.Tensor, square: tf.Tensor, start: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch(point)
            both = losses(point, scale)
        gradient = direction(tape.jacobian(both, point, experimental_use_pfor=False), tf.stack([done, start]))
        mean = DECAYS[0] * mean + (1 - DECAYS[0]) * gradient
        square = DECAYS[1] * square + (1 - DECAYS[1]) * gradient**2
        count = tf.cast(done + 1, tf.float64)
        corrected = [moment / (1 - decay**count) for moment, decay in zip((mean, square), DECAYS, strict=True)]
        return done + 1, point - RATE * corrected[0] / (tf.sqrt(corrected[1]) + EPSILON), mean, square, start

    @tf.function(jit_compile=True, autograph=False)
    def call(*state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        end = state[0] + CALL
        return tf.while_loop(lambda done, *_: done < end, step, state)

    ways = []
    for number, start in enumerate(STARTS):
        nothing = tf.zeros([2], tf.float64)
        state = (
            tf.constant(0, tf.int64),
            tf.constant(start, tf.float64),
            nothing,
            nothing,
            tf.constant(number, tf.int64),
        )
        way = [np.array(start)]
        for _ in range(-(-steps // CALL)):
            state = call(*state)
            way.append(state[1].numpy())
        ways.append(way)
    return np.stack(ways, 1)


def summary(ends: np.ndarray, scale: float) -> dict[str, Any]:
    """Where a method ends."""
    return {
        "reached": sum(reached(end) for end in ends),
        "ends": ends.round(3).tolist(),
        "losses": losses(tf.constant(ends), scale).numpy().round(3).tolist(),
    }


def reached(end: Sequence[float]) -> bool:
    """Whether a point is of the Pareto set."""
    return bool(abs(end[1] - SET) < CLOSE and abs(end[0]) < HALF_LENGTH + CLOSE)


def show(found: Mapping[str, Mapping[str, Any]], markdown: bool) -> None:
    """The table: x1 where a start reached the set, else the point where it is."""
    heads = ("method", *(f"from ({start[0]:g}, {start[1]:g})" for start in STARTS), "reached")
    rows = [
        (name, *(f"{end[0]:.2f}" if reached(end) else f"no: ({end[0]:.2f}, {end[1]:.2f})" for end in values["ends"]),
         f"{values['reached']} of {len(STARTS)}")
        for name, values in found.items()
    ]  # fmt: skip
    if markdown:
        for row in (heads, ["---"] * len(heads), *rows):
            print(f"| {' | '.join(row)} |")
        return
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    Console(width=150).print(table)


COLORS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccaa22")
PANEL, MARGIN, COLUMNS = 220, 24, 4


def plot(ways: Mapping[str, np.ndarray], scale: float) -> str:
    """SVG: for each method the ways from the five starts, the first loss to the right, the second one up, and the front."""
    across = np.linspace(-HALF_LENGTH, HALF_LENGTH, 50)
    front = losses(tf.constant(np.stack([across, np.full(50, SET)], 1)), scale).numpy()
    seen = {name: losses(tf.constant(way), scale).numpy() for name, way in ways.items()}
    every = np.concatenate([front, *(way.reshape(-1, 2) for way in seen.values())])
    low, size = every.min(0), np.ptp(every, 0)

    def path(points: np.ndarray, style: str) -> str:
        placed = (points - low) / size * [1, -1] * PANEL + [0, PANEL]
        return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}" fill="none" {style}/>'

    panels = []
    for number, (name, way) in enumerate(seen.items()):
        row, column = divmod(number, COLUMNS)
        left, top = (MARGIN + place * (PANEL + MARGIN) for place in (column, row))
        lines = [path(front, 'stroke="#bbbbbb" stroke-width="7" stroke-linecap="round"')]
        for start, color in enumerate(COLORS):
            dots = f'stroke="{color}" stroke-width="8" stroke-linecap="round"'
            lines += [path(way[:, start], f'stroke="{color}" stroke-width="1.5"'), path(way[[-1, -1], start], dots)]
        frame = f'<rect width="{PANEL}" height="{PANEL}" fill="none" stroke="#dddddd"/><text y="-6">{name}</text>'
        panels.append(f'<g transform="translate({left},{top})">{frame}{"".join(lines)}</g>')
    width, height = (MARGIN + count * (PANEL + MARGIN) for count in (COLUMNS, -(-len(seen) // COLUMNS)))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="14">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *panels, "</svg>", ""])


if __name__ == "__main__":
    main()
