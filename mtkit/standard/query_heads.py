"""Heads that order the rows of a query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from mtkit.errors import nearest
from mtkit.spec import BuildContext, GroupedMetric, PredictionTask, TaskMistake, Wiring
from mtkit.spec.heads import LabelForm, Measures, query_column

if TYPE_CHECKING:
    from mtkit.types import Part, RowTable

MOST_GRADE = 30
"""Of higher grades, gains are no numbers that float32 can tell apart."""


class Listwise(PredictionTask):
    """An order of the rows of each query: scores w·x, learned from all rows of a query at once, for a label of 0 and 1.

    `listnet` is the cross-entropy of a softmax over the rows (Cao et al., 2007), `lambdarank` pairs weighed by what NDCG would
    change (Burges, 2010), `approx_ndcg` NDCG itself with smooth ranks (Qin et al., 2010; Bruch et al., 2019). All rows of a query
    are in one step, which takes about `batch_size` rows, and up to those of the largest query more. Each query counts 1,
    whatever its size; one without a label of 1 has no loss. Scores are no probabilities, and only metrics of order are
    measured, `gauc` and `ndcg` within queries.
    """

    form: ClassVar[LabelForm] = "scores"
    #: An order of rows is the same with some of the negatives.
    corrects_negatives: ClassVar[bool] = True

    by: str | None = Field(
        None,
        description="what the rows of a query have in common: a role (`user`), a categorical column of the interactions, or the "
        "column of their baskets or sessions; default: who acts",
    )
    loss: Literal["listnet", "lambdarank", "approx_ndcg"] = Field("listnet", description="of the rows of a query")

    @property
    def query_by(self) -> str:
        """`by`."""
        return self.by or ""

    def judging(self, measures: Measures) -> str:
        """`ndcg` or another metric of order that is measured within queries, or else over all rows."""
        found = {name: metric for name, metric in measures.prediction_metrics.items() if self.form in metric.labels}
        within = [name for name, metric in found.items() if isinstance(metric, GroupedMetric)]
        return next(iter([*within, *found]), "") or super().judging(measures)

    def mistakes(self, name: str, wiring: Wiring) -> Iterator[TaskMistake]:
        """What all predictions need, and a column that makes no queries."""
        yield from super().mistakes(name, wiring)
        if self.by and wiring.schema is not None:
            columns = wiring.schema.interactions.items()
            own = [
                key
                for key, column in columns
                if column.kind == "categorical" or (column.kind == "id" and not column.entity)
            ]
            known = [*wiring.schema.roles, *own]
            if self.by not in known:
                yield ("by",), f"{self.by!r} makes no queries; {nearest(self.by, known)}"

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """What all predictions need of a label, one of several classes, and rows without queries."""
        mistakes = [*super().unfit(tables)]
        yield from mistakes
        if mistakes:
            return
        table = tables[self.rows]["train"]
        if message := self._unfit_values(table):
            yield ("label",), message
        elif query_column(self.query_by) not in table.dense:
            yield ("by",), f"rows of {self.rows!r} have no {self.by or 'user'!r} that could make queries of them"
        elif not _have_an_order(table, self.label, query_column(self.query_by)):
            message = f"no query by {self.by or next(iter(table.ids))!r} has rows of {self.rows!r} that differ in {self.label!r}"
            yield ("label",), f"{message}, so there is nothing to order; the head `user_preference` looks at each row"

    def _unfit_values(self, table: RowTable) -> str:
        """Why the values of the label are no grades; empty if they are."""
        if classes := table.classes.get(self.label, ()):
            return f"label {self.label!r} has {len(classes)} classes; expected 0 and 1, to tell which rows are above"
        return ""

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.listwise_head.ListwiseHead`."""
        from mtkit.layers.listwise_head import ListwiseHead

        return ListwiseHead(self.inputs, self.loss, name=context.name)


class GradedListwise(Listwise):
    """An order of the rows of each query, as `listwise`, for a label that says how relevant a row is: numbers from 0 on.

    Gains are 2^label - 1 for `lambdarank`, `approx_ndcg` and the metric `ndcg`, so grades are small numbers, such as 0 to 4.
    `listnet` predicts shares of the labels themselves.
    """

    numeric: ClassVar[bool] = True
    form: ClassVar[LabelForm] = "grades"

    def _unfit_values(self, table: RowTable) -> str:
        labels = table.labels[self.label][table.weights[self.label] > 0]
        if labels.min() < 0 or labels.max() > MOST_GRADE:
            wrong = labels.min() if labels.min() < 0 else labels.max()
            return f"label {self.label!r} of the training rows of {self.rows!r} is {wrong:g} in some; expected 0 to {MOST_GRADE}"
        return ""


def _have_an_order(table: RowTable, label: str, column: str) -> bool:
    """Whether a query has training rows of different labels, in one case at least."""
    import numpy as np

    there = table.weights[label] > 0
    distinct = np.unique(np.stack([table.dense[column][there], table.labels[label][there]]), axis=1)
    return bool(distinct.shape[1] > len(np.unique(distinct[0])))
