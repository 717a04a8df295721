"""Task heads that rank a catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mtkit.spec.base import Name
from mtkit.spec.heads import Measures, Read, TaskHead, TaskMistake, Wiring, repeats_name
from mtkit.spec.prediction_heads import unfit_label

if TYPE_CHECKING:
    from mtkit.types import Part, RowTable


class RetrievalTask(TaskHead):
    """A head that ranks a catalog: a query that does not depend on the candidate, and candidates.

    The layer is a `mtkit.heads.RetrievalHead`.
    """

    baseline_form: ClassVar[str] = "retrieval"
    recommends: ClassVar[bool] = True
    query: tuple[Name, ...] = Field(min_length=1, description="embeddings of the query side")
    candidate: tuple[Name, ...] = Field(min_length=1, description="embeddings of the candidate's entity")
    evaluate: Name | None = Field(None, description="row table with targets to evaluate on; default: `rows`")
    repeats: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0,
        description="what n training rows of the same user and item count together: n to this power. 1 = each for itself; 0 = as "
        "one row: the smaller, the less a habit outweighs a discovery",
    )

    @property
    def scales(self) -> tuple[str, ...]:
        """Those of all heads, and what rows count of which there are several."""
        return (*super().scales, *((repeats_name(self.repeats),) if self.repeats < 1 else ()))

    @property
    def candidates(self) -> Literal["batch", "catalog", "drawn"]:
        """Against what a training step ranks: the global `batch`, the whole `catalog`, or what the head draws from it."""
        raise NotImplementedError

    @property
    def in_batch(self) -> bool:
        """Whether a training step reads the candidates of its rows."""
        return self.candidates == "batch"

    @property
    def below_popularity(self) -> str:
        """Of batches: frequent items are negatives more often than others."""
        if not self.in_batch:
            return ""
        return (
            "the items of other rows are its negatives, and where few items make up much of the rows, these are pushed below all "
            'others; try correct_sampling = true, larger batches, or the head `retrieval` with negatives = "uniform" or "catalog"'
        )

    @property
    def positive(self) -> str:
        """The label of a row's candidate, if rows have one: those with 0 are candidates of others, and no positives."""
        return ""

    @property
    def evaluated_on(self) -> Name:
        """The table of `evaluate`, or that it trains on."""
        return self.evaluate or self.rows

    @property
    def ranks(self) -> tuple[Name, ...]:
        """The candidate's embeddings."""
        return self.candidate

    def reads(self) -> tuple[Read, ...]:
        """The query on the rows it is evaluated and trained on, the candidate in the batch, or on the catalog, or some of it."""
        tables = dict.fromkeys((self.evaluated_on, self.rows))
        query = [Read("query", name, table) for table in tables for name in self.query]
        if self.in_batch:
            query += [Read("candidate", name, self.rows) for name in self.candidate]
        drawn = self.candidates == "drawn"
        whole = [Read("candidate", name, "", trains=self.candidates != "batch", some=drawn) for name in self.candidate]
        return (*query, *whole)

    def columns(self, part: Part) -> tuple[str, ...]:
        """Lists of targets, where they are what rankings are judged by."""
        return ("target",) if part == "eval" else ()

    def metric_labels(self, measures: Measures) -> tuple[str, ...]:
        """The metrics of rankings at their cutoffs."""
        return tuple(key for name, metric in measures.metrics.items() for key in metric.keys(name, measures.k))

    def lower_is_better(self, metric: str, measures: Measures) -> bool:
        """What the metric says."""
        return metric in measures.metrics and measures.metrics[metric].lower_is_better

    def mistakes(self, name: str, wiring: Wiring) -> Iterator[TaskMistake]:
        """Towers that are not factorized."""
        if wiring.schema is None:
            return
        candidate = {n: wiring.depends(n, content=True) for n in self.candidate}
        scopes = {a.scope for addresses in candidate.values() for a in addresses}
        if len(scopes) > 1 or not scopes <= wiring.schema.scopes.keys():
            read = "; ".join(f"{n!r} depends on {', '.join(sorted(a))}" for n, a in candidate.items())
            message = f"a candidate must depend on the features of one entity and nothing else, but {read}"
            yield ("candidate",), message
            return
        if not scopes <= wiring.schema.roles.keys():
            roles, (scope,) = " and ".join(wiring.schema.roles), scopes
            yield (
                ("candidate",),
                f"interactions are of {roles}; read the candidate's features as theirs, not as {scope!r}",
            )
            return
        for index, embedding in enumerate(self.query):
            if of_candidate := sorted(a for a in wiring.depends(embedding) if a.scope in scopes):
                message = (
                    f"a query must not depend on the candidate of the row, but {embedding!r} depends on "
                    f"{', '.join(of_candidate)}; items of the past are read by history.{of_candidate[0].scope}"
                )
                yield ("query", index), message

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """No targets to evaluate on, or no label that says which candidates are positive."""
        if self.positive and (message := unfit_label(tables[self.rows]["train"], self.positive, numeric=False)):
            yield ("label",), message
        if self.repeats < 1 and repeats_name(self.repeats) not in tables[self.rows]["train"].dense:
            yield (
                ("repeats",),
                f"rows of {self.rows!r} have no single item, of which alone it can be told how often it was had",
            )
        if "target" not in tables[self.evaluated_on]["eval"].lists:
            message = f"row table {self.evaluated_on!r} has no targets to evaluate on; set `evaluate` to one that has (`windows`)"
            yield ("rows",), message
