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
#: Items of which the nearest are named, and how many.
_ITEMS, _NEAREST = 12, 5


def learned(run: KeptRun) -> Html:
    """The section."""
    tasks = [task for task in run.recipe.task if (kept := run.vectors(task)) is not None and len(kept) > 2]
    if not tasks:
        return section(
            "learned", TITLE, prose("No task of this recipe ranks items, so there are no vectors of items to look at.")
        )
    return section("learned", TITLE, *(part(f"Items, as {task} has them", *_task(run, task)) for task in tasks))


def _task(run: KeptRun, task: str) -> Iterator[Html | None]:
    kept = run.vectors(task)
    assert kept is not None
    assert run.item_entity is not None
    vectors, items = np.stack(list(kept["vector"])).astype(np.float64), kept["item"].to_numpy()
    points, explained = map_of(vectors)
    groups = run.groups(run.item_entity)
    of_items = None if groups is None else [groups[item] for item in items]
    shown = min(len(items), charts.MAP)
    caption = (
        f"The {shown:,} most popular items, on the two directions in which their vectors differ most (PCA), which have "
        f"{percent(explained)} of the variance{'' if groups is None else '; colors are a category of theirs'}. Far apart here is "
        "far apart; near may be chance."
    )
    yield svg(charts.embedding(points, of_items), slug("map", task), caption, wide=True)
    yield _nearest(run, vectors, kept)


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
