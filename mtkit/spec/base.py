"""What specs of all kinds share: their types, and their base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mtkit.allowed import form
from mtkit.declared import Declared

if TYPE_CHECKING:
    import numpy as np

Name = Annotated[str, form(r"^[a-z][a-z0-9_]*$", "a name of lower-case letters, digits and underscores")]
#: What items are compared by.
ItemsBy = Annotated[
    str,
    form(
        r"^[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+)?$",
        "a column such as 'item.category', or the name of an encoder",
        "a categorical column, a list, a label of classes or a text of the items (`item.category`), or the name of "
        "an encoder that derives vectors of them (`text`)",
    ),
]
PositiveInt = Annotated[int, Field(gt=0)]


@dataclass(frozen=True)
class OrDirectory:
    """Marks a string that may be the path of a directory; see `NameOrDirectory`."""


#: A name, or the path of a directory. If there is such a directory, looked for from the recipe's and then from the
#: current one, a spec from a recipe has its absolute path.
NameOrDirectory = Annotated[str, Field(min_length=1), OrDirectory()]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Activation = Literal["relu", "gelu", "swish"]


class Spec(Declared):
    """A component as declared. Frozen; unknown keys are refused."""

    kind: ClassVar[str]
    #: Whether a part of a model trains the same on several replicas as on one. Recipes with a part that does not are
    #: refused where there are several.
    replicable: ClassVar[bool] = True


@dataclass(frozen=True)
class FeatureInfo:
    """How an address arrives at an encoder; of texts that are changed, which arrive in the place of others, nothing is said.

    Attributes:
        size: for integer features, the number of values (0 = unknown or missing); 0 for float features.
        width: for float features, the length of the last axis; 0 for integer features.
        listed: for integer features of which a row has several values: they arrive as `[rows, n]`, ascending and then 0. Where
            these have weights, they arrive beside them, float32 `[rows, n]`, at the address followed by `/weight`.
    """

    size: int = 0
    width: int = 0
    listed: bool = False


Contributions = tuple["np.ndarray", "np.ndarray"]
"""Values and weights of rows, as `PredictionMetric.contributions` gives them."""
