"""Checks of what is recommended."""

from __future__ import annotations

from collections.abc import Iterator

from mtkit.report.findings import Found, finds
from mtkit.report.kept import KeptRun
from mtkit.report.measures import TOP, ListFacts
from mtkit.report.numbers import percent

#: Lists, without which nothing is said of them together.
_LISTS = 30


def _facts(run: KeptRun) -> Iterator[tuple[str, ListFacts]]:
    for task in run.recipe.task:
        facts = run.list_facts(task)
        if facts is not None and facts.lists >= _LISTS and facts.catalog >= 5 * TOP:
            yield task, facts


@finds("R031")
def same_for_everybody(run: KeptRun) -> Iterator[Found]:
    """By the places of the items that are shown most."""
    for task, facts in _facts(run):
        if facts.top > 0.8:
            yield Found(task, f"{percent(facts.top)} of {facts.places:,} places", "lists")


@finds("R032")
def collapsed(run: KeptRun) -> Iterator[Found]:
    """By the places of the most popular items."""
    for task, facts in _facts(run):
        if facts.popular > 2 / 3 and facts.catalog >= 100:
            yield Found(task, f"{percent(facts.popular)} of {facts.places:,} places", "lists")


@finds("R033")
def little_is_shown(run: KeptRun) -> Iterator[Found]:
    """Where there are places for all of the catalog."""
    for task, facts in _facts(run):
        if facts.places >= facts.catalog and facts.shown < 0.05 * facts.catalog:
            yield Found(task, f"{facts.shown:,} of {facts.catalog:,} items", "lists")


@finds("R034")
def own_past_alone(run: KeptRun) -> Iterator[Found]:
    """By the places of items that users had lately."""
    for task, facts in _facts(run):
        if facts.past > 0.95:
            yield Found(task, f"{percent(facts.past)} of {facts.places:,} places", "lists")
