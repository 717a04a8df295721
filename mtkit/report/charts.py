"""The figures of a report, from plain arrays; the same ones are in `mtkit.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtkit.report.drawing import BAD, GOOD, MUTED, PAPER, SERIES, TEXT, axes, label, legend, room, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of a curve, and of a map.
POINTS, MAP = 120, 600
#: Inches of a line of a chart with a line for each thing, and of what stands around them.
_LINE, _AROUND, _HEADS = 0.28, 0.75, 1.15


def forest(
    names: Sequence[str], values: Sequence[float], bounds: Sequence[Sequence[float] | None], gains: Sequence[int]
) -> Figure:
    """Relative differences to the best baseline, with intervals; 1 = better for sure, -1 = worse for sure, 0 = not told apart."""
    colors = {1: GOOD, -1: BAD, 0: MUTED}
    with styled():
        figure, ax = axes(height=_AROUND + _LINE * len(names), width=7.4, left=room(names))
        for place, (value, pair, gain) in enumerate(zip(values, bounds, gains, strict=True)):
            if pair is not None:
                ax.plot([100 * bound for bound in pair], [place, place], color=colors[gain])
            ax.plot([100 * value], [place], "o", color=colors[gain], markersize=5)
        ax.axvline(0, color=TEXT, linewidth=1)
        _lines(ax, names)
        ax.set_xlabel("difference to the best baseline, in percent of it; right is better")
    return figure


def _lines(ax: Any, names: Sequence[str]) -> None:
    """A line for each name, the first on top."""
    ax.set_yticks(range(len(names)), [label(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")


def time_line(edges: Sequence[float], counts: Mapping[str, Sequence[float]]) -> Figure:
    """Interactions by time, stacked by part."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    days = np.array(edges, np.float64) / 86_400
    with styled():
        figure, ax = axes(width=7.4, height=2.2, title=" ")
        below = np.zeros(len(days) - 1)
        for color, (name, values) in zip(SERIES, counts.items(), strict=False):
            ax.stairs(below + values, days, baseline=below, fill=True, color=color, label=name)
            below = below + values
        locator = AutoDateLocator(maxticks=8)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        ax.set_ylabel("interactions")
        ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1)
    return figure


def curves(title: str, losses: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray], score: str) -> Figure:
    """Loss and validation of a task after each epoch.

    Args:
        title: the task.
        losses: phase -> `[epochs]`.
        scores: name -> `[epochs]`.
        score: the figure of validation.
    """
    from matplotlib.ticker import MaxNLocator

    with styled():
        figure, made = axes(title, rows=1 + bool(scores), height=3.4 if scores else 2.2)
        panels = np.atleast_1d(made)
        for ax, series, name in zip(panels, (losses, scores), ("loss", score), strict=False):
            for color, (phase, values) in zip(SERIES if ax is panels[0] else SERIES[2:], series.items(), strict=False):
                ax.plot(
                    np.arange(1, len(values) + 1), values, marker="o", markersize=3, color=color, label=label(phase)
                )
            ax.set_ylabel(label(name))
            legend(ax)
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    return figure


def areas(names: Sequence[str], values: Sequence[float], what: str, mark: float) -> Figure:
    """A bar from 0.5 on for each name; what is at or above a mark is red."""
    with styled():
        figure, ax = axes(height=_AROUND + _LINE * len(names), left=room(names))
        colors = [BAD if value >= mark else SERIES[0] for value in values]
        ax.barh(range(len(names)), [max(value - 0.5, 0) for value in values], left=0.5, color=colors, height=0.62)
        _lines(ax, names)
        ax.set(xlim=(0.5, 1), xlabel=label(what, 60))
    return figure


def bars(names: Sequence[str], values: Sequence[float], what: str) -> Figure:
    """A bar for each name."""
    with styled():
        figure, ax = axes(height=_AROUND + _LINE * len(names), left=room(names))
        ax.barh(range(len(names)), values, color=SERIES[0], height=0.62)
        _lines(ax, names)
        ax.set_xlabel(label(what, 60))
    return figure


