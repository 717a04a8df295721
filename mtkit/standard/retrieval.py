"""Built-in retrieval heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.spec import BuildContext, PositiveFloat, PositiveInt, RetrievalTask, TaskMistake
from mtkit.types import Part

if TYPE_CHECKING:
    from mtkit.types import RowTable


class GatedRetrieval(RetrievalTask):
    """Ranks the whole catalog: items of the past by how they were consumed, all others by a dot product.

    Query and candidate are sums of their embeddings, which have one width. The row table has targets and own past items
    (`windows`).
    """

    step_matrices: ClassVar[int] = 2
    score_matrices: ClassVar[int] = 4

    discovery: Annotated[float, Field(ge=0)] = Field(
        3.0, description="weight of the softmax over items that are not in the past, beside the cross-entropy over all"
    )
    negatives: Literal["catalog", "uniform"] = Field(
        "catalog",
        description="what rows are ranked against in training: all items; or their own past, their targets, and items drawn from "
        "the catalog in each step, which stand for all others: for large catalogs",
    )
    number: PositiveInt = Field(
        1000, description="how many items are drawn in a step, without replacement, for all rows"
    )

    @model_validator(mode="after")
    def _draws(self) -> Self:
        if self.number != 1000 and self.negatives == "catalog":
            raise ValueError('number needs negatives = "uniform"')
        return self

    @property
    def candidates(self) -> Literal["batch", "catalog", "drawn"]:
        """The catalog, or what is drawn from it."""
        return "catalog" if self.negatives == "catalog" else "drawn"

    def candidates_of_step(self, rows: int, items: int) -> int:
        """All, or those that are drawn."""
        return items if self.negatives == "catalog" else min(self.number, items)

    def columns(self, part: Part) -> tuple[str, ...]:
        """Targets, own past items, and how active the users and how popular the items were."""
        return ("target", "own", "activity", "popularity")

    @property
    def equally_wide(self) -> tuple[str, ...]:
        """All that it adds up."""
        return (*self.query, *self.candidate)

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.GatedRetrieval`."""
        from mtkit.data.known_as_of import ACTIVITY_CHANNELS, OWN_CHANNELS, POPULARITY_CHANNELS
        from mtkit.layers.gated_retrieval import GatedRetrieval as Layer

        return Layer(
            size=context.candidates[context.name],
            channels=len(OWN_CHANNELS),
            activity=len(ACTIVITY_CHANNELS),
            popularity=len(POPULARITY_CHANNELS),
            discovery=self.discovery,
            negatives=self.negatives,
            number=self.number,
            name=context.name,
        )


