"""The one place that imports TensorFlow and Keras, and the check that they fit together and can start.

TFRS and TF-GNN work with Keras 2 only, so mtkit stands on tf_keras. TensorFlow decides which Keras it shows when it is
first imported; a later switch half-works, so that is refused.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from mtkit.errors import KerasVersionError, StrategyError

_ADDRESSES = 5 << 29
"""Bytes of addresses, 2.5 GiB, with fewer of which TensorFlow cannot start its threads; it then aborts the process."""


def _require_addresses() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _ADDRESSES:
        raise StrategyError(
            f"TensorFlow alone takes {_ADDRESSES / 1e9:.1f} GB of addresses, and `ulimit -v` allows {limit / 1e9:.1f} GB; "
            "raise that limit"
        )


def _require_legacy_keras() -> None:
    flag = os.environ.get("TF_USE_LEGACY_KERAS")
    if flag is not None and flag not in ("1", "true", "True"):
        raise KerasVersionError(
            f"mtkit needs Keras 2 (tf_keras), but TF_USE_LEGACY_KERAS={flag!r}; unset it or set it to 1"
        )
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and not getattr(tensorflow, "_tf_uses_legacy_keras", False):
        raise KerasVersionError(
            "tensorflow was imported with Keras 3 before mtkit; import mtkit first, or set TF_USE_LEGACY_KERAS=1 in "
            "the environment, and restart Python"
        )
    os.environ["TF_USE_LEGACY_KERAS"] = "1"


@contextlib.contextmanager
def quiet_native() -> Iterator[None]:
    """Keeps what C++ writes from the terminal meanwhile, unless it fails.

    TensorFlow's start writes messages before any log level holds, on every machine without a GPU.
    """
    with tempfile.TemporaryFile() as messages:
        stderr = os.dup(2)
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except Exception:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Spares the garbage collector, which would look at hundreds of thousands of objects that all stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_require_addresses()
_require_legacy_keras()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with quiet_native(), _without_collection():
    import tensorflow as tf
    import tf_keras as keras

    tf.config.list_physical_devices()
    from tensorflow.python.autograph.core import config as autograph

if tf.keras.layers.Layer is not keras.layers.Layer:
    raise KerasVersionError("tf.keras is not tf_keras although TF_USE_LEGACY_KERAS=1; reinstall tf-keras")

# AutoGraph rewrites the source of what is traced, which takes longer than tracing it. Code of mtkit has no use for that;
# layers of others, called from it, are rewritten as Keras has it.
autograph.CONVERSION_RULES = (autograph.DoNotConvert("mtkit"), *autograph.CONVERSION_RULES)


def read_trace(content: bytes) -> Any:
    """What the profiler of TensorFlow wrote (`*.xplane.pb`), as an `XSpace`."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    return xplane_pb2.XSpace.FromString(content)


__all__ = ["keras", "quiet_native", "read_trace", "tf"]
