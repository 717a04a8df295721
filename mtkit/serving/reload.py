"""Whether an export answers where it is served: it is loaded and asked in a process that has TensorFlow alone.

What Python does within a graph (`tf.py_function`) works in the process that saved it, and nowhere else; so an export counts as
done when another process has given the same answers. That process takes some seconds to import TensorFlow, for which it is
started while the model is evaluated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mtkit.backend import tf
from mtkit.errors import RunError
from mtkit.serving.servable import Servable
from mtkit.serving.signature import Signature

_SECONDS = 600
_ROWS = 2
#: GPUs, and what is not theirs, add up in another order.
_TOLERANCE = 1e-2

# The process that was started ahead, if one was.
_waiting: list[subprocess.Popen[str]] = []


def begin() -> None:
    """Starts the process, which then waits; does nothing where one waits already."""
    if not _waiting:
        _waiting.append(_started())


def _started() -> subprocess.Popen[str]:
    # A GPU is this process's, and nothing else would fit on it.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    script = Path(__file__).with_name("ask_alone.py")
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def check_saved(version: Path) -> None:
    """Asks a SavedModel of any form with zeros and empty texts, here and in a process with TensorFlow alone.

    Raises:
        RunError: it does not answer there, or otherwise.
    """
    loaded = tf.saved_model.load(str(version))
    inputs, expected = dict[str, np.ndarray](), dict[str, np.ndarray]()
    for name, function in loaded.signatures.items():
        specs = function.structured_input_signature[1]
        request = {
            key: np.zeros([n or _ROWS for n in spec.shape], spec.dtype.as_numpy_dtype) for key, spec in specs.items()
        }
        request = {key: values.astype("S") if values.dtype == object else values for key, values in request.items()}
        try:
            answer = function(**{key: tf.constant(values) for key, values in request.items()})
        except tf.errors.InvalidArgumentError:
            continue  # it refuses such a request
        inputs |= {f"{name}/{key}": values for key, values in request.items()}
        expected |= {f"{name}/{key}": values.numpy() for key, values in answer.items()}
    _compare(version, inputs, expected)


def check_alone(servable: Servable, signatures: Mapping[str, Signature], version: Path) -> None:
    """Asks an export that is not yet in its place, and compares its answers with those of this process.

    Args:
        servable: what was saved.
        signatures: its signatures.
        version: where it is.

    Raises:
        RunError: it does not answer, or otherwise.
    """
    _compare(version, *_asked(servable, signatures))


def _compare(version: Path, inputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """Refuses a version whose answers in another process are not those that are expected."""
    with tempfile.TemporaryDirectory() as directory:
        found, problems = _answers(Path(directory), version, inputs)
    for name, problem in problems.items():
        hint = ""
        if "pyfunc" in problem.lower():
            hint = "; tf.py_function and tf.numpy_function run Python, which nobody who serves has: use operations of TensorFlow"
        raise RunError(
            f"nothing is exported, for a process with TensorFlow alone gets no answer of signature {name!r}: "
            f"{' '.join(problem.split())[:400]}{hint}"
        )
    for key, values in expected.items():
        if key not in found or not _alike(values, found[key]):
            name, _, output = key.partition("/")
            raise RunError(
                f"nothing is exported, for output {output!r} of signature {name!r} is another one in a process with TensorFlow "
                "alone than in this one; look for state that is no variable, and for numbers that are drawn"
            )


def _asked(
    servable: Servable, signatures: Mapping[str, Signature]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Requests, and what this process answers: `SIGNATURE/NAME` -> array."""
    inputs: dict[str, np.ndarray] = {}
    outputs: dict[str, np.ndarray] = {}
    for name, signature in signatures.items():
        request = {key: _sample(servable, signature, key) for key in signature.inputs}
        try:
            answer = signature.function(*map(tf.constant, request.values()))
        except tf.errors.InvalidArgumentError:
            continue  # it asks for more of a request than could be made up
        inputs |= {f"{name}/{key}": values for key, values in request.items()}
        outputs |= {f"{name}/{key}": values.numpy() for key, values in answer.items()}
    return inputs, outputs


def _sample(servable: Servable, signature: Signature, name: str) -> np.ndarray:
    """An input that is made up: ids of the data, small numbers, empty texts."""
    given = signature.inputs[name]
    rows = () if name in signature.scalars else (1 if name in signature.for_all else _ROWS,)
    shape = (*rows, *(n or _ROWS for n in given.shape))
    if given.dtype != "string":
        return np.full(shape, 1, tf.as_dtype(given.dtype).as_numpy_dtype)
    scope = name.removesuffix("_ids").removesuffix("_id").removeprefix("history_")
    known: np.ndarray = np.array([""])
    if scope in servable.lookups and name not in signature.for_all:
        known = servable.pipeline.fold.catalog(scope).ids[1:]
    return np.char.encode(np.resize(known.astype(str), shape), "utf-8")


def _answers(
    directory: Path, version: Path, inputs: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What the other process answers, and which signatures it gets no answer of."""
    process = _waiting.pop() if _waiting else _started()
    paths = {"inputs": directory / "inputs.npz", "outputs": directory / "outputs.npz"}
    np.savez(paths["inputs"], **inputs)  # type: ignore[arg-type]
    line = json.dumps({"version": str(version.absolute()), **{name: str(path) for name, path in paths.items()}})
    try:
        said, _ = process.communicate(line + "\n", timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise RunError(
            f"nothing is exported, for a process with TensorFlow alone took more than {_SECONDS} s"
        ) from None
    except BaseException:
        process.kill()
        raise
    if process.returncode or not said:
        raise RunError(
            f"nothing is exported, for a process that loads it with TensorFlow alone ended with code {process.returncode}; "
            "set export.verify = false if there is no memory for two"
        )
    with np.load(paths["outputs"], allow_pickle=False) as file:
        return {key: file[key] for key in file.files}, json.loads(said)


def _alike(expected: np.ndarray, found: np.ndarray) -> bool:
    if expected.shape != found.shape:
        return False
    if expected.dtype == object:  # names of what is best, which rounding decides where two are equally good
        return True
    given, other = expected.astype(np.float64), found.astype(np.float64)
    finite = np.abs(given[np.isfinite(given)])
    allowed = _TOLERANCE * (finite.max() if finite.size else 0)
    same_kind = (np.isfinite(given) == np.isfinite(other)).all()
    both = np.isfinite(given) & np.isfinite(other)
    return bool(same_kind and (np.abs(given[both] - other[both]) <= allowed).all())
