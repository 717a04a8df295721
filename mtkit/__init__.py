"""mtkit: a multi-task recommender toolkit for TensorFlow and Keras, assembled from plugins.

`mtkit.compose` makes a recipe of specs, `mtkit.build` the model of a recipe for use in Keras code; `mtkit.evaluate` measures it,
`mtkit.calibrate` corrects its probabilities. `mtkit.load` asks the exported model of a run, `mtkit.load_run` gives it for
further training.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtkit.model.calibration import calibrate as calibrate
    from mtkit.model.model_evaluation import evaluate as evaluate
    from mtkit.recipe.compose import compose as compose
    from mtkit.runs.keras_api import build as build
    from mtkit.runs.keras_api import load as load
    from mtkit.runs.keras_api import load_run as load_run

__version__ = "0.1.0"

#: Imported when they are asked for: `import mtkit` stays light.
_LAZY = {
    "build": "mtkit.runs.keras_api",
    "calibrate": "mtkit.model.calibration",
    "compose": "mtkit.recipe.compose",
    "evaluate": "mtkit.model.model_evaluation",
    "load": "mtkit.runs.keras_api",
    "load_run": "mtkit.runs.keras_api",
}


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
