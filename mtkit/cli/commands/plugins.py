"""`mtkit plugins`."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import click

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from mtkit.recipe.registry import Entry, Registry

_WIDTH = 80


@click.group(invoke_without_command=True)
@click.option(
    "--check", is_flag=True, help="Import each one, in processes of their own, and look at what is installed."
)
@click.option("--kind", metavar="KIND", help="Only components of a kind (encoder).")
@click.option("--word", metavar="WORD", help="Only those with a word in their name, distribution or documentation.")
@click.pass_context
def command(context: click.Context, *, check: bool, kind: str | None, word: str | None) -> None:
    """List the installed components."""
    if context.invoked_subcommand:
        return
    from mtkit.recipe.registry import Registry

    registry = Registry.installed()
    found = list(_chosen(registry, kind, word))
    _table(("kind", "name", "distribution", "version"), [
        (entry.kind, entry.name, entry.distribution, entry.version) for entry in found
    ])  # fmt: skip
    if check:
        from mtkit.errors import PluginError
        from mtkit.runs.plugin_checks import check_plugins

        if reasons := check_plugins(Registry(found)):
            raise PluginError("\n".join(reasons))
        click.echo(f"all {len(found)} can be imported")


def _chosen(registry: Registry, kind: str | None, word: str | None) -> Iterator[Entry]:
    """The entries of a kind with a word in what there is to read of them."""
    from mtkit.errors import PluginError, nearest
    from mtkit.recipe.registry import KINDS

    if kind is not None and kind not in KINDS:
        raise PluginError(f"there is no kind {kind!r}; {nearest(kind, KINDS)}")
    for entry in registry.entries():
        if kind in (None, entry.kind) and (word is None or word.lower() in _said(entry).lower()):
            yield entry


def _said(entry: Entry) -> str:
    """Name, distribution and documentation of a component; of one that is broken, its name."""
    from mtkit.errors import PluginError

    try:
        text = inspect.getdoc(entry.load()) or ""
    except PluginError:
        text = ""
    return f"{entry.name} {entry.distribution} {text}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for people on a terminal, plain columns without header where the output is piped."""
    if not rows:
        return
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
    from mtkit.errors import PluginError, nearest
    from mtkit.recipe.registry import Registry
    from mtkit.shown import shown

    entries = Registry.installed().entries()
    found = [entry for entry in entries if entry.name == name]
    if not found:
        raise PluginError(f"no component is named {name!r}; {nearest(name, [entry.name for entry in entries])}")
    click.echo(shown("\n\n".join("\n".join(_component(entry)) for entry in found)))


@command.command()
@click.argument("kind")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path(), help="Where its directory is made. [default: here]"
)
def new(kind: str, name: str, out: Path) -> None:
    """Write a distribution with a component of KIND that recipes call NAME: code, tests, and a recipe that runs."""
    from mtkit.scaffold.new import write_new
    from mtkit.shown import shown

    directory = write_new(kind, name, out)
    steps = ("pip install -e .", "python -m pytest", "mtkit run recipe.toml")
    click.echo(shown("\n  ".join((f"{directory} is a distribution of its own; next:", f"cd {directory}", *steps))))


@command.command()
@click.argument("distribution")
def test(distribution: str) -> None:
    """Run all checks of the conformance kit that fit the components of DISTRIBUTION, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "mtkit.testing", distribution], check=False)  # noqa: S603
    sys.exit(done.returncode)


def _component(entry: Entry) -> Iterator[str]:
    from mtkit.spec import Spec

    loaded = entry.load()
    yield f"{entry.kind} {entry.name}"
    yield f"  {entry.value}, {entry.distribution} {entry.version}"
    yield ""
    for line in (inspect.getdoc(loaded) or "(no documentation)").splitlines():
        yield from _wrapped(line, 2) or [""]
    if isinstance(loaded, type) and issubclass(loaded, Spec):
        for name, field in loaded.model_fields.items():
            yield ""
            yield from _field(name, field)


def _field(name: str, field: FieldInfo) -> Iterator[str]:
    default = "required"
    if not field.is_required():
        default = f"default {field.get_default(call_default_factory=True, validated_data={})!r}"
    limits = [limit for part in field.metadata for limit in _limits(part)]
    yield from _wrapped("; ".join((f"{name}: {_type(field.annotation)}", *limits, default)), 2)
    yield from _wrapped(field.description or "", 6)


def _wrapped(line: str, indent: int) -> list[str]:
    hanging = " " * (indent + len(line) - len(line.lstrip()))
    return textwrap.wrap(line.strip(), _WIDTH, initial_indent=hanging, subsequent_indent=hanging)


def _type(annotation: Any) -> str:
    """A type as a person writes it, without the constraints inside."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join(map(_type, arguments))
    name = "..." if annotation is ... else getattr(annotation, "__name__", str(annotation))
    name = "None" if annotation is type(None) else name
    return f"{name}[{', '.join(map(_type, arguments))}]" if arguments else name


def _limits(constraint: Any) -> list[str]:
    names = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "length >=", "max_length": "length <="}
    return [f"{sign} {getattr(constraint, name)}" for name, sign in names.items() if hasattr(constraint, name)]
