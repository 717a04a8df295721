"""Recommendations from the exported model of a run, shown with what the catalog says of the items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.recipe import load_recipe
from mtkit.rundir import RunDirectory


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item: its id.
        score: what the main task says.
        seen: whether it is in the user's own past.
        text: what the catalog says; empty if it has no text.
    """

    item: str
    score: float
    seen: bool
    text: str


class Servant:
    """The latest export of a run.

    Args:
        run: the run directory.

    Raises:
        RunError: nothing was exported.
    """

    def __init__(self, run: Path) -> None:
        directory = RunDirectory(run)
        versions = [int(path.name) for path in directory.export.glob("*") if path.name.isdigit()]
        if not versions:
            raise RunError(f"{run}: no exported model; run mtkit export {run}")
        self._loaded = tf.saved_model.load(str(directory.export / str(max(versions))))
        schema = load_recipe(directory.lock).data.source.schema()
        ids = [column.entity for column in schema.interactions.values() if column.kind == "id" and column.entity]
        self._user, self._item = ids[:2]
        self._users = self._ids(directory, self._user)
        texts = schema.of_kind("text", self._item)
        catalog = pq.read_table(directory.entities / f"test-{self._item}.parquet")
        values = catalog[texts[0]].to_pylist() if texts else [""] * len(catalog)
        self._texts = dict(zip(map(str, catalog["id"].to_pylist()), values, strict=True))

    def _ids(self, directory: RunDirectory, entity: str) -> frozenset[str]:
        column = pq.read_table(directory.entities / f"test-{entity}.parquet", columns=["id"])["id"]
        return frozenset(pc.cast(column, "string").to_pylist()[1:])

    def knows(self, user: str) -> bool:
        """Whether the user is in the data."""
        return user in self._users

    def recommend(self, user: str, k: int) -> list[Recommendation]:
        """The user's best `k` items, best first."""
        answer = self._loaded.signatures["recommend"](
            **{f"{self._user}_id": tf.constant([user]), "k": tf.constant(k), "exclude_ids": tf.zeros([1, 0], tf.string)}
        )
        rows = zip(*(answer[key][0].numpy() for key in (f"{self._item}_ids", "scores", "seen")), strict=True)
        named = ((item.decode(), float(score), bool(seen)) for item, score, seen in rows if item)
        return [Recommendation(item, score, seen, self._texts.get(item) or "") for item, score, seen in named]

    def show(self, recommendations: list[Recommendation], console: Console | None = None) -> None:
        """Prints recommendations as a table."""
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("", justify="right")
        for header in ("item", "score", "seen", "text"):
            table.add_column(header, justify="right" if header == "score" else "left", overflow="fold")
        for rank, item in enumerate(recommendations, 1):
            table.add_row(str(rank), item.item, f"{item.score:.3f}", "yes" if item.seen else "", item.text)
        (console or Console()).print(table)
