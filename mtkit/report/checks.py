"""All checks of a run, less those that are silenced."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mtkit.report import list_checks, prediction_checks, protocol_checks, result_checks, training_checks
from mtkit.report.findings import Finding, by_severity, codes, look
from mtkit.report.kept import KeptRun

#: The modules that have checks.
MODULES = (result_checks, training_checks, prediction_checks, list_checks, protocol_checks)


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        findings: the worst first.
        made: how many checks were made.
        silenced: codes of those that were not.
    """

    findings: tuple[Finding, ...]
    made: int
    silenced: tuple[str, ...]


def checked(run: KeptRun, ignored: Collection[str] = ()) -> Checked:
    """All checks of a run.

    Args:
        run: what its directory keeps.
        ignored: codes of checks that are not wanted, beside those that the recipe silences.
    """
    silenced = {*ignored, *run.recipe.evaluate.silence}
    wanted = [code for code in codes() if code not in silenced]
    return Checked(
        tuple(by_severity(found for code in wanted for found in look(run, code))), len(wanted), tuple(sorted(silenced))
    )
