"""HTML that cannot be broken by texts of the data: what is not `Html` already is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mtkit.shown import shown_line

#: Elements without content.
_VOID = frozenset(("meta", "br", "col"))
#: Characters of a text of the data.
LONGEST = 120


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def el(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element. Children: `Html`, texts and numbers, which are escaped, lists of these, None, which is nothing.

    Args:
        name: of the element.
        children: what is in it.
        attributes: names with `_` for `-`, and one at their end for names that Python keeps; None and False = not there.
    """
    given = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[Any]) -> Html:
    """What is in an element."""
    return Html("".join(map(_child, children)))


def _child(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, list | tuple):
        return join(child)
    return html.escape(str(child))


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value), quote=True)}"'


def slug(*parts: str) -> str:
    """The name of a place in the page."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def clipped(text: Any, longest: int = LONGEST) -> str:
    """A text of the data in one line, not longer than this."""
    line = shown_line(" ".join(str(text).split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[int] = ()) -> Html | None:
    """A table that can be scrolled sideways; the first cell of a row is its head. None without rows.

    Args:
        caption: what it is.
        head: of the columns.
        rows: of cells.
        numbers: columns of numbers.
    """
    body = [_row(cells, numbers) for cells in rows]
    if not body:
        return None
    heads = [el("th", text, scope="col", class_="n" if i in numbers else None) for i, text in enumerate(head)]
    inner = el("table", el("caption", caption), el("thead", el("tr", heads)), el("tbody", body))
    return el("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _row(cells: Sequence[Any], numbers: Sequence[int]) -> Html:
    first, *others = cells
    made = [el("th", first, scope="row")]
    made += [el("td", cell, class_="n" if i in numbers else None) for i, cell in enumerate(others, 1)]
    return el("tr", made)


def details(summary: Any, *children: Any, open_: bool = False) -> Html | None:
    """What can be opened; None where there is nothing in it."""
    inner = join(children)
    return el("details", el("summary", summary), inner, open=open_) if inner else None


def section(name: str, title: str, *children: Any) -> Html:
    """A part of the page that can be gone to."""
    return el("section", el("h2", title, id=f"{name}-title"), children, id=name, aria_labelledby=f"{name}-title")


def part(title: str, *children: Any, place: str | None = None) -> Html | None:
    """A part of a section; None where there is nothing in it."""
    inner = join(children)
    return el("div", el("h3", title), inner, class_="part", id=place) if inner else None


def coded(text: str) -> Html:
    """A text of the project in which `...` is code."""
    return join(el("code", piece) if i % 2 else piece for i, piece in enumerate(text.split("`")))


def prose(*children: Any) -> Html:
    """A paragraph."""
    return el("p", children)
