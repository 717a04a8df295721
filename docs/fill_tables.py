# ruff: noqa: INP001 - a script, not a package
"""Fills the generated parts of the documentation from the code: options of components, keys of sections, kinds.

A generated part stands between `<!-- generated: WHAT ARGUMENT -->` and `<!-- end -->`. `make docs` writes them anew;
a test fails where they are not what the code says.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from mtkit.cli.commands.plugins import _limits, _type
from mtkit.cli.program import main as program
from mtkit.hooks import RunHooks
from mtkit.profile import survey  # noqa: F401 - so that all checks are known
from mtkit.profile.findings import codes as quick_checks
from mtkit.recipe import search_settings, settings
from mtkit.recipe.data_checks import CHECKS
from mtkit.recipe.registry import KINDS, KNOWN_PLUGINS, Entry, Registry
from mtkit.recipe.report_checks import REPORT_CHECKS
from mtkit.recipe.toml_writer import toml_value
from mtkit.scaffold.templates import made
from mtkit.spec import BASES, Spec

DOCS = Path(__file__).parent
#: The distributions of this repository; what others have installed is not documented here.
DISTRIBUTIONS = {"mtkit", *KNOWN_PLUGINS.values()}
#: Kinds whose components are parts of the model, of which it is asked whether replicas train the same.
LAYERS = ("encoder", "correlation", "task_head", "balancer")
_PART = re.compile(r"(<!-- generated: (\w+) ?([\w.]*) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text: str) -> str:
    """The text with its generated parts as they should be."""

    def part(match: re.Match[str]) -> str:
        begin, what, argument, end = match.groups()
        lines = PARTS[what](argument) if argument else PARTS[what]()
        return "\n".join((begin, *lines)).rstrip() + f"\n\n{end}"

    return _PART.sub(part, text)


def section(name: str) -> Iterator[str]:
    """The keys of a section of recipes, a class of `mtkit.recipe.settings`, or of a part of one."""
    components = (BaseModel, Spec)
    fields = getattr(settings if hasattr(settings, name) else search_settings, name).model_fields
    yield from _table({key: field for key, field in fields.items() if field.annotation not in components})


def kind(name: str) -> Iterator[str]:
    """The components of a kind, after the keys that all of them have."""
    base = BASES.get(name)
    if base and base.model_fields:
        yield "Every one has:"
        yield ""
        yield from _table(base.model_fields)
        yield ""
    for entry in Registry.installed().entries():
        if entry.kind == name and entry.distribution in DISTRIBUTIONS:
            yield from _component(entry, base)


def commands() -> Iterator[str]:
    """What the program's commands do."""
    context = click.Context(program, info_name="mtkit")
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        yield from ("```text", command.get_help(inner), "```", "")


def hooks() -> Iterator[str]:
    """The hooks with their arguments."""
    yield from ("| hook | when |", "|---|---|")
    for name, function in inspect.getmembers(RunHooks, inspect.isfunction):
        arguments = [argument for argument in inspect.signature(function).parameters if argument != "self"]
        yield f"| `{name}({', '.join(arguments)})` | {_cell(inspect.getdoc(function) or '')} |"


def checks() -> Iterator[str]:
    """The checks of data."""
    quick = quick_checks(quick=True)
    yield from ("| code | | found | what it means, and what to do |", "|---|---|---|---|")
    for code, check in CHECKS.items():
        mark = " *" if code in quick else ""
        yield f"| `{code}`{mark} | {check.severity} | {_cell(check.title)} | {_cell(check.means)} {_cell(check.advice)} |"


def report_checks() -> Iterator[str]:
    """The checks of a finished run."""
    yield from ("| code | | found | what it means, and what to do |", "|---|---|---|---|")
    for code, check in REPORT_CHECKS.items():
        means = f"{_cell(check.means)} {_cell(check.advice)}"
        yield f"| `{code}` | {check.severity} | {_cell(check.title)} | {means} |"


