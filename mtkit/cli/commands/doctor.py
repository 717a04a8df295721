"""`mtkit doctor`."""

from __future__ import annotations

import click


@click.command()
@click.pass_context
def command(context: click.Context) -> None:
    """Explain the environment: versions, Keras, GPUs, plugins, cache, disk, memory; exit with 1 if runs would fail."""
    from mtkit.runs.doctor import diagnosis
    from mtkit.shown import shown

    failing = False
    for found in diagnosis():
        failing = failing or found.level == "problem"
        click.echo(shown(f"{found.level:8} {found.what}: {found.said}"))
        if found.fix:
            click.echo(shown(f"{'':8}   {found.fix}"))
    context.exit(int(failing))
