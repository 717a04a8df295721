"""`mtkit report`."""

from __future__ import annotations

from pathlib import Path

import click


def _known(context: click.Context, option: click.Parameter, codes: tuple[str, ...]) -> tuple[str, ...]:
    """The codes, if there are such checks."""
    from mtkit.recipe.data_checks import known_code
    from mtkit.recipe.report_checks import REPORT_CHECKS

    try:
        return tuple(known_code(code, REPORT_CHECKS) for code in codes)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--text", is_flag=True, help="Print all tables instead: metrics, slices, baselines, verdicts.")
@click.option("--out", type=click.Path(path_type=Path), help="The file. [default: RUN/report.html]")
@click.option("--tasks", type=click.Path(path_type=Path), help="tasks.json of `mtkit tasks`, to be shown too.")
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="CODE",
    callback=_known,
    help="Leave out a check (R003); may be repeated.",
)
def command(run: Path, out: Path | None, tasks: Path | None, ignored: tuple[str, ...], *, text: bool) -> None:
    """Write what RUN found as one page of HTML, from what its directory keeps.

    The page loads nothing. RUN may be the directory of several seeds or folds.
    """
    if text:
        from mtkit.runs.directory import RunDirectory
        from mtkit.runs.text_report import write_text
        from mtkit.runs.work import Screen

        write_text(RunDirectory(run), Screen())
        return
    from mtkit.report.page import write_report
    from mtkit.shown import shown_line

    click.echo(shown_line(f"report: {write_report(run, out, tasks, ignored)}"))
