"""What specs of all kinds share: their types, their base, and what they are told when built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np

    from mtkit.spec.parts import Encoder

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Address = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[A-Za-z0-9_]+$")]
#: What items are compared by.
ItemsBy = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+)?$",
        description="a categorical column, a label of classes or a text of the items (`item.category`), or the name of an "
        "encoder that derives vectors of them (`text`)",
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


class Spec(BaseModel):
    """A component as declared. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str]
    #: Whether a part of a model trains the same on several replicas as on one. Recipes with a part that does not are
    #: refused where there are several.
    replicable: ClassVar[bool] = True


@dataclass(frozen=True)
class FeatureInfo:
    """How an address arrives at an encoder.

    Attributes:
        size: for integer features, the number of values (0 = unknown or missing); 0 for float features.
        width: for float features, the length of the last axis; 0 for integer features.
    """

    size: int = 0
    width: int = 0


@dataclass(frozen=True)
class BuildContext:
    """What a component may know when it is built.

    Attributes:
        name: the component's name in the recipe.
        tasks: names of all tasks, in recipe order.
        features: address -> how it arrives; holds derived columns too.
        sizes: entity -> number of rows of its table, the unknown included.
        classes: prediction task -> number of classes, 2 for binary labels.
        candidates: retrieval task -> number of rows of the table that it ranks, the unknown included.
        cache_dir: where results that depend on content alone may be kept between runs.
        column: `(entity, column)` -> raw values of the entity table, `[rows]` (row 0 is None); `id` for the ids.
        encoders: the encoders of the recipe by name, for heads that train one.
        counters: numbers that end in `metrics.json` under `timing` (`texts_encoded`).
    """

    name: str
    tasks: tuple[str, ...]
    features: Mapping[str, FeatureInfo]
    sizes: Mapping[str, int]
    classes: Mapping[str, int]
    candidates: Mapping[str, int]
    cache_dir: Path
    column: Callable[[str, str], np.ndarray]
    encoders: Mapping[str, Encoder] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
