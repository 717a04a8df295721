"""`mtkit profile`: what checks of data find, for a recipe or for files as they are, and how it looks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtkit.data.table_files import column_names, read_table
from mtkit.errors import DataError
from mtkit.profile.findings import Finding, by_severity
from mtkit.profile.guessed_columns import guessed
from mtkit.profile.survey import Survey, survey
from mtkit.recipe.data_checks import SEVERITIES, Severity
from mtkit.recipe.loader import Recipe
from mtkit.schema import INTERACTIONS, Schema
from mtkit.shown import counted, shown, shown_line, shown_values
from mtkit.types import Dataset

_STYLES: Mapping[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "dim"}
#: Places of one kind of note that are shown with all that was found there.
_PLACES = 3
#: Columns of a terminal for where a finding is.
_WHERE = 26


@dataclass(frozen=True)
class Profile:
    """What was found in the data of a recipe, or in files.

    Attributes:
        name: of the recipe; empty for files.
        tables: table -> how many rows it has, as it came.
        survey: what was found.
    """

    name: str
    tables: Mapping[str, int]
    survey: Survey

    @property
    def failed(self) -> bool:
        """Whether there is a warning, or worse."""
        return any(finding.severity != "note" for finding in self.survey.findings)

    def plain(self) -> dict[str, Any]:
        """What `--json` prints."""
        found = [shown_values(asdict(finding)) for finding in self.survey.findings]
        codes = {name: list(getattr(self.survey, name)) for name in ("looked", "silenced", "left_out")}
        return {"name": self.name, "tables": dict(self.tables), **codes, "findings": found}


def profile_recipe(recipe: Recipe, ignored: Collection[str] = ()) -> Profile:
    """The data of a recipe, looked over.

    Args:
        recipe: the recipe.
        ignored: codes of checks that are not wanted, beside those that it silences.

    Raises:
        DataError: files are missing, or cannot be read. What else is wrong with data is a finding.
    """
    raw = recipe.data.source.load()
    return Profile(recipe.name, _sizes(raw), survey(raw, recipe, ignored))


def profile_files(paths: Sequence[Path], ignored: Collection[str] = ()) -> Profile:
    """Files looked over as they are, each as a table whose columns are what they look like; there are no ids, labels or parts.

    Raises:
        DataError: a file cannot be read.
    """
    surveys = {}
    for path in paths:
        table = read_table(path, column_names(path))
        schema = Schema(interactions=guessed(table), entities={})
        surveys[path.name] = len(table), survey(Dataset(table, {}, schema), None, ignored)
    if len(surveys) < len(paths):
        raise DataError("two files have the same name, by which findings are told apart; look at one after the other")
    first = next(iter(surveys.values()))[1]
    findings = by_severity(_in_file(one, name) for name, (_, of) in surveys.items() for one in of.findings)
    sizes = {name: rows for name, (rows, _) in surveys.items()}
    return Profile("", sizes, replace(first, findings=tuple(findings)))


def show(profile: Profile, console: Console | None = None) -> None:
    """Prints what was found; it fits 80 columns."""
    console = console or Console(highlight=False)
    sizes = ", ".join(f"{shown_line(name)} {counted(rows, 'row')}" for name, rows in profile.tables.items())
    console.print(Text.assemble((shown(profile.name or "files"), "bold"), f": {sizes}"))
    of = profile.survey
    if of.findings:
        console.print(_table(of.findings))
    for line in _closing(profile):
        console.print(Text(line))


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("where", overflow="fold", max_width=_WHERE)
    table.add_column("what", overflow="fold", ratio=1)
    for (severity, code), group in groupby(findings, key=lambda one: (one.severity, one.code)):
        places = list(group)
        # What differs at one place has to be said.
        alike = severity == "note" and len({one.where for one in places}) == len(places)
        most = _PLACES if alike else len(places)
        for finding in places[:most]:
            head = Text.assemble((code, "bold"), "\n", (severity, _STYLES[severity]))
            table.add_row(head, Text(shown_line(finding.where)), _what(finding))
        if others := [finding.where for finding in places[most:]]:
            table.add_row(
                "", "", Text(shown_line(f"and in {counted(len(others), 'more place')}: {', '.join(others)}"), "dim")
            )
    return table


def _what(finding: Finding) -> Text:
    what = Text(shown_line(finding.what))
    if finding.examples:
        what.append(f"\n{shown_line('; '.join(finding.examples))}", "dim")
    if finding.severity != "note":
        what.append(f"\n-> {shown_line(finding.advice)}", "italic")
    return what


def _closing(profile: Profile) -> list[str]:
    of = profile.survey
    number = {severity: sum(one.severity == severity for one in of.findings) for severity in SEVERITIES}
    found = ", ".join(counted(count, severity) for severity, count in number.items() if count) or "nothing found"
    silenced = f", silenced: {', '.join(of.silenced)}" if of.silenced else ""
    lines = [f"{found}; {counted(len(of.looked), 'check')} made{silenced}"]
    if not profile.name:
        lines.append("columns are taken for what they look like; a recipe says more: ids, labels, and parts")
    elif of.left_out:
        lines.append(f"{counted(len(of.left_out), 'check')} left out, for want of what the errors name")
    return [*lines, "what a check means: mtkit profile --explain CODE"]


def _sizes(raw: Dataset) -> dict[str, int]:
    return {INTERACTIONS: len(raw.interactions), **{name: len(table) for name, table in raw.entities.items()}}


def _in_file(finding: Finding, name: str) -> Finding:
    def told(text: str) -> str:
        return text.replace(INTERACTIONS, name, 1) if text.startswith(INTERACTIONS) else text

    return replace(finding, where=told(finding.where) if finding.where != "data" else name)
