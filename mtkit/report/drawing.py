"""The look of figures, and figures as parts of a page: vectors alone, whose colors follow the page's."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mtkit.report.markup import Html, clipped, el

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Of series, in their order; each has a contrast of 3 on white at least, and its place in the page's style.
SERIES = ("#2563eb", "#c2410c", "#15803d", "#7e22ce", "#0f766e", "#be185d", "#a16207", "#475569")
TEXT, MUTED, GRID, GOOD, BAD, PAPER = "#111827", "#4b5563", "#d1d5db", "#166534", "#b91c1c", "#fefefe"
#: Color -> what the page calls it.
_VARIABLES = {color: f"var(--s{number})" for number, color in enumerate(SERIES, 1)} | {
    TEXT: "currentColor", MUTED: "var(--muted)", GRID: "var(--line)", GOOD: "var(--good)", BAD: "var(--bad)", PAPER: "var(--bg)",
}  # fmt: skip
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.size": 9.5, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.titley": 1.0,  # else the place is looked for, which takes an eighth of all drawing
    "text.color": TEXT, "axes.labelcolor": MUTED, "axes.edgecolor": GRID, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none",
    "legend.frameon": False, "legend.fontsize": 9, "lines.linewidth": 1.8, "xtick.labelsize": 9, "ytick.labelsize": 9,
    "axes.labelsize": 9, "path.simplify": True,
}  # fmt: skip
#: Inches: of a figure, around its axes, and of a character of a name.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BELOW, _TITLE, _CHARACTER = 4.6, 2.9, 0.68, 0.12, 0.5, 0.3, 0.069


@contextmanager
def styled() -> Iterator[None]:
    """Figures that are made within look alike."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def axes(
    title: str = "",
    height: float = _HEIGHT,
    rows: int = 1,
    width: float = _WIDTH,
    left: float = _LEFT,
    right: float = _RIGHT,
) -> tuple[Figure, Any]:
    """A figure with axes, one below the other; within `styled`.

    Args:
        title: of the first axes.
        height: inches.
        rows: how many axes.
        width: inches.
        left: inches that labels take on the left; margins are given, since to measure texts takes longer than to draw them.
        right: inches on the right.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    made = figure.subplots(rows, 1, sharex=rows > 1)
    figure.subplots_adjust(
        left / width, _BELOW / height, 1 - right / width, 1 - (_TITLE if title else _RIGHT) / height, hspace=0.12
    )
    for ax in made if rows > 1 else [made]:
        ax.locator_params(nbins=5)  # ticks are most of what drawing takes
    if title:
        (made if rows == 1 else made[0]).set_title(label(title, 60))
    return figure, made


def room(names: Iterable[str]) -> float:
    """Inches that names take on the left of a chart with a line for each."""
    return 0.3 + _CHARACTER * max((len(label(name)) for name in names), default=0)


def label(text: Any, longest: int = 28) -> str:
    """A text of the data in a figure: short, and no formula."""
    return clipped(text, longest).replace("$", r"\$")


def legend(ax: Axes) -> None:
    """What the series are, where there are several."""
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(handlelength=1.4, borderaxespad=0.2)


def svg(figure: Figure, name: str, caption: str, wide: bool = False) -> Html:
    """A figure as a part of a page.

    Args:
        figure: of `mtkit.report.charts`.
        name: by which names within it are told from those of others in the page.
        caption: says what it shows; people who do not see it have this.
        wide: whether it takes the width of the page.
    """
    drawn = _inline(figure, name, caption)
    if wide:  # on small screens it is scrolled, for its texts would be too small
        drawn = el("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=f"Figure: {name}")
    return el("figure", drawn, el("figcaption", caption), class_="wide" if wide else None)


def _inline(figure: Figure, name: str, caption: str) -> Html:
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        # Texts of data may be in any script; browsers have the glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    width, height = (float(number) for number in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups())  # type: ignore[union-attr]
    inner = text[text.index(">", text.index("<svg")) + 1 :]
    inner = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", inner, flags=re.DOTALL)
    inner = re.sub(r'<g id="[^"]*"', "<g", inner)
    inner = re.sub(r'="[^"]*"', lambda found: re.sub(r"(\d\.\d{2})\d+", r"\1", found.group()), inner)
    inner = re.sub(r"font: [^;\"]*", _font, inner)
    for color, variable in _VARIABLES.items():
        inner = inner.replace(color, variable)
    inner = re.sub(r"\n\s*", "\n", inner).replace("xlink:href", "href")
    head = el(
        "svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=caption,
        style=f"max-width:{width * 4 / 3:.0f}px",
    )
    return Html(head.removesuffix("</svg>") + inner)


def _font(found: re.Match[str]) -> str:
    """Size and weight alone; the page has the family."""
    size = re.search(r"([\d.]+)px", found.group())
    bold = "font-weight: 600; " if re.search(r"bold|[67]00", found.group()) else ""
    return f"{bold}font-size: {size.group(1) if size else 10}px"
