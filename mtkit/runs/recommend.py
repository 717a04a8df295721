"""Recommendations from the exported model of a run, shown with what the catalog says of the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtkit.backend import tf
from mtkit.errors import RunError, nearest
from mtkit.files import versions
from mtkit.runs.damage import reading
from mtkit.runs.directory import RunDirectory
from mtkit.shown import counted, shown_line

#: Asks for all events of a user.
ALL_EVENTS = (1 << 31) - 1
#: Items of the past that are shown.
SHOWN = 10


@dataclass(frozen=True)
class PastItem:
    """An item of a user's past.

    Attributes:
        item: its id.
        times: how many events.
        last: the day of the latest.
        text: what the catalog says; empty if it has no text.
    """

    item: str
    times: int
    last: date
    text: str


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


@dataclass(frozen=True)
class SimilarItem:
    """An item like another.

    Attributes:
        item: its id.
        score: how alike they are.
        text: what the catalog says; empty if it has no text.
    """

    item: str
    score: float
    text: str


def texts_of_items(directory: RunDirectory) -> dict[str, str]:
    """Id of an item of the catalog -> its first text; empty where items have none.

    Raises:
        RunError: the catalog cannot be read.
    """
    schema = directory.read_recipe().data.source.schema()
    entity = schema.roles[list(schema.roles)[1]]
    texts = schema.of_kind("text", entity)
    table = directory.read_catalog("test", entity, ("id", *texts[:1]))
    columns = [pc.cast(table[name], "string").to_pylist() for name in ("id", *texts[:1])]
    return {name: text[0] or "" for name, *text in zip(*columns, strict=True) if text}


class Servant:
    """The latest export of a run.

    Args:
        run: the run directory.

    Raises:
        RunError: this is no run, nothing was exported, a file is damaged, or the model recommends nothing.
    """

    def __init__(self, run: Path) -> None:
        self._directory = directory = RunDirectory(run)
        self._export, self._loaded = open_export(directory)
        if "recommend" not in self._loaded.signatures:
            raise RunError(f"{run}: the model has no retrieval task, so there is nothing that it could recommend")
        if "seen" not in self._loaded.signatures["past"].structured_outputs:
            raise RunError(f"{self._export} was written by an earlier version; mtkit export {run} writes another")
        self._schema = directory.read_recipe().data.source.schema()
        self._user, self._item = list(self._schema.roles)[:2]
        texts = self._schema.of_kind("text", self._schema.roles[self._item])
        self._users = frozenset(self._catalog(self._user, "id")["id"][1:])
        catalog = self._catalog(self._item, "id", *texts[:1])
        self._texts = dict(zip(catalog["id"], catalog[texts[0]] if texts else [""] * len(catalog["id"]), strict=True))

    def _catalog(self, role: str, *columns: str) -> dict[str, list[str]]:
        """Columns of a catalog, ids as text; the first row is the unknown."""
        table = self._directory.read_catalog("test", self._schema.roles[role], columns)
        return {name: pc.cast(table[name], "string").to_pylist() for name in columns}

    def knows(self, user: str) -> bool:
        """Whether the user is in the data."""
        return user in self._users

    def recommend(
        self, user: str, k: int, exclude_seen: bool = False, wanted: Mapping[str, Sequence[str]] | None = None
    ) -> list[Recommendation]:
        """The user's best `k` items, best first.

        Args:
            user: the id.
            k: how many.
            exclude_seen: whether only such as are not in the own past.
            wanted: column of the items -> values that are wanted.

        Raises:
            RunError: the model's scores are not finite, the user's id is no text, or the model filters by no such column.
        """
        seen = self._own_items(user) if exclude_seen else []
        asked = {"k": tf.constant(min(k, len(self._texts))), "exclude_ids": tf.constant([seen], tf.string)}
        asked |= self._filtered(wanted or {})
        answer = self._ask("recommend", user, **asked)
        # A servable puts the bounds of float32 in the place of scores that are no number.
        scores = answer["scores"][answer[f"{self._item}_ids"] != b""]
        if np.abs(scores).max(initial=0) >= np.finfo(np.float32).max:
            raise RunError(
                f"{self._export}: scores are not finite, for training diverged; train anew with a smaller train.learning_rate"
            )
        rows = zip(*(answer[key] for key in (f"{self._item}_ids", "scores", "seen")), strict=True)
        named = [(item.decode(), float(score), bool(seen)) for item, score, seen in rows if item]
        return [Recommendation(item, score, seen, self._text(item)) for item, score, seen in named]

    def _filtered(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, tf.Tensor]:
        """The inputs by which lists are filtered; those that nothing is said of are empty."""
        inputs = self._loaded.signatures["recommend"].structured_input_signature[1]
        columns = [name.removeprefix("filter_") for name in inputs if name.startswith("filter_")]
        for name in wanted:
            if name not in columns:
                raise RunError(
                    f"{self._export} filters by no column {name!r}; {nearest(name, columns)}; the recipe's [recommend] says "
                    "by which (`filters`)"
                )
        return {f"filter_{name}": tf.constant([list(wanted.get(name, ()))], tf.string) for name in columns}

    def _own_items(self, user: str) -> list[bytes]:
        """The items that count as the user's own past."""
        answer = self._ask("past", user, k=tf.constant(ALL_EVENTS))
        return sorted(set(answer[f"{self._item}_ids"][answer["seen"]]))

    def similar(self, item: str, k: int, by: Literal["embedding", "users"] = "embedding") -> list[SimilarItem]:
        """The `k` items that are most like an item, best first, or all that there are.

        Args:
            item: its id.
            k: how many.
            by: their candidates' `embedding` by the main task, or the `users` who had both.

        Raises:
            RunError: the item is not in the catalog, or the export has no such signature.
        """
        signature = {"embedding": "similar_items", "users": "items_together"}[by]
        if signature not in self._loaded.signatures:
            raise RunError(
                f"{self._export} has no signature {signature!r}; let the recipe's [export] write it (`together`), and run "
                "mtkit export"
            )
        if item not in self._texts or not item:
            some = ", ".join(repr(name) for name in list(self._texts)[1:4])
            raise RunError(f"no {self._item} of the catalog is called {item!a}; ids are as in the data, such as {some}")
        asked = {f"{self._item}_id": tf.constant([item]), "k": tf.constant(min(k, len(self._texts)))}
        answer = {name: value.numpy()[0] for name, value in self._loaded.signatures[signature](**asked).items()}
        found = zip(answer[f"{self._item}_ids"], answer["scores"], strict=True)
        named = [(name.decode(), float(score)) for name, score in found if name]
        return [SimilarItem(name, score, self._text(name)) for name, score in named]

    def past(self, user: str) -> list[PastItem]:
        """What the data know of the user: distinct items, the latest first, the more frequent first within a day."""
        answer = self._ask("past", user, k=tf.constant(ALL_EVENTS))
        times, last = dict[str, int](), dict[str, date]()
        for name, time in zip(answer[f"{self._item}_ids"], answer["times"], strict=True):
            if name:
                item = name.decode()
                times[item] = times.get(item, 0) + 1
                last.setdefault(item, datetime.fromtimestamp(int(time), UTC).date())
        items = [PastItem(item, times[item], last[item], self._text(item)) for item in times]
        return sorted(items, key=lambda item: (item.last, item.times), reverse=True)

    def _ask(self, signature: str, user: str, **inputs: tf.Tensor) -> dict[str, Any]:
        # What a shell hands on that is not UTF-8 comes as halves of surrogates.
        if any("\ud800" <= character <= "\udfff" for character in user):
            raise RunError(f"the {self._user} {user!a} is no text in UTF-8, as ids in the data are")
        answer = self._loaded.signatures[signature](**{f"{self._user}_id": tf.constant([user])}, **inputs)
        return {name: value.numpy()[0] for name, value in answer.items()}

    def _text(self, item: str) -> str:
        return self._texts.get(item) or ""


