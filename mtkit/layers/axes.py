"""What the positions along an axis of a weight stand for, so that a later run can find them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Axis(NamedTuple):
    """An axis of a weight whose positions stand for something that has a name.

    A layer of a component that has such weights, or whose weights depend on the order of what it reads, lists them in a
    method `axes()`. Other axes of its weights then mean the same wherever they are as long.

    Attributes:
        variable: the weight, `tf.Variable`.
        axis: number of the axis.
        of: what lies along it. `"item.id"` (entity or role): the rows of a catalog; another address (`"user.town"`): the
            integers of its preprocessor; `"candidate.id"`: the catalog that the task ranks; `"class"`: the classes of the
            task's label; `"task"`: the tasks of the correlation, or of the balancer. Each has one position, or as many
            side by side as the others. A tuple of names (the inputs side by side): all has to be the same.
    """

    variable: Any
    axis: int
    of: str | Sequence[str]
