"""How an explanation looks on a screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtkit.runs.explaining import RESIDUAL, Explanation
from mtkit.shown import counted, shown_line

_VISIBLE = 5e-5
"""Changes from which on four digits show them."""


def show_explanation(found: Explanation, console: Console, most: int, texts: Mapping[str, str]) -> None:
    """Prints the parts of a score, and the items of the past that move it most.

    Args:
        found: the explanation.
        console: where to.
        most: items of the past that are shown.
        texts: id of an item -> its text.
    """
    what = f"score of {_named(found.item, texts)} for {found.user}"
    console.print(Text.assemble((shown_line(found.task), "bold"), shown_line(f": {what} is {found.score:+.4f}")))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", overflow="fold")
    for name in ("part", "if removed"):
        table.add_column(name, justify="right", no_wrap=True)
    for label, part, removed in _lines(found, most, texts):
        table.add_row(Text(shown_line(label)), f"{part:+.4f}", "" if removed is None else f"{removed:+.4f}")
    console.print(table)
    how = (
        "exact: each is the same in every order"
        if found.additive
        else "means over orders in which the past is put together"
    )
    console.print(Text(f"parts are {how}; `if removed` is how the score changes without this item alone", "dim"))
    if not found.is_whole:
        console.print(Text(f"the residual is over {RESIDUAL:.0%} of the score: parts do not tell all of it", "yellow"))
    for name, part in found.encoders.items():
        if abs(part) < _VISIBLE:
            continue
        console.print(Text(shown_line(f"without {name} of the item the score would be {-part:+.4f} from here"), "dim"))


def _lines(found: Explanation, most: int, texts: Mapping[str, str]) -> Iterator[tuple[str, float, float | None]]:
    """What stands in a line, its part, and what removing it changes."""
    yield "the item, for anyone: popularity, features, texts", found.anyone, None
    yield "what is known of the user, beside the past", found.known, None
    for one in found.past[:most]:
        times = counted(one.times, "event")
        yield f"  {_named(one.item, texts)}, {times}{', the item itself' if one.repeat else ''}", one.part, one.removed
    if rest := found.past[most:]:
        yield f"  {counted(len(rest), 'other item', 'other items')} of the past", sum(one.part for one in rest), None
    yield "residual", found.residual, None


def _named(item: str, texts: Mapping[str, str]) -> str:
    return " ".join(filter(None, (item, texts.get(item))))
