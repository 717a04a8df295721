"""`mtkit delta`."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.group()
def command() -> None:
    """Hand on what changed between two exports alone."""


@command.command()
@click.argument("earlier", type=_PATH)
@click.argument("later", type=_PATH)
@click.option("--out", type=_PATH, required=True, metavar="FOLDER", help="Where the delta goes, a new directory.")
def make(earlier: Path, later: Path, out: Path) -> None:
    """Write what LATER has that EARLIER has not; both are version directories of exports, as in runs/july/export/1."""
    from mtkit.serving.delta import make_delta
    from mtkit.shown import counted, shown_line

    delta = make_delta(earlier, later, out)
    rows = sum(change.changed for change in delta.tensors.values())
    whole = sum(change.kind == "new" for change in delta.tensors.values())
    size, full = (sum(path.stat().st_size for path in of.rglob("*") if path.is_file()) for of in (out, later))
    told = f"{counted(rows, 'row')} of tensors and {counted(whole, 'whole tensor')}, {size:,} bytes of {full:,}"
    click.echo(shown_line(f"{out}: {told}; goes on from {delta.parent}"))


@command.command()
@click.argument("delta", type=_PATH)
@click.argument("exports", type=_PATH)
def apply(delta: Path, exports: Path) -> None:
    """Make the next version in EXPORTS, a directory of versions, of its latest one and DELTA."""
    from mtkit.serving.delta import apply_delta
    from mtkit.shown import shown_line

    click.echo(shown_line(str(apply_delta(delta, exports))))
