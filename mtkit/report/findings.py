"""What checks of a run find, and which function looks for which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mtkit.recipe.data_checks import SEVERITIES, Severity
from mtkit.recipe.report_checks import REPORT_CHECKS
from mtkit.report.kept import KeptRun


@dataclass(frozen=True)
class Found:
    """What a check found at one place.

    Attributes:
        where: the task, or what else it is about.
        detail: figures, in words.
        place: where in the page more is to be seen.
    """

    where: str
    detail: str
    place: str


@dataclass(frozen=True)
class Finding:
    """What was found, with all that is said of it; attributes as of `Found` and of `ReportCheck`."""

    code: str
    severity: Severity
    title: str
    where: str
    detail: str
    means: str
    advice: str
    place: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.code}: {self.where}: {self.title}: {self.detail}"


Function = Callable[[KeptRun], Iterable[Found]]

_LOOKERS: dict[str, Function] = {}


def finds(code: str) -> Callable[[Function], Function]:
    """Says which check a function is."""

    def register(function: Function) -> Function:
        assert code in REPORT_CHECKS, code
        _LOOKERS[code] = function
        return function

    return register


def codes() -> tuple[str, ...]:
    """The codes of all checks that are made."""
    return tuple(sorted(_LOOKERS))


def look(run: KeptRun, code: str) -> Iterator[Finding]:
    """What one check finds."""
    check = REPORT_CHECKS[code]
    for found in _LOOKERS[code](run):
        yield Finding(
            code, check.severity, check.title, found.where, found.detail, check.means, check.advice, found.place
        )


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, then by code."""
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.code))