def contracts() -> Iterator[str]:
    """For each kind: the docstring of its base class, its members, and the distribution that is an example."""
    for name in KINDS:
        yield from (f"## `{name}`", "")
        if base := BASES.get(name):
            yield from (inspect.getdoc(base) or "", "", "| | | |", "|---|---|---|", *_members(base), "")
        if name == "hooks":
            yield from (*hooks(), "")
        for path, text in made(name, "own").files.items():
            if path == "pyproject.toml" or path.startswith(("src/", "tests/")):
                language = "toml" if path.endswith(".toml") else "python"
                yield from (f"```{language}", f"# {path}", text.rstrip(), "```", "")


def _members(base: type[Spec]) -> Iterator[str]:
    """What a component of a kind may say: values of the class, keys, properties and methods."""
    for name, value in _said_by(base).items():
        if isinstance(value, property):
            yield f"| property | `{name}` | {_cell(inspect.getdoc(value.fget) or '')} |"
        elif inspect.isfunction(value):
            arguments = [argument for argument in inspect.signature(value).parameters if argument != "self"]
            yield f"| method | `{name}({', '.join(arguments)})` | {_cell(inspect.getdoc(value) or '')} |"
        else:
            yield f"| value | `{name}` | {_cell(_comment(base, name))} |"
    for name, field in base.model_fields.items():
        yield f"| key | `{name}` | {_cell(field.description or '')} |"


def _said_by(base: type[Spec]) -> dict[str, Any]:
    """Public members that a kind has beside those of all, in the order of the source."""
    classes = (Spec, base) if base.kind in LAYERS else (base,)
    own = {name: value for cls in classes for name, value in vars(cls).items() if not name.startswith(("_", "model_"))}
    declared = {name: None for name in inspect.get_annotations(base) if name not in base.model_fields}
    return {
        name: value for name, value in {**declared, **own}.items() if name != "kind" and name not in base.model_fields
    }


def _comment(base: type[Spec], name: str) -> str:
    """The comment (`#:`) above a value of a class."""
    for cls in (base, Spec):
        lines = inspect.getsource(cls).splitlines()
        for number, line in enumerate(lines):
            if re.match(rf"    {name}: ClassVar", line):
                above = list(takewhile(lambda text: text.strip().startswith("#:"), reversed(lines[:number])))
                return " ".join(text.strip().removeprefix("#:") for text in reversed(above))
    return ""


PARTS: Mapping[str, Callable[..., Iterator[str]]] = {
    "section": section,
    "kind": kind,
    "commands": commands,
    "hooks": hooks,
    "checks": checks,
    "report_checks": report_checks,
    "contracts": contracts,
}


def _component(entry: Entry, base: type[Spec] | None) -> Iterator[str]:
    loaded = entry.load()
    yield f"#### `{entry.name}`" + (f" ({entry.distribution})" if entry.distribution != "mtkit" else "")
    yield ""
    yield inspect.getdoc(loaded) or ""
    yield ""
    if isinstance(loaded, type) and issubclass(loaded, Spec):
        known = base.model_fields if base else {}
        own = {name: field for name, field in loaded.model_fields.items() if _differs(field, known.get(name))}
        if own:
            yield from _table(own)
            yield ""


def _differs(field: FieldInfo, base: FieldInfo | None) -> bool:
    return base is None or (field.annotation, field.default, field.description) != (
        base.annotation,
        base.default,
        base.description,
    )


def _table(fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    yield from ("| key | type | default | |", "|---|---|---|---|")
    for name, field in fields.items():
        limits = [limit for part in field.metadata for limit in _limits(part)]
        kind_of = ", ".join((f"`{_type(field.annotation)}`", *limits)).replace("|", "\\|")
        default = "required" if field.is_required() else _default(field)
        yield f"| `{name}` | {kind_of} | {default} | {_cell(field.description or '')} |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    return "" if value is None else f"`{_cell(toml_value(to_jsonable_python(value)))}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Writes every page anew."""
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(render(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
