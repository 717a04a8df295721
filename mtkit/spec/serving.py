"""What writes the trained model, and what it is handed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from mtkit.spec.base import Spec
from mtkit.spec.model import BuildContext, Encoder

if TYPE_CHECKING:
    from mtkit.types import Fold, Part, RowTable


class Trained(Protocol):
    """A model on its data, trained: what an exporter writes. `mtkit.load_run` gives one.

    Attributes:
        recipe: the resolved recipe, a `mtkit.recipe.Recipe`: `recipe.encoder`, `recipe.task` and so on by name.
        fold: what was known, and what was predicted; catalogs, row i = id i.
        tables: row table -> `train` or `eval` -> its rows.
        features: preprocessed columns: `features.layers`, address -> the layer that preprocesses raw values.
        plan: who reads what: `plan.encoders`, `plan.correlations` and `plan.tasks` by name.
        model: the `keras.Model`; `model.encoders`, `model.correlations` and `model.heads` hold the layers by name, and
            `model.feed` the columns of the data.
        classes: task -> names of its label's classes; empty for binary labels.
        context: what the components were built with; its `name` is left to be set.
    """

    @property
    def recipe(self) -> Any:
        """The resolved recipe."""

    @property
    def fold(self) -> Fold:
        """What was known, and what was predicted."""

    @property
    def tables(self) -> Mapping[str, Mapping[Part, RowTable]]:
        """Row table -> part -> its rows."""

    @property
    def features(self) -> Any:
        """Preprocessed columns."""

    @property
    def plan(self) -> Any:
        """Who reads what."""

    @property
    def model(self) -> Any:
        """The `keras.Model`."""

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Task -> names of its label's classes."""

    @property
    def context(self) -> BuildContext:
        """What the components were built with."""


class Exporter(Spec):
    """Writes what serves the trained model, or a part of it that others take up."""

    kind: ClassVar[str] = "exporter"
    #: Whether `mtkit recommend` can ask what it writes.
    servable: ClassVar[bool] = True

    def refusal(self, encoders: Mapping[str, Encoder | None]) -> str:
        """Why there would be nothing to write, as far as declarations tell; empty if there is something.

        Args:
            encoders: the recipe's encoders by name; None = one that is not valid.
        """
        return ""

    def unfit(
        self, encoders: Mapping[str, Encoder], contexts: Mapping[str, BuildContext]
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What it could not write, as soon as the data are there and before anything is trained.

        Args:
            encoders: the recipe's encoders by name.
            contexts: encoder -> what it is built with.

        Yields:
            Where in the exporter's table, as keys, and what is wrong there.
        """
        yield from ()

    def prepare(self) -> None:
        """Called before the model is evaluated for the last time: what takes long and needs no weights can be begun; nothing."""

    def export(self, trained: Trained, directory: Path) -> Path:
        """Writes into a new version directory under `directory`, whole or not at all, and returns it.

        `mtkit.files.new_version` does that.

        Args:
            trained: the trained model, its recipe and its data.
            directory: holds the versions; may not exist.

        Raises:
            RunError: the directory cannot be written.
        """
        raise NotImplementedError
