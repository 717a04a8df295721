"""Asks a SavedModel in a process of its own, as whoever serves it does: with TensorFlow alone. A script; it imports no mtkit.

It imports TensorFlow, waits for a line of JSON on its standard input, `{"version", "inputs", "outputs"}`, answers the requests
in the file of inputs into the file of outputs (NumPy's, without pickle: `SIGNATURE/NAME`), and prints a line of JSON:
signature -> why it does not answer.
"""

import importlib
import json
import os
import sys
from typing import Any


class _Refusing:
    """Nothing of these packages is there where a model is served."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in ("mtkit", "tf_keras"):
            raise ImportError(f"{name} is not there where a model is served")


def answer(tf: Any, numpy: Any, asked: dict[str, str]) -> dict[str, str]:
    """Signature -> why it does not answer."""
    loaded = tf.saved_model.load(asked["version"])
    with numpy.load(asked["inputs"], allow_pickle=False) as file:
        inputs = {key: file[key] for key in file.files}
    problems, outputs = {}, {}
    for name in dict.fromkeys(key.partition("/")[0] for key in inputs):
        given = {
            key.partition("/")[2]: tf.constant(values) for key, values in inputs.items() if key.startswith(f"{name}/")
        }
        try:
            found = loaded.signatures[name](**given)
        except Exception as error:  # noqa: BLE001 - whatever the model does
            problems[name] = f"{type(error).__name__}: {error}"
            continue
        for key, values in found.items():
            array = values.numpy()
            outputs[f"{name}/{key}"] = array.astype("S") if array.dtype == object else array
    numpy.savez(asked["outputs"], **outputs)
    return problems


def main() -> None:
    """Waits for one question, and answers it."""
    sys.meta_path.insert(0, _Refusing())
    # What libraries print is no answer.
    said = os.dup(1)
    os.dup2(2, 1)
    tf, numpy = importlib.import_module("tensorflow"), importlib.import_module("numpy")
    if line := sys.stdin.readline():
        os.write(said, (json.dumps(answer(tf, numpy, json.loads(line))) + "\n").encode())


if __name__ == "__main__":
    main()
