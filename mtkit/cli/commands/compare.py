"""`mtkit compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from mtkit.evaluation.significance import Difference
    from mtkit.runs.run_comparison import Verdict

_WIDE, _WIDEST = 76, 100
"""Columns of a terminal in which an interval has room, and effects too."""


@click.command()
@click.argument("runs", metavar="RUN...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--metric", "metrics", multiple=True, metavar="KEY", help="Ask about this metric alone, as in next/ndcg@10."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(runs: tuple[Path, ...], metrics: tuple[str, ...], *, as_json: bool) -> None:
    """Compare each later RUN with the first, or one RUN with its baselines.

    Paired t-tests over the users of the test, with Holm's correction for all comparisons made together. A run is called
    better or worse only where p is below 0.05.
    """
    from mtkit.runs.directory import to_json
    from mtkit.runs.run_comparison import compare_runs
    from mtkit.shown import shown

    verdicts = compare_runs(runs, metrics)
    if as_json:
        click.echo(shown(to_json({"comparisons": [verdict.plain() for verdict in verdicts]})), nl=False)
    else:
        _print(verdicts)


def _print(verdicts: Sequence[Verdict]) -> None:
    from rich.console import Console
    from rich.text import Text

    from mtkit.shown import shown_line

    console = Console(highlight=False)
    for pair in dict.fromkeys((verdict.first, verdict.second) for verdict in verdicts):
        console.print(
            Text.assemble("\n", (shown_line(pair[1]), "bold"), " (B) against ", (shown_line(pair[0]), "bold"), " (A)")
        )
        console.print(_table([v for v in verdicts if (v.first, v.second) == pair], console.width))
    console.print(
        Text(
            f"\nB is better or worse where p < 0.05: paired t-test over users, Holm's correction for {len(verdicts)} "
            "comparisons. The rest may be chance."
        )
    )
    if console.width >= _WIDEST:
        console.print(
            Text(
                "d is B - A in standard deviations of the users' differences; a difference of `seen` would be found in 80 % of "
                "samples like this one, before correction."
            )
        )


def _table(verdicts: Sequence[Verdict], width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mtkit.shown import shown_line

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("metric", overflow="fold")
    effects = ("B / A", "d", "seen") if width >= _WIDEST else ()
    for name in ("A", "B", "B - A", *(["95 %"] if width >= _WIDE else []), *effects, "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("B is", no_wrap=True)
    for verdict in verdicts:
        found = verdict.difference
        bounds = [" ".join(f"{bound:+.4f}" for bound in found.interval)] if width >= _WIDE else []
        values = (*(f"{value:.4f}" for value in found.values), f"{found.difference:+.4f}")
        sizes = _sizes(found) if effects else ()
        table.add_row(Text(shown_line(found.key)), *values, *bounds, *sizes, f"{verdict.p:.4f}", verdict.word)
    return table


def _sizes(found: Difference) -> tuple[str, str, str]:
    """How large a difference is: relative, by the users' differences, and beside what would be seen."""
    relative = "" if found.relative is None else f"{found.relative:+.1%}"
    return relative, "" if found.effect is None else f"{found.effect:+.2f}", f"{found.detectable:.4f}"