def intervals(
    names: Sequence[str],
    values: Sequence[float],
    bounds: Sequence[Sequence[float] | None],
    what: str,
    whole: float | None = None,
) -> Figure:
    """A figure for each part, with its interval, beside that of the whole."""
    with styled():
        figure, ax = axes(height=_AROUND + _LINE * len(names), left=room(names))
        for place, (value, pair) in enumerate(zip(values, bounds, strict=True)):
            if pair is not None:
                ax.plot(pair, [place, place], color=SERIES[0])
            ax.plot([value], [place], "o", color=SERIES[0], markersize=5)
        if whole is not None:
            ax.axvline(whole, color=MUTED, linestyle="--", linewidth=1)
        _lines(ax, names)
        ax.set_xlabel(label(what, 60))
    return figure


def reliability(confidence: np.ndarray, frequency: np.ndarray, weight: np.ndarray) -> Figure:
    """How often what is predicted comes true, by bins.

    Args:
        confidence: float `[bins]`, the mean prediction.
        frequency: float `[bins]`, the share of labels that are 1, or of classes that are right.
        weight: float `[bins]`, the share of the rows.
    """
    top = float(min(1.0, 1.08 * max(confidence.max(initial=0), frequency.max(initial=0)))) or 1.0
    with styled():
        figure, ax = axes("Calibration")
        ax.plot([0, top], [0, top], color=MUTED, linestyle="--", linewidth=1, label="calibrated")
        ax.plot(confidence, frequency, color=SERIES[0], label="the model")
        ax.scatter(confidence, frequency, s=20 + 160 * weight, color=SERIES[0])
        ax.set(xlim=(0, top), ylim=(0, top), xlabel="mean prediction", ylabel="share that is so")
        legend(ax)
    return figure


def roc(false: np.ndarray, true: np.ndarray, area: float) -> Figure:
    """The ROC curve."""
    with styled():
        figure, ax = axes("ROC")
        ax.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="chance")
        ax.plot(*thinned(false, true), color=SERIES[0], label=f"the model, area {area:.3f}")
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="false positive rate", ylabel="true positive rate")
        legend(ax)
    return figure


def precision_recall(recall: np.ndarray, precision: np.ndarray, rate: float) -> Figure:
    """Precision by recall."""
    with styled():
        figure, ax = axes("Precision and recall")
        ax.axhline(rate, color=MUTED, linestyle="--", linewidth=1, label=f"chance, {rate:.3f}")
        ax.plot(*thinned(recall, precision), color=SERIES[0], label="the model")
        ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        legend(ax)
    return figure


def lift(share: np.ndarray, times: np.ndarray) -> Figure:
    """How many times more positives than on average there are among the rows with the highest predictions."""
    with styled():
        figure, ax = axes("Lift")
        ax.axhline(1, color=MUTED, linestyle="--", linewidth=1, label="chance")
        ax.plot(*thinned(share, times), color=SERIES[0], label="the model")
        ax.set(xlim=(0, 1), ylim=(0, None), xlabel="share of the rows, best first", ylabel="times the rate")
        legend(ax)
    return figure


def thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of a curve whose x ascends: `POINTS` of them, evenly spread along it."""
    places = np.searchsorted(x, np.linspace(x[0], x[-1], POINTS)).clip(max=len(x) - 1)
    some = np.unique([0, *places, len(x) - 1])
    return x[some], y[some]


def residuals(predicted: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> Figure:
    """What labels are beyond predictions: median and the middle 80 %, by bins of predictions."""
    with styled():
        figure, ax = axes("Residuals")
        ax.axhline(0, color=MUTED, linestyle="--", linewidth=1)
        ax.vlines(predicted, low, high, color=SERIES[0], linewidth=1.4)
        ax.plot(predicted, middle, "o-", color=SERIES[0], markersize=4)
        ax.set(xlabel="prediction", ylabel="label less prediction")
    return figure


def matrix(
    shares: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    across: str,
    down: str,
    texts: Sequence[Sequence[str]] | None = None,
) -> Figure:
    """A matrix of shares from -1 to 1; the larger, the darker, and what is negative is red."""
    from matplotlib.patches import Rectangle

    short = [label(name, 20) for name in rows]
    with styled():
        figure, ax = axes(height=_HEADS + 0.3 * len(rows), left=room(short) + 0.2)
        figure.subplots_adjust(bottom=_HEADS / (_HEADS + 0.3 * len(rows)))
        for i, line in enumerate(np.nan_to_num(shares)):
            for j, share in enumerate(line):
                color = BAD if share < 0 else SERIES[0]
                ax.add_patch(
                    Rectangle(
                        (j - 0.5, i - 0.5), 1, 1, color=color, alpha=float(min(abs(share), 1)) * 0.75, linewidth=0
                    )
                )
                text = texts[i][j] if texts else (f"{share:.0%}" if abs(share) >= 0.005 else "")
                ax.text(j, i, text, ha="center", va="center", fontsize=8, color=TEXT)
        ax.set_xticks(range(len(columns)), [label(name, 14) for name in columns], rotation=40, ha="right")
        ax.set_xlim(-0.5, len(columns) - 0.5)
        _lines(ax, short)
        ax.grid(visible=False)
        ax.set(xlabel=across, ylabel=down)
    return figure


def embedding(points: np.ndarray, groups: Sequence[str] | None) -> Figure:
    """A map of items.

    Args:
        points: float `[items, 2]`, the most popular first.
        groups: the category of each; the most frequent ones have a color.
    """
    points = points[:MAP]
    names = np.array(["items"] * len(points) if groups is None else list(groups[:MAP]), object)
    known, counts = np.unique(names.astype(str), return_counts=True)
    kept = list(known[np.argsort(-counts, kind="stable")][: len(SERIES) - 1])
    with styled():
        figure, ax = axes(width=7.4, height=4.6, left=0.1, right=0.1 if groups is None else 2.0)
        others = ~np.isin(names.astype(str), kept)
        ax.plot(
            *points[others].T, "o", markersize=3, color=SERIES[-1], alpha=0.5, label="others" if others.any() else None
        )
        for color, name in zip(SERIES, kept, strict=False):
            ax.plot(
                *points[names.astype(str) == name].T, "o", markersize=3.5, color=color, alpha=0.8, label=label(name)
            )
        ax.set(xticks=[], yticks=[])
        figure.subplots_adjust(bottom=0.02)
        if groups is not None:
            ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def concentration(shares: Mapping[str, np.ndarray]) -> Figure:
    """Places in lists by items, those with most first, added up: name -> share of the places, `[items]`, descending."""
    with styled():
        figure, ax = axes("Which items fill the lists")
        for color, (name, values) in zip(SERIES, shares.items(), strict=False):
            x = np.arange(len(values) + 1) / max(len(values), 1)
            ax.plot(*thinned(100 * x, 100 * np.append(0, np.cumsum(values))), color=color, label=label(name))
        ax.plot([0, 100], [0, 100], color=MUTED, linestyle="--", linewidth=1, label="all alike")
        ax.set(
            xlim=(0, 100),
            ylim=(0, 102),
            xlabel="percent of the items, most shown first",
            ylabel="percent of the places",
        )
        legend(ax)
    return figure


def wiring(columns: Sequence[Sequence[str]], links: Sequence[tuple[str, str]], heads: Sequence[str]) -> Figure:
    """Boxes in columns, from what is read to the tasks, with lines between them.

    Args:
        columns: the boxes of each column, from left to right.
        links: from a box to one further right.
        heads: what the columns are.
    """
    tallest = max(map(len, columns), default=1)
    places = {
        name: (x, (i + 0.5) * tallest / max(len(column), 1))
        for x, column in enumerate(columns)
        for i, name in enumerate(column)
    }
    with styled():
        figure, ax = axes(width=7.4, height=0.6 + 0.36 * tallest, left=0.1)
        for begin, end in links:
            (x, y), (to_x, to_y) = places[begin], places[end]
            ax.plot([x, to_x], [y, to_y], color=MUTED, linewidth=0.8, alpha=0.55, zorder=1)
        for x, head in enumerate(heads):
            ax.text(x, -0.35, head, ha="center", va="center", fontsize=9, color=MUTED, fontweight="bold")
        for name, (x, y) in places.items():
            box = {"boxstyle": "round,pad=0.3", "facecolor": PAPER, "edgecolor": SERIES[x % 4], "linewidth": 1}
            ax.text(x, y, label(name.partition(":")[2], 22), ha="center", va="center", fontsize=8, bbox=box, zorder=2)
        ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(tallest + 0.2, -0.7))
        ax.set_axis_off()
        figure.subplots_adjust(bottom=0.02)
    return figure
