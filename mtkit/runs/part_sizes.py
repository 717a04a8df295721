"""How many parameters the parts of a recipe's model have, and what they take in memory."""

from __future__ import annotations

from typing import NamedTuple

from mtkit.data.catalogs import make_cuts
from mtkit.data.columns import load
from mtkit.data.memory import slots
from mtkit.model.assembly import assemble
from mtkit.model.named_weights import named_weights, part_of
from mtkit.recipe.loader import Recipe


class PartSize(NamedTuple):
    """The weights of a part.

    Attributes:
        part: its place in the recipe, `encoder.user`.
        parameters: how many numbers.
        bytes: what they take.
        training: bytes of these, of their gradients, and of what the optimizer keeps beside them.
    """

    part: str
    parameters: int
    bytes: int
    training: int


def part_sizes(recipe: Recipe) -> list[PartSize]:
    """The parts of the model that is trained for validation, in the recipe's order; reads the data.

    Raises:
        MtkitError: the model cannot be built.
    """
    dataset = load(recipe.data.source)
    pipeline = assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[0])
    found: dict[str, list[int]] = {}
    for name, variable in named_weights(pipeline.model).items():
        sizes = found.setdefault(part_of(name), [0, 0])
        sizes[0] += variable.shape.num_elements()
        sizes[1] += variable.shape.num_elements() * variable.dtype.size
    copies = 2 + slots(recipe.train.optimizer)
    return [PartSize(part, number, size, size * copies) for part, (number, size) in found.items()]
