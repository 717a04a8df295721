"""A run as one page of HTML, which loads nothing and runs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import resources
from itertools import groupby
from pathlib import Path

import mtkit
from mtkit.files import write_text
from mtkit.recipe.data_checks import SEVERITIES
from mtkit.report import cost, course, declared, good, learned, recommended, trust, weak
from mtkit.report.checks import Checked, checked
from mtkit.report.findings import Finding
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, coded, details, el, prose, section
from mtkit.report.numbers import seconds, value_of
from mtkit.runs.directory import RunDirectory
from mtkit.shown import counted, shown

#: Place -> title, and what makes it, in the order of what people ask.
SECTIONS: Mapping[str, tuple[str, Callable[[KeptRun], Html]]] = {
    "good": (good.TITLE, good.good),
    "trust": (trust.TITLE, trust.trust),
    "course": (course.TITLE, course.course),
    "weak": (weak.TITLE, weak.weak),
    "lists": (recommended.TITLE, recommended.recommended),
    "learned": (learned.TITLE, learned.learned),
    "cost": (cost.TITLE, cost.cost),
    "recipe": (declared.TITLE, declared.declared),
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
CHECKS = "What to look at"
#: Places of a check that are not closed.
_PLACES = 5


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
    links = [("checks", CHECKS), *((place, title) for place, (title, _) in SECTIONS.items())]
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
    """What checks found, by check."""
    number = {severity: sum(one.severity == severity for one in found.findings) for severity in SEVERITIES}
    told = ", ".join(counted(count, severity) for severity, count in number.items() if count) or "nothing was found"
    silenced = f"; silenced: {', '.join(found.silenced)}" if found.silenced else ""
    items = [_check(list(group)) for _, group in groupby(found.findings, key=lambda one: one.code)]
    return section(
        "checks",
        CHECKS,
        prose(f"{counted(found.made, 'check')} made: {told}{silenced}."),
        el("ul", items, class_="checks") if items else None,
    )


def _check(group: Sequence[Finding]) -> Html:
    first = group[0]
    head = prose(el("span", first.severity, class_="severity"), " ", el("code", first.code), " ", el("b", first.title))
    places = [
        _place(where, [one for one in group if one.where == where])
        for where in dict.fromkeys(one.where for one in group)
    ]
    rest = details(f"{len(places) - _PLACES} more", el("ul", places[_PLACES:])) if len(places) > _PLACES else None
    what = el("p", coded(f"{first.means} {first.advice}"), class_="what")
    return el("li", head, el("ul", places[:_PLACES]), rest, what, class_=first.severity)


def _place(where: str, found: Sequence[Finding]) -> Html:
    return el("li", el("a", where, href=f"#{found[0].place}"), ": ", "; ".join(one.detail for one in found))
