"""mtkit: a multi-task recommender toolkit for TensorFlow and Keras, assembled from plugins.

`mtkit.build` makes the model of a recipe for use in Keras code, `mtkit.compose` makes a recipe of specs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtkit.composition import compose as compose
    from mtkit.keras_api import build as build

__version__ = "0.1.0"

#: Imported when they are asked for: `import mtkit` stays light.
_LAZY = {"build": "mtkit.keras_api", "compose": "mtkit.composition"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
