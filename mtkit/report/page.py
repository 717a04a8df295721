"""A run as one page of HTML, which loads nothing and runs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import resources
from pathlib import Path

import mtkit
from mtkit.files import write_text
from mtkit.recipe.data_checks import SEVERITIES
from mtkit.report.checks import Checked, checked
from mtkit.report.findings import Finding
from mtkit.report.good import TITLE as GOOD
from mtkit.report.good import good
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, el, prose
from mtkit.report.numbers import seconds, value_of
from mtkit.runs.directory import RunDirectory
from mtkit.shown import counted, shown

#: Place -> title, and what makes it.
SECTIONS: Mapping[str, tuple[str, Callable[[KeptRun], Html]]] = {"good": (GOOD, good)}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_SHOWN = 12


def write_report(path: Path, out: Path | None = None, tasks: Path | None = None, ignored: Collection[str] = ()) -> Path:
    """Writes the page of a run, and returns where it is.

    Args:
        path: the run directory, or that above several seeds or folds.
        out: the file; default: `report.html` in the directory.
        tasks: a task report, `tasks.json`; None = there is none.
        ignored: codes of checks that are not wanted.

    Raises:
        RunError: there is no finished run, a file of it is damaged, or the page cannot be written.
    """
    target = RunDirectory(path).report if out is None else out
    write_text(target, shown(page(KeptRun(path, tasks), ignored)))
    return target


def page(run: KeptRun, ignored: Collection[str] = ()) -> str:
    """The page of a run."""
    found, name = checked(run, ignored), run.recipe.name
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"{name}: report"),
        el("style", Html(_style())),
    )
    body = el(
        "body",
        el("a", "Skip to the content", class_="skip", href="#checks"),
        _header(run),
        el("main", _checks(found), [make(run) for _, make in SECTIONS.values()]),
        el(
            "footer", f"Made by mtkit {mtkit.__version__} from what the run kept. What the checks mean: docs/report.md."
        ),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _style() -> str:
    return resources.files("mtkit.report").joinpath("style.css").read_text(encoding="utf-8")


def _header(run: KeptRun) -> Html:
    links = [("checks", "What to look at"), *((place, title) for place, (title, _) in SECTIONS.items())]
    items = [el("li", el("a", title, href=f"#{place}")) for place, title in links]
    facts = [el("li", name, " ", el("b", value)) for name, value in _facts(run)]
    return el(
        "header",
        el("h1", run.recipe.name),
        el("ul", facts, class_="facts"),
        el("nav", el("ol", items), aria_label="Sections"),
    )


def _facts(run: KeptRun) -> Iterator[tuple[str, str]]:
    recipe = run.recipe
    yield "data", recipe.uses["data"]
    yield "split", recipe.uses["data.split"]
    yield "tasks", str(len(recipe.task))
    yield ("runs", str(len(run.several))) if run.several else ("seed", str(recipe.seed))
    total = value_of((run.metrics.get("timing") or {}).get("total_seconds"))
    if total is not None:
        yield "took", seconds(total)
    yield "finished", time.strftime("%Y-%m-%d %H:%M", time.localtime(run.finished))


def _checks(found: Checked) -> Html:
    """What checks found, and the rest of it closed where there is much."""
    number = {severity: sum(one.severity == severity for one in found.findings) for severity in SEVERITIES}
    told = ", ".join(counted(count, severity) for severity, count in number.items() if count) or "nothing was found"
    silenced = f"; silenced: {', '.join(found.silenced)}" if found.silenced else ""
    items = [_finding(one) for one in found.findings]
    rest = el("details", el("summary", f"{len(items) - _SHOWN} more"), el("ul", items[_SHOWN:], class_="checks"))
    return el(
        "section",
        el("h2", "What to look at", id="checks-title"),
        prose(f"{counted(found.made, 'check')} made: {told}{silenced}."),
        el("ul", items[:_SHOWN], class_="checks") if items else None,
        rest if len(items) > _SHOWN else None,
        id="checks",
        aria_labelledby="checks-title",
    )


def _finding(one: Finding) -> Html:
    first = prose(
        el("span", one.severity, class_="severity"), " ", el("code", one.code), " ", el("b", one.where), ": ", one.title, "; ",
        one.detail, ". ", el("a", "See", href=f"#{one.place}", aria_label=f"See {one.where}: {one.title}"),
    )  # fmt: skip
    return el("li", first, el("p", f"{one.means} {one.advice}", class_="what"), class_=one.severity)
