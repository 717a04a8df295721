"""`mtkit plugins`."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from mtkit.registry import Entry

_WIDTH = 80


@click.group(invoke_without_command=True)
@click.option("--check", is_flag=True, help="Import each one, in processes of their own.")
@click.pass_context
def command(context: click.Context, *, check: bool) -> None:
    """List the installed components."""
    if context.invoked_subcommand:
        return
    from mtkit.registry import Registry

    registry = Registry.installed()
    _table(("kind", "name", "distribution", "version"), [
        (entry.kind, entry.name, entry.distribution, entry.version) for entry in registry.entries()
    ])  # fmt: skip
    if check:
        _report(registry.check(), len(registry.entries()))


def _report(reasons: dict[Entry, str], total: int) -> None:
    from mtkit.errors import PluginError

    if reasons:
        raise PluginError("\n".join(reasons.values()))
    click.echo(f"all {total} can be imported")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for people on a terminal, plain columns without header where the output is piped."""
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@command.command()
@click.argument("name")
def show(name: str) -> None:
    """Print what a component does, and its options."""
    from mtkit.errors import PluginError
    from mtkit.registry import Registry
    from mtkit.suggest import nearest

    entries = Registry.installed().entries()
    found = [entry for entry in entries if entry.name == name]
    if not found:
        raise PluginError(f"no component is named {name!r}; {nearest(name, [entry.name for entry in entries])}")
    click.echo("\n\n".join("\n".join(_component(entry)) for entry in found))


def _component(entry: Entry) -> list[str]:
    from mtkit.spec import Spec

    loaded = entry.load()
    lines = [f"{entry.kind} {entry.name}", f"  {entry.value}, {entry.distribution} {entry.version}", ""]
    lines.append(textwrap.indent(inspect.getdoc(loaded) or "(no documentation)", "  "))
    if isinstance(loaded, type) and issubclass(loaded, Spec):
        for name, field in loaded.model_fields.items():
            lines += ["", *_field(name, field)]
    return lines


def _field(name: str, field: FieldInfo) -> list[str]:
    if field.is_required():
        default = "required"
    else:
        default = f"default {field.get_default(call_default_factory=True, validated_data={})!r}"
    lines = textwrap.wrap(f"{name}: {_type(field)}; {default}", _WIDTH, initial_indent="  ", subsequent_indent="      ")
    description = field.description or ""
    return lines + textwrap.wrap(description, _WIDTH, initial_indent="      ", subsequent_indent="      ")


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    text = (
        annotation.__name__ if inspect.isclass(annotation) and not hasattr(annotation, "__args__") else repr(annotation)
    )
    text = re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", text)
    bounds = [repr(limit) for limit in field.metadata]
    return f"{text} ({', '.join(bounds)})" if bounds else text
