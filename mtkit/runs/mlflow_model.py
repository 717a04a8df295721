"""An export as a model of MLflow: what its loader asks for, and the signature that it is described by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.errors import RunError, nearest

#: The signature that is answered where nobody says which.
_FIRST = "recommend"


class Served:
    """A SavedModel that answers by one of its signatures.

    Args:
        export: its directory.
        signature: the name.
    """

    def __init__(self, export: str, signature: str) -> None:
        self._loaded = tf.saved_model.load(export)  # what its functions need lives as long as it does
        self._function = self._loaded.signatures[signature]

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The outputs by name.

        Args:
            model_input: inputs of the signature by name: arrays, or a data frame with a column for each.
            params: has no use here; MLflow hands it on.
        """
        del params
        specs = self._function.structured_input_signature[1]
        given = {name: tf.constant(np.asarray(model_input[name]), spec.dtype) for name, spec in specs.items()}
        return {name: value.numpy() for name, value in self._function(**given).items()}


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> Served:
    """What `mlflow.pyfunc.load_model` calls."""
    return Served(path, str((model_config or {}).get("signature", _FIRST)))


def signature_of(export: Path, name: str | None) -> tuple[str, Any] | None:
    """The signature that a model answers, and how MLflow describes it; None where the export is no SavedModel.

    Args:
        export: the directory.
        name: which; None = `recommend`, or the first.

    Raises:
        RunError: there is none of this name.
    """
    if not tf.saved_model.contains_saved_model(str(export)):
        return None
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    functions = tf.saved_model.load(str(export)).signatures
    wanted = name or (_FIRST if _FIRST in functions else min(functions))
    if wanted not in functions:
        raise RunError(f"hook.mlflow.signature: the export has no signature {wanted!r}; {nearest(wanted, functions)}")
    function = functions[wanted]

    def described(specs: Mapping[str, Any]) -> Any:
        return Schema([TensorSpec(_dtype(spec.dtype), _shape(spec.shape), key) for key, spec in sorted(specs.items())])

    inputs = function.structured_input_signature[1]
    return wanted, ModelSignature(described(inputs), described(function.structured_outputs))


def _dtype(dtype: Any) -> np.dtype[Any]:
    return np.dtype(str) if dtype == tf.string else np.dtype(dtype.as_numpy_dtype)


def _shape(shape: Any) -> tuple[int, ...]:
    return tuple(-1 if size is None else size for size in shape.as_list())
