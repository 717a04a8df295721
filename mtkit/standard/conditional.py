"""A head whose probability is a product with that of another task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from mtkit.errors import WiringError
from mtkit.spec import BuildContext, ClassTask, Name, Read, TaskMistake, Wiring
from mtkit.standard.heads import OnEmbeddings

if TYPE_CHECKING:
    from mtkit.types import Part, RowTable


class Conditional(OnEmbeddings, ClassTask):
    """What follows another label, such as a conversion that follows a click (ESMM; Ma et al., SIGIR 2018).

    p(conversion) = p(click) p(conversion | click), p(click) being the probability of the task `given`, and the other one
    sigmoid(w·x + b) on its inputs side by side. The label is of all rows, 1 where both are true: so the rows are all impressions,
    those without a click among them, and the conversion rate of clicks is learned without a selection of clicks. The other task
    is trained by both losses. An export gives both: `NAME`, and `NAME_given_OTHER`.
    """

    corrects_negatives: ClassVar[bool] = False

    given: Name = Field(description="the task without which the label is never true; of a label of 0 and 1")

    def reads(self) -> tuple[Read, ...]:
        """Its inputs, and the log-odds of the other task."""
        return (*super().reads(), Read("given", self._given, self.rows))

    @property
    def _given(self) -> str:
        return f"task.{self.given}/logits"

    def mistakes(self, name: str, wiring: Wiring) -> Iterator[TaskMistake]:
        """Another task that predicts no probability."""
        yield from super().mistakes(name, wiring)
        other = wiring.task.get(self.given)
        if other and other.predicts and (other.numeric or other.multi_label or other.form):
            yield ("given",), f"{self.given!r} predicts no probability of a label of 0 and 1; name a task that does"

    def unfit(self, tables: Mapping[str, Mapping[Part, RowTable]]) -> Iterator[TaskMistake]:
        """Beside what all heads need of a label: rows of which some are left out, so that products are of no probabilities."""
        mistakes = [*super().unfit(tables)]
        yield from mistakes
        if (table := tables[self.rows]["train"]).kept and not mistakes:
            message = (
                f"row table {table.name!r} has fewer rows with 0 in {', '.join(table.kept)} for each with 1, and the product is "
                "of probabilities of all rows; leave keep_negatives and repeat_positives out"
            )
            yield ("rows",), message

    def parts(self, name: str) -> dict[str, str]:
        """The probability where the other task is true."""
        return {f"{name}_given_{self.given}": f"of `{self.label}` where `{self.given}` is true"}

    def build(self, context: BuildContext) -> Any:
        """A `mtkit.layers.conditional_head.ConditionalHead`.

        Raises:
            WiringError: one of the labels has several classes.
        """
        for task in (context.name, self.given):
            if (classes := context.classes.get(task, 2)) > 2:
                raise WiringError(
                    f"task.{context.name}: its probability is a product of those of two labels of 0 and 1, and the label of "
                    f"{task!r} has {classes} classes"
                )
        from mtkit.layers.conditional_head import ConditionalHead

        return ConditionalHead(self.inputs, self._given, self.loss_options(context), name=context.name)
