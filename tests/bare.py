"""Asks an export in a process that has TensorFlow and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SCRIPT = """
import json, sys
import tensorflow as tf

signatures = tf.saved_model.load(sys.argv[1]).signatures
answers, ops = {}, set()
for name, inputs in json.loads(sys.argv[2]).items():
    specs = signatures[name].structured_input_signature[1]
    given = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
    answers[name] = {key: value.numpy().astype(str).tolist() for key, value in signatures[name](**given).items()}
for signature in signatures.values():
    graph = signature.graph.as_graph_def()
    functions = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    ops |= {node.op for node in nodes} - functions
foreign = [name for name in sys.modules if name.split(".")[0].startswith(("mtkit", "tf_keras", "tensorflow_"))]
print(json.dumps({"answers": answers, "foreign": foreign, "ops": sorted(ops), "core": sorted(dir(tf.raw_ops))}))
"""


def ask_bare(version: Path, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Signature -> inputs, asked of a version directory.

    Returns:
        `answers`: signature -> output -> values as strings; `foreign`: imported modules of mtkit, Keras and plugins;
        `ops`: operations in the graph; `core`: those that TensorFlow has.
    """
    environment = {key: value for key, value in os.environ.items() if key not in {"TF_USE_LEGACY_KERAS", "PYTHONPATH"}}
    command = [sys.executable, "-c", _SCRIPT, str(version), json.dumps(questions)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=version.parent)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
