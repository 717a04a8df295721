"""What does it recommend? Lists of some users beside their past, and what all lists are like together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mtkit.report import charts
from mtkit.report.drawing import svg
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, clipped, details, el, part, prose, section, slug, table
from mtkit.report.measures import ListFacts
from mtkit.report.numbers import figure, percent
from mtkit.types import MetricKey

TITLE = "What does it recommend?"
_PAST = 8
#: Metrics of rankings that say what lists are like.
_BEYOND = ("coverage", "gini", "novelty", "popularity_bias", "serendipity", "diversity")


def recommended(run: KeptRun) -> Html:
    """The section."""
    tasks = [task for task in run.recipe.task if (lists := run.lists(task)) is not None and len(lists)]
    if not tasks:
        return section("lists", TITLE, prose("No task of this recipe ranks a whole catalog, so there are no lists."))
    return section("lists", TITLE, *(part(task, *_task(run, task), place=slug("lists", task)) for task in tasks))


def _task(run: KeptRun, task: str) -> Iterator[Html | None]:
    facts = run.list_facts(task)
    if facts is not None:
        yield _facts(run, task, facts)
        shown = {"the model's lists": np.append(facts.by_item, np.zeros(max(facts.catalog - facts.shown, 0)))}
        caption = f"{task}: the places in lists, added up from the item shown most; the nearer to the dashed line, the more even."
        drawn = svg(charts.concentration(shown), slug("concentration", task), caption)
        most = [(run.item(item), percent(share, 2)) for item, share in facts.most]
        yield el(
            "div",
            drawn,
            table(f"{task}: items that are shown most", ("item", "share of places"), most, numbers=(1,)),
            class_="grid",
        )
    lists = run.lists(task)
    assert lists is not None
    yield prose(
        "Users of the test, picked by a rule, with their past, their list, and what they had next (in bold, with \N{CHECK MARK})."
    )
    people = [_user(run, lists.iloc[row], who, why) for who, why, row in picked(lists)]
    yield el("div", people, class_="grid")


def _facts(run: KeptRun, task: str, facts: ListFacts) -> Html:
    lines: list[tuple[str, Any]] = [
        ("Lists looked at", f"{facts.lists:,} of ten items"),
        ("With an item that followed", percent(facts.hits)),
        (
            "Catalog shown",
            f"{facts.shown:,} of {facts.catalog:,} items ({percent(facts.shown / max(facts.catalog, 1))})",
        ),
        ("Places of the ten items shown most", percent(facts.top)),
        ("Places of the ten most popular items", percent(facts.popular)),
        ("Places of items the user had lately", percent(facts.past)),
    ]
    keys = [
        key for key in map(MetricKey.parse, run.test) if key.task == task and not key.slice and key.metric in _BEYOND
    ]
    lines += [(key.label.replace("_", " "), figure(run.test[str(key)])) for key in keys]
    return el("dl", [(el("dt", name), el("dd", value)) for name, value in lines])


def picked(lists: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Who is shown: name, the rule, and the place of the list; the first of those that are alike.

    Args:
        lists: kept lists.
    """
    size = lists["past_size"].to_numpy()
    hits, relevant = np.array([np.sum(one) for one in lists["hits"]]), lists["relevant"].to_numpy()
    median = float(np.median(size))
    missed = np.where(hits == 0, relevant, -1)
    rules = [
        ("Typical", f"a past of median size, {median:,.0f}", int(np.abs(size - median).argmin())),
        ("Active", f"the longest past, {size.max():,}", int(size.argmax())),
        ("Cold", f"the shortest past, {size.min():,}", int(size.argmin())),
    ]
    if missed.max() > 0:
        worst = int(missed.argmax())
        rules.append(("Worst", f"no hit, though {missed[worst]:,} items followed", worst))
    return rules


def _user(run: KeptRun, row: pd.Series, who: str, why: str) -> Html:
    past = [run.item(item) for item in dict.fromkeys(row["past"])][:_PAST]
    hits = list(row["hits"])
    items = [_listed(run.item(item), hit=bool(hit)) for item, hit in zip(row["items"], hits, strict=True) if item > 0]
    followed = [el("li", run.item(item)) for item in row["targets"]]
    return el(
        "div",
        el("h4", f"{who}: {clipped(run.user(int(row['user'])), 60)}"),
        prose(f"{why[0].upper()}{why[1:]}; {sum(map(bool, hits))} of {int(row['relevant']):,} found."),
        el("p", "Had lately, each once, the latest first", class_="muted"),
        el("ol", [el("li", name) for name in past]) if past else prose("Nothing."),
        el("p", "Is recommended", class_="muted"),
        el("ol", items),
        details(f"What followed ({int(row['relevant']):,})", el("ul", followed)),
        class_="user",
    )


def _listed(name: str, *, hit: bool) -> Html:
    return el(
        "li",
        el("span", name, " \N{CHECK MARK}", el("span", " (followed)", class_="quiet"), class_="hit") if hit else name,
    )