def open_export(directory: RunDirectory) -> tuple[Path, Any]:
    """The latest export of a run, and where it lies.

    Raises:
        RunError: this is no run, nothing was exported, or it cannot be read.
    """
    directory.check_run()
    run, numbers = directory.path, versions(directory.export)
    if not numbers:
        raise RunError(f"{run}: no exported model; finish the run with mtkit run --resume, or run mtkit export {run}")
    export = directory.export / str(numbers[-1])
    if not tf.saved_model.contains_saved_model(str(export)):
        raise RunError(
            f"{export} is no SavedModel, so it cannot be asked; it is damaged, or the recipe's [export] writes "
            f"something else; mtkit export {run} writes another"
        )
    return export, _loaded(export, f"mtkit export {run} writes another")


def _loaded(export: Path, remedy: str) -> Any:
    """A SavedModel.

    Raises:
        RunError: it cannot be read.
    """
    with reading(export, remedy):
        try:
            return tf.saved_model.load(str(export))
        except (tf.errors.OpError, IndexError) as error:  # how readers of tensors say it
            raise OSError(str(error)) from error


def show(
    user: str, recommendations: Sequence[Recommendation], past: Sequence[PastItem], console: Console | None = None
) -> None:
    """Prints a user's past and the recommendations as tables."""
    console = console or Console(highlight=False)
    known = {item.item: item for item in past}
    if past:
        title = f"Latest of {counted(len(past), 'item')} in the past of {user}"
        rows = [(_item(item.item, item.text), f"{item.times}x", str(item.last)) for item in past[:SHOWN]]
        console.print(_table(title, ("item", "times", "last"), rows))
    title = f"Recommended to {user}"
    rows = [(_item(r.item, r.text), f"{r.score:.3f}", _when(known.get(r.item))) for r in recommendations]
    console.print(_table(title, ("item", "score", "in the past"), rows))


def show_similar(item: str, similar: Sequence[SimilarItem]) -> None:
    """Prints items like an item as a table."""
    rows = [(_item(other.item, other.text), f"{other.score:.3f}") for other in similar]
    Console(highlight=False).print(_table(f"Similar to {item}", ("item", "score"), rows))


def _table(title: str, headers: Sequence[str], rows: Sequence[tuple[Text, *tuple[str, ...]]]) -> Table:
    """Numbered rows of an item and short cells."""
    table = Table(
        title=Text(shown_line(title), "bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("", justify="right")
    table.add_column(headers[0])
    for header in headers[1:]:
        table.add_column(header, justify="right", no_wrap=True)
    for number, cells in enumerate(rows, 1):
        table.add_row(str(number), *cells)
    return table


def _item(item: str, text: str) -> Text:
    """The id, and the text in a line of its own."""
    lines = (shown_line(item), ("\n" + shown_line(text), "dim")) if text else (shown_line(item),)
    return Text.assemble(*lines, no_wrap=True, overflow="ellipsis")


def _when(item: PastItem | None) -> str:
    return "" if item is None else f"{item.times}x, {item.last}"


def as_json(
    user: str, known: bool, recommendations: Sequence[Recommendation], past: Sequence[PastItem]
) -> Mapping[str, Any]:
    """The same as JSON-able values."""
    return {
        "format": 1,
        "user": user,
        "known": known,
        "recommendations": [vars(recommendation) for recommendation in recommendations],
        "past": [vars(item) | {"last": str(item.last)} for item in past],
    }
