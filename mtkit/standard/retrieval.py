"""Built-in retrieval heads."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from mtkit.spec import BuildContext, RetrievalTask
from mtkit.types import Part


class GatedRetrieval(RetrievalTask):
    """Ranks the whole catalog: items of the past by how they were consumed, all others by a dot product.

    Query and candidate are sums of their embeddings, which have one width. The row table has targets and own past items
    (`windows`).
    """

    candidates: ClassVar[Literal["batch", "catalog"]] = "catalog"
    step_matrices: ClassVar[int] = 19
    score_matrices: ClassVar[int] = 4

    discovery: Annotated[float, Field(ge=0)] = Field(
        3.0, description="weight of the softmax over items that are not in the past, beside the cross-entropy over all"
    )

    def columns(self, part: Part) -> tuple[str, ...]:
        """Targets, own past items, and how active the users and how popular the items were."""
        return ("target", "own", "activity", "popularity")

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
            name=context.name,
        )
