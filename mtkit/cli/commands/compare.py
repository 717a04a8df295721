"""`mtkit compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
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
@click.option("--user", metavar="ID", help="Show what each RUN recommends to this user, too, from its export.")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="How many items, with --user.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(runs: tuple[Path, ...], metrics: tuple[str, ...], user: str | None, k: int, *, as_json: bool) -> None:
    """Compare each later RUN with the first, or one RUN with its baselines.

    Paired t-tests over the users of the test, with Holm's correction for all comparisons made together. A run is called
    better or worse only where p is below 0.05. Of several runs it says what differs between their recipes, too.
    """
    from mtkit.runs.directory import to_json
    from mtkit.runs.run_comparison import compare_runs, recipe_differences
    from mtkit.shown import shown, shown_values

    verdicts = compare_runs(runs, metrics)
    recipes = {str(run): recipe_differences(runs[0], run) for run in runs[1:]}
    lists = None
    if user is not None:
        from mtkit.runs.list_comparison import lists_for_json, lists_of, show_lists

        lists = lists_of(runs, user, k)
    if as_json:
        found = {
            "comparisons": [verdict.plain() for verdict in verdicts],
            "recipes": [
                {"run": run, "key": key, "first": shown_values(one), "second": shown_values(two)}
                for run, of in recipes.items()
                for key, one, two in of
            ],
        }
        beside = {} if lists is None or user is None else lists_for_json(user, lists)
        click.echo(shown(to_json(found | beside)), nl=False)
        return
    console = _print(verdicts)
    for run, of in recipes.items():
        _print_recipes(console, str(runs[0]), run, of)
    if lists is not None and user is not None:
        show_lists(user, lists, console)


def _print_recipes(console: Console, first: str, second: str, found: Sequence[tuple[str, Any, Any]]) -> None:
    """What differs between two recipes, a line a key."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mtkit.recipe.toml_writer import toml_value
    from mtkit.shown import shown_line

    def value(given: Any) -> Text:
        return Text("" if given is None else shown_line(toml_value(given)))

    if not found:
        console.print(Text(shown_line(f"the recipes of {first} and {second} are the same")))
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("recipe", f"{first} (A)", f"{second} (B)"):
        table.add_column(shown_line(name), overflow="fold")
    for key, one, two in found:
        table.add_row(Text(shown_line(key)), value(one), value(two))
    console.print("", table, sep="\n")


def _print(verdicts: Sequence[Verdict]) -> Console:
    from rich.text import Text

    from mtkit.runs.work import Screen
    from mtkit.shown import counted, shown_line

    console = Screen()
    for pair in dict.fromkeys((verdict.first, verdict.second) for verdict in verdicts):
        console.print(
            Text.assemble("\n", (shown_line(pair[1]), "bold"), " (B) against ", (shown_line(pair[0]), "bold"), " (A)")
        )
        console.print(_table([v for v in verdicts if (v.first, v.second) == pair], console.width))
    console.print(
        Text(
            f"\nB is better or worse where p < 0.05: paired t-test over users, Holm's correction for "
            f"{counted(len(verdicts), 'comparison')}. The rest may be chance."
        )
    )
    if console.width >= _WIDEST:
        console.print(
            Text(
                "d is B - A in standard deviations of the users' differences; a difference of `seen` would be found in 80 % of "
                "samples like this one, before correction."
            )
        )
    return console


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
