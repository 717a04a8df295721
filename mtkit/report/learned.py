"""What has it learned? A map of the items, and which are alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mtkit.report import charts
from mtkit.report.drawing import svg
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, part, prose, section, slug, table
from mtkit.report.measures import map_of, nearest
from mtkit.report.numbers import percent

TITLE = "What has it learned?"
#: Items of which the nearest are named, how many these are, and items for a map.
_ITEMS, _NEAREST, _FEWEST = 12, 5, 3


def learned(run: KeptRun) -> Html:
    """The section."""
    tasks = [task for task in run.recipe.task if (kept := run.vectors(task)) is not None and len(kept) >= _FEWEST]
    if not tasks:
        return section(
            "learned", TITLE, prose("No task of this recipe ranks items, so there are no vectors of items to look at.")
        )
    return section("learned", TITLE, *(part(f"Items, as {task} has them", *_task(run, task)) for task in tasks))


def item_map(run: KeptRun, task: str) -> tuple[np.ndarray, list[str] | None, float] | None:
    """Points of items, the most popular first, a category of each, and the share of the variance; None without vectors."""
    kept = run.vectors(task)
    if kept is None or len(kept) < _FEWEST:
        return None
    points, explained = map_of(_vectors(kept))
    groups = run.groups(run.item_entity)
    return points, None if groups is None else [groups[item] for item in kept["item"]], explained


def _vectors(kept: pd.DataFrame) -> np.ndarray:
    return np.stack(list(kept["vector"])).astype(np.float64)


def _task(run: KeptRun, task: str) -> Iterator[Html | None]:
    found, kept = item_map(run, task), run.vectors(task)
    if found is None or kept is None:
        return
    points, groups, explained = found
    caption = (
        f"The {min(len(points), charts.MAP):,} most popular items, on the two directions in which their vectors differ most "
        f"(PCA), which have {percent(explained)} of the variance{'' if groups is None else '; colors are a category of theirs'}. "
        "Far apart here is far apart; near may be chance."
    )
    yield svg(charts.embedding(points, groups), slug("map", task), caption, wide=True)
    yield _nearest(run, _vectors(kept), kept)


def _nearest(run: KeptRun, vectors: np.ndarray, kept: pd.DataFrame) -> Html | None:
    """Of popular items, evenly spread over the first ones."""
    some = np.unique(np.linspace(0, min(len(kept), 200) - 1, _ITEMS).astype(int))
    rows = []
    for place, others in zip(some, nearest(vectors, some, _NEAREST), strict=True):
        names = "; ".join(f"{run.item(int(kept['item'].iloc[other]))} ({cosine:.2f})" for other, cosine in others)
        rows.append((run.item(int(kept["item"].iloc[place])), names))
    return table(
        "Items, and those whose vectors point most in the same direction, with the cosine", ("item", "nearest"), rows
    )
