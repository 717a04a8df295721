"""What checks find, and which function looks for which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from mtkit.profile.view import MOST_EXAMPLES, View
from mtkit.recipe.data_checks import CHECKS, SEVERITIES, Severity
from mtkit.shown import shown_line

#: Characters of an example.
_LONG = 80


class Needs(IntEnum):
    """What a check looks at."""

    RAW = 0
    """Tables as they came."""
    CLEANED = 1
    """Tables in the types of their declarations, without rows that cannot be used."""
    PARTS = 2
    """What trains, and what is tested."""


@dataclass(frozen=True)
class Found:
    """What a check found at one place.

    Attributes:
        where: the column (`item.title`), or what else it is about.
        count: how many there are.
        of: of how many; 0 = that says nothing.
        unit: what is counted, in the plural.
        examples: up to three.
        detail: what there is to say beside the title of the check.
        severity: where it is another than that of the check.
        advice: where it is another than that of the check.
    """

    where: str
    count: int
    of: int
    unit: str = "rows"
    examples: tuple[str, ...] = ()
    detail: str = ""
    severity: Severity | None = None
    advice: str = ""


@dataclass(frozen=True)
class Finding:
    """What was found, with all that is said of it; attributes as of `Found` and of `DataCheck`."""

    code: str
    severity: Severity
    title: str
    where: str
    count: int
    of: int
    unit: str
    examples: tuple[str, ...]
    detail: str
    advice: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.code}: {self.where}: {self.what}"

    @property
    def what(self) -> str:
        """The title with its detail, and how many of how many."""
        text = f"{self.title} ({self.detail})" if self.detail else self.title
        return f"{text}: {self.amount}" if self.of else text

    @property
    def amount(self) -> str:
        """How many, of how many."""
        share = f" ({self.count / self.of:.2%})" if 0 < self.count < self.of else ""
        return f"{self.count:,} of {self.of:,} {self.unit}{share}"


Function = Callable[[View], Iterable[Found]]


@dataclass(frozen=True)
class _Looker:
    function: Function
    needs: Needs
    quick: bool


_LOOKERS: dict[str, _Looker] = {}


def finds(code: str, needs: Needs = Needs.CLEANED, *, quick: bool = False) -> Callable[[Function], Function]:
    """Says which check a function is.

    Args:
        code: of the check.
        needs: what it looks at.
        quick: whether it is fast enough for the first lines of a run: some hundredths of a second for a million rows.
    """

    def register(function: Function) -> Function:
        assert code in CHECKS, code
        _LOOKERS[code] = _Looker(function, needs, quick)
        return function

    return register


def codes(up_to: Needs = Needs.PARTS, *, quick: bool = False) -> tuple[str, ...]:
    """The codes of the checks that need no more than this; those that are quick, or all."""
    return tuple(
        sorted(code for code, looker in _LOOKERS.items() if looker.needs <= up_to and (looker.quick or not quick))
    )


def look(view: View, code: str) -> Iterator[Finding]:
    """What one check finds."""
    check = CHECKS[code]
    for found in _LOOKERS[code].function(view):
        yield Finding(
            code=code,
            severity=found.severity or check.severity,
            title=check.title,
            where=found.where,
            count=found.count,
            of=found.of,
            unit=found.unit,
            examples=tuple(map(_short, found.examples[:MOST_EXAMPLES])),
            detail=found.detail,
            advice=found.advice or check.advice,
        )


def graded(certain: object) -> Severity:
    """A warning, or, where that is not certain, a note."""
    return "warning" if certain else "note"


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, then by code, then those that concern most."""
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.code, -one.count))


def _short(example: str) -> str:
    line = shown_line(example)
    return line if len(line) <= _LONG else f"{line[: _LONG - 1]}…"
