"""What the exports of several runs recommend to one user, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtkit.runs.recommend import Recommendation, Servant
from mtkit.shown import counted, shown_line

Lists = Mapping[str, Sequence[Recommendation]]


def lists_of(runs: Sequence[Path], user: str, k: int) -> Lists:
    """Run -> the best `k` items of its latest export for a user, best first.

    Raises:
        RunError: a run has no export, or recommends nothing.
    """
    return {str(run): Servant(run).recommend(user, k) for run in runs}


def lists_for_json(user: str, lists: Lists) -> dict[str, Any]:
    """The lists for JSON."""
    items = {
        run: [{"item": one.item, "score": one.score, "seen": one.seen, "text": one.text} for one in found]
        for run, found in lists.items()
    }
    return {"user": user, "lists": items}


def show_lists(user: str, lists: Lists, console: Console) -> None:
    """Prints the lists beside one another; items that all have are bold, with a `*`."""
    common = set.intersection(*({one.item for one in found} for found in lists.values()))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", justify="right")
    for run in lists:
        table.add_column(shown_line(run), overflow="fold", ratio=1)
    for rank in range(max(map(len, lists.values()))):
        row = (found[rank] if rank < len(found) else None for found in lists.values())
        table.add_row(str(rank + 1), *(_item(one, common) for one in row))
    console.print(Text.assemble("\nrecommended to ", (shown_line(user), "bold")))
    console.print(table)
    console.print(Text(f"*: {counted(len(common), 'item')} in all lists; (had): in the user's past", "dim"))


def _item(one: Recommendation | None, common: set[str]) -> Text:
    if one is None:
        return Text("")
    said = " ".join(filter(None, (one.item, one.text, "(had)" if one.seen else "")))
    return Text(shown_line(f"{said}{' *' if one.item in common else ''}"), "bold" if one.item in common else "")
