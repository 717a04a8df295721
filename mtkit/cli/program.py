"""The command line. Each command is a module of `mtkit.cli.commands`, imported when it is used."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import click

import mtkit
from mtkit.cli import commands
from mtkit.cli.traces import keep_traces, traces_asked
from mtkit.errors import ComponentError, ModelWarning, MtkitError, shortage
from mtkit.shown import shown


def _verbose(*, hidden: bool = False) -> click.Option:
    text = "Show the traceback of a component that fails."
    return click.Option(
        ["-v", "--verbose"], is_flag=True, expose_value=False, callback=keep_traces, hidden=hidden, help=text
    )


def _use(_context: click.Context, _option: click.Parameter, given: tuple[Path, ...]) -> None:
    if given:
        from mtkit.recipe.plugin_files import use

        for path in given:
            use(path)


def _plugin(*, hidden: bool = False) -> click.Option:
    text = "A file with components of your own, which recipes can then name; may be repeated."
    kind = click.Path(path_type=Path)
    return click.Option(
        ["--plugin"],
        type=kind,
        metavar="FILE",
        multiple=True,
        expose_value=False,
        callback=_use,
        hidden=hidden,
        help=text,
    )


#: Of each command, so that they may stand behind it, too.
_EVERYWHERE = (_verbose(hidden=True), _plugin(hidden=True))


def _trace(error: MtkitError) -> str:
    """The traceback of what a component did, where an error is of one."""
    if not isinstance(error, ComponentError):
        return ""
    from mtkit.recipe.blame import trace

    return trace(error)


class _Commands(click.Group):
    """The modules of `mtkit.cli.commands` that do not begin with an underscore; each has a `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__) if module.name[0] != "_")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"{commands.__name__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        own = {option.name for option in command.params}
        command.params += [option for option in _EVERYWHERE if option.name not in own]
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Shows a user's mistake as text and exits; other exceptions are bugs and keep their traceback."""
        sys.excepthook = _show_bug
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except MtkitError as error:
            if traces_asked(ctx) and (trace := _trace(error)):
                click.echo(trace, err=True)
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)
        except Exception as error:
            if not (message := shortage(error)):
                raise
            click.echo(shown(message), err=True)
            ctx.exit(MtkitError.exit_code)


def _show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    click.echo(shown("".join(traceback.format_exception(kind, error, trace))), err=True, nl=False)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Shows warnings that are for users without the line of code that gave them."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def plainly(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if category in (UserWarning, ModelWarning):
                click.echo(shown(f"warning: {message}"), err=True)
            else:
                show(message, category, *place, **more)

        warnings.showwarning = plainly
        yield


@click.command(cls=_Commands, params=[_verbose(), _plugin()])
@click.version_option(mtkit.__version__, prog_name="mtkit")
def main() -> None:
    """Multi-task recommenders from recipes and plugins."""