class Retrieval(RetrievalTask):
    """Ranks a catalog by a dot product, with a choice of losses and of negatives.

    What a row is followed by is its own item (`interactions`), or each of its targets (`windows`). Embeddings of one width are
    added up on both sides, or go through towers (`dim`).
    """

    step_matrices: ClassVar[int] = 6

    loss: Literal["softmax", "squared", "binary", "bpr", "hinge"] = Field(
        "softmax",
        description="cross-entropy of a softmax; squared error, or sigmoid cross-entropy, of 1 for targets and 0 for others; or "
        "pairwise, of a target and an item that is none",
    )
    negatives: Literal["catalog", "batch", "uniform", "popularity", "mixed"] = Field(
        "catalog",
        description="what rows are ranked against in training: all items; those of the other rows of the step; items drawn from "
        "the catalog in each step, uniformly or by their share to a `power`; or those of the other rows and uniform ones",
    )
    number: PositiveInt = Field(1000, description="how many items are drawn in a step, with replacement")
    shared: bool = Field(
        True, description="whether these are for all rows of the step; else each row has `number` of its own"
    )
    power: Annotated[float, Field(ge=0, le=1)] = Field(
        0.75, description="of the items' shares of the training rows, by which `popularity` draws"
    )
    hard: PositiveInt | None = Field(
        None,
        description="number of negatives that count, those with the highest scores; default: all",
    )
    dim: PositiveInt | None = Field(
        None, description="width of query and candidate after a tower each; default: the embeddings are added up"
    )
    hidden: tuple[PositiveInt, ...] = Field((), description="widths of the layers of each tower before the last")
    bias: bool = Field(False, description="whether items have a bias, which is learned and added to scores")
    normalize: bool = Field(False, description="whether queries and candidates are made to be of length 1")
    temperature: PositiveFloat = Field(1.0, description="divides the scores in the loss")
    remove_accidental_hits: bool = Field(
        True, description="what a row is followed by is no negative of the row where it is drawn, or is of another row"
    )
    correct_sampling: bool = Field(
        True,
        description="what is drawn often counts less (logQ), so that scores rank by probability; for `squared` and `binary`, so "
        "that those drawn stand for the whole catalog",
    )
    others: PositiveFloat = Field(
        1.0, description="what an item that is no target weighs beside a target, for `squared` and `binary`"
    )
    queue: PositiveInt | None = Field(
        None,
        description="number of candidates of earlier steps that are negatives beside those of the `batch`, as they were embedded "
        "then (cross-batch memory); default: none",
    )
    label: str = Field(
        "",
        description="a binary label of its rows: items of rows with 1 are learned, those of rows with 0, which were shown and "
        "not chosen, are negatives in the batches; default: all rows are positive",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, given, fits, needs in self._needs():
            if given and not fits:
                raise ValueError(f"{name} needs {needs}; here are loss = {self.loss!r}, negatives = {self.negatives!r}")
        if self.hard is not None and self.correct_sampling and self._sums:
            raise ValueError("hard negatives stand for no other items; set correct_sampling = false")
        return self

    @property
    def _sums(self) -> bool:
        """Whether the loss is a sum over negatives that are drawn."""
        return self.negatives != "catalog" and self.loss not in ("bpr", "hinge")

    def _needs(self) -> Iterator[tuple[str, bool, bool, str]]:
        """Option, whether it is given, whether it has an effect, and what it needs for that."""
        pointwise, own = self.loss in ("squared", "binary"), self.negatives in ("uniform", "popularity")
        drawn = 'negatives = "uniform", "popularity" or "mixed"'
        yield "number", self.number != 1000, self.candidates == "drawn", drawn
        yield "shared", not self.shared, own, 'negatives = "uniform" or "popularity"'
        yield "power", self.power != 0.75, self.negatives == "popularity", 'negatives = "popularity"'
        yield "queue", self.queue is not None, self.negatives == "batch", 'negatives = "batch"'
        yield "hidden", bool(self.hidden), self.dim is not None, "a `dim`, the width after them"
        yield (
            "temperature",
            self.temperature != 1,
            self.loss != "squared",
            "another loss, for which 1 and 0 are no scores",
        )
        yield "others", self.others != 1, pointwise, 'loss = "squared" or "binary"'
        yield "label", bool(self.label), self.in_batch, 'negatives = "batch" or "mixed"; else choose rows by `where`'
        yield "hard", self.hard is not None, not pointwise, "a loss that ranks: softmax, bpr or hinge"
        hits, correct = self.remove_accidental_hits, self.correct_sampling
        yield "remove_accidental_hits = false", not hits, self.negatives != "catalog", "negatives that are drawn"
        yield "correct_sampling = false", not correct, self._sums, "a sum over negatives that are drawn"

    @property
    def equally_wide(self) -> tuple[str, ...]:
        """All that it adds up, where there are no towers."""
        return () if self.dim else (*self.query, *self.candidate)

    @property
    def candidates(self) -> Literal["batch", "catalog", "drawn"]:
        """By `negatives`."""
        return self.negatives if self.negatives in ("batch", "catalog") else "drawn"

    def candidates_of_step(self, rows: int, items: int) -> int:
        """All; or those of other rows, now and in the queue, and those that are drawn."""
        if self.negatives == "catalog":
            return items
        drawn = self.number if self.candidates == "drawn" else self.queue or 0
        return drawn + rows if self.in_batch else drawn

    @property
    def in_batch(self) -> bool:
        """Whether the items of other rows are negatives."""
        return self.negatives in ("batch", "mixed")

    @property
    def positive(self) -> str:
        """`label`."""
        return self.label

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """Beside what no head can do without: rows without targets or items, and batches of rows that have several."""
        yield from super().unfit(tables)
        table = tables[self.rows]["train"]
        targets, ids = "target" in table.lists, len(table.ids) > 1
        if not targets and not ids:
            yield ("rows",), f"rows of {self.rows!r} have no targets, and no item of their own, to be followed by"
        if self.in_batch and not ids:
            yield (
                ("negatives",),
                (
                    f"rows of {self.rows!r} have lists of targets, and no item that could stand for them in a batch; expected "
                    'negatives = "catalog", "uniform" or "popularity"'
                ),
            )

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.DotRetrieval`."""
        from mtkit.layers.dot_retrieval import DotRetrieval

        return DotRetrieval(
            query=self.query,
            candidate=self.candidate,
            size=context.candidates[context.name],
            loss=self.loss,
            negatives=self.negatives,
            number=self.number,
            shared=self.shared,
            power=self.power,
            hard=self.hard,
            dim=self.dim,
            hidden=self.hidden,
            bias=self.bias,
            normalize=self.normalize,
            temperature=self.temperature,
            remove_accidental_hits=self.remove_accidental_hits,
            correct_sampling=self.correct_sampling,
            others=self.others,
            queue=self.queue,
            name=context.name,
        )
