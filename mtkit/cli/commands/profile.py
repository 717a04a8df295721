"""`mtkit profile`."""

from __future__ import annotations

from pathlib import Path

import click

from mtkit.cli.commands._options import given_recipe


def _known(context: click.Context, option: click.Parameter, codes: tuple[str, ...]) -> tuple[str, ...]:
    """The codes, if there are such checks."""
    from mtkit.errors import nearest
    from mtkit.recipe.data_checks import CHECKS

    for code in codes:
        if code not in CHECKS:
            raise click.BadParameter(f"no check has the code {code!r}; {nearest(code, CHECKS)}", context, option)
    return codes


@click.command()
@click.argument("given", metavar="RECIPE|DATA...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set a key of the recipe.")
@click.option("--unset", "unsets", multiple=True, metavar="KEY", help="Remove a key or table, before --set.")
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="CODE",
    callback=_known,
    help="Leave out a check (P012); may be repeated.",
)
@click.option(
    "--explain",
    "explained",
    multiple=True,
    metavar="CODE",
    callback=_known,
    help="Say what a check means, and no more.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if there is a warning or an error.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    context: click.Context,
    given: tuple[Path, ...],
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
    ignored: tuple[str, ...],
    explained: tuple[str, ...],
    *,
    strict: bool,
    as_json: bool,
) -> None:
    """Look data over: what is suspicious about the data of a recipe, or about files as they are.

    Of a recipe (.toml), ids, labels, times and parts are looked at, too.
    """
    if explained:
        _explain(explained)
        return
    recipes = [path for path in given if path.suffix.lower() == ".toml"]
    if not given:
        raise click.UsageError("give a recipe, or files of data")
    if recipes and len(given) > 1:
        raise click.UsageError("give one recipe, or files of data")
    if not recipes and (sets or unsets):
        raise click.UsageError("--set and --unset are for recipes; these are files of data")
    recipe = given_recipe(recipes[0], sets, unsets, None) if recipes else None
    from mtkit.runs.directory import to_json
    from mtkit.runs.profile import profile_files, profile_recipe, show
    from mtkit.shown import shown

    profile = profile_recipe(recipe, ignored) if recipe is not None else profile_files(given, ignored)
    if as_json:
        click.echo(shown(to_json(profile.plain())), nl=False)
    else:
        show(profile)
    context.exit(int(strict and profile.failed))


def _explain(codes: tuple[str, ...]) -> None:
    from mtkit.recipe.data_checks import CHECKS

    for check in map(CHECKS.__getitem__, codes):
        click.echo(f"{check.code}, {check.severity}: {check.title}")
        click.echo(click.wrap_text(f"{check.means} {check.advice}", 80, "  ", "  "))
