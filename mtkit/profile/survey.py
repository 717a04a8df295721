"""A data set looked over: all checks that fit, less those that are silenced."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import prepared
from mtkit.data.row_tables import fold_of
from mtkit.errors import DataError
from mtkit.profile import activity, columns, ids, labels, parts, rows, texts, times
from mtkit.profile.findings import Finding, Needs, by_severity, codes, look
from mtkit.profile.view import View
from mtkit.recipe.loader import Recipe
from mtkit.spec import Cut
from mtkit.types import Dataset

#: The modules that have checks.
MODULES = (ids, rows, columns, texts, times, activity, labels, parts)


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        findings: the worst first.
        looked: codes of the checks that were made.
        silenced: codes of those that were not, on purpose.
        left_out: codes of those that need what is not there.
    """

    findings: tuple[Finding, ...]
    looked: tuple[str, ...]
    silenced: tuple[str, ...]
    left_out: tuple[str, ...]


def survey(raw: Dataset, recipe: Recipe | None, ignored: Collection[str] = ()) -> Survey:
    """All checks of a data set.

    Args:
        raw: the tables as they came.
        recipe: what reads them; None = there are no parts, and labels are all that are declared.
        ignored: codes of checks that are not wanted, beside those that the recipe silences.
    """
    view = _view(raw, recipe)
    up_to = Needs.RAW if view.cleaned is None else Needs.CLEANED if view.cuts is None else Needs.PARTS
    silenced = {*ignored, *(recipe.data.silence if recipe else ())}
    looked = tuple(code for code in codes(up_to) if code not in silenced)
    return Survey(
        tuple(by_severity(finding for code in looked for finding in look(view, code))),
        looked,
        tuple(sorted(silenced)),
        tuple(code for code in codes() if code not in (*looked, *silenced)),
    )


def glance(recipe: Recipe, dataset: Dataset, valid: Cut, test: Cut) -> list[Finding]:
    """The warnings and errors of the quick checks, for cleaned tables."""
    view = View(dataset, dataset, recipe, (valid, test), time.time())
    wanted = [code for code in codes(quick=True) if code not in recipe.data.silence]
    return [
        finding for finding in by_severity(f for code in wanted for f in look(view, code)) if finding.severity != "note"
    ]


def _view(raw: Dataset, recipe: Recipe | None) -> View:
    """The data as far as they can be cleaned and cut."""
    view = View(raw, None, recipe, None, time.time())
    try:
        dataset = prepared(raw, recipe.data.source.cleaners if recipe else {})
    except DataError as error:
        view.refused = str(error)
        return view
    view.cleaned = dataset
    if recipe is not None:
        try:
            view.cuts = make_cuts(dataset, recipe.data.split)
            view.dropped = [(cut, fold_of(recipe, dataset, cut).dropped) for cut in view.cuts]
        except DataError as error:
            view.uncut = str(error)
    return view
