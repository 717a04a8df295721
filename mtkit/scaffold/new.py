"""`mtkit plugins new`: a distribution with one component, its tests, a recipe in which it takes part, and data for that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from mtkit.errors import PluginError
from mtkit.files import whole
from mtkit.scaffold.templates import made

_USERS, _ITEMS, _BASKETS, _DAYS, _BEGIN = 40, 25, 600, 100, 1_700_000_000


def write_new(kind: str, name: str, directory: Path) -> Path:
    """Writes a new distribution, whole or not at all, and returns its directory.

    Args:
        kind: of the component.
        name: what recipes will call it.
        directory: in which the distribution's own is made.

    Raises:
        PluginError: there is no such kind, the name is none, or the directory is there.
        RunError: it cannot be written.
    """
    found = made(kind, name)
    target = directory / found.package.replace("_", "-")
    if target.exists():
        raise PluginError(f"{target}: is there already; choose another name, or another place with --out")
    with whole(target) as temporary:
        for path, text in found.files.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_text(text, encoding="utf-8")
        _write_shop(temporary / "data")
    return target


def _write_shop(directory: Path) -> None:
    """A small shop: two categories are liked, by some users more, and what is light is bought."""
    rng = np.random.default_rng(0)
    basket = np.repeat(np.arange(_BASKETS), rng.integers(1, 5, _BASKETS))
    user = rng.integers(0, _USERS, _BASKETS)[basket]
    item, weight = rng.zipf(1.3, len(basket)) % _ITEMS, rng.random(_ITEMS)
    begin = rng.integers(0, _DAYS * 24, _BASKETS) * 3600 + _BEGIN
    likes = rng.random(len(basket)) < 0.15 + 0.5 * (item % 5 < 2) + 0.2 * (user % 2)
    tables = {
        "interactions": {
            "user": user,
            "item": item,
            "basket": basket,
            "time": begin[basket],
            "channel": np.where(rng.random(len(basket)) < 0.5, "shop", "web"),
            "hour": (begin[basket] // 3600) % 24,
            "liked": likes.astype(int),
            "bought": (rng.random(len(basket)) < 1 - weight[item]).astype(int),
        },
        "user": {"id": np.arange(_USERS), "town": [("north", "south")[n % 2] for n in range(_USERS)]},
        "item": {
            "id": np.arange(_ITEMS),
            "category": [f"c{n % 5}" for n in range(_ITEMS)],
            "weight": weight.round(3),
            "title": [f"thing {n} of kind {n % 5}" for n in range(_ITEMS)],
        },
    }
    directory.mkdir()
    for name, columns in tables.items():
        pyarrow.csv.write_csv(pa.table(columns), directory / f"{name}.csv")
