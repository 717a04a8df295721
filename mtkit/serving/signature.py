"""Signatures of a servable: functions with named and documented inputs and outputs, and their descriptions in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf import message_factory

from mtkit.backend import tf
from mtkit.heads.base import Tensors
from mtkit.serving.request_checks import shaped
from mtkit.spec import ServingInput

FORMAT = 1


@dataclass(frozen=True)
class Signature:
    """A function of named tensors.

    Attributes:
        about: what it answers.
        inputs: name -> input; a first axis of rows comes before its shape, unless it is in `scalars`.
        outputs: name -> what it is.
        answer: from inputs to outputs.
        scalars: names of inputs without an axis of rows.
        for_all: names of inputs that may have one row for all.
    """

    about: str
    inputs: Mapping[str, ServingInput]
    outputs: Mapping[str, str]
    answer: Callable[[Tensors], Tensors]
    scalars: frozenset[str] = frozenset()
    for_all: frozenset[str] = frozenset()

    @cached_property
    def function(self) -> Any:
        """The traced function, which asserts what the shapes of its inputs are."""
        specs = self.specs

        def named(*values: tf.Tensor) -> Tensors:
            answer = self.answer(shaped(dict(zip(self.inputs, values, strict=True)), specs, self.for_all))
            assert set(answer) == set(self.outputs)
            return answer

        return tf.function(named, input_signature=list(specs.values()), autograph=False).get_concrete_function()

    @property
    def specs(self) -> dict[str, tf.TensorSpec]:
        """Name -> dtype and shape of an input."""
        shapes = {
            name: given.shape if name in self.scalars else (None, *given.shape) for name, given in self.inputs.items()
        }
        return {name: tf.TensorSpec(shapes[name], given.dtype, name) for name, given in self.inputs.items()}


def describe(signatures: Mapping[str, Signature]) -> str:
    """The signatures as Markdown."""
    lines = ["# Signatures", ""]
    for name, signature in signatures.items():
        lines += [f"## `{name}`", "", signature.about, "", "| | name | dtype | shape | |", "|---|---|---|---|---|"]
        lines += [_row("in", spec, key, signature.inputs[key].about) for key, spec in signature.specs.items()]
        answers = signature.function.structured_outputs
        lines += [_row("out", answers[key], key, about) for key, about in signature.outputs.items()]
        lines.append("")
    return "\n".join(lines)


def _row(direction: str, tensor: Any, name: str, about: str) -> str:
    shape = "" if tensor.shape.rank is None else f"[{', '.join('?' if n is None else str(n) for n in tensor.shape)}]"
    return f"| {direction} | `{name}` | {tensor.dtype.name} | {shape} | {about} |"


def tensor_names(directory: Path) -> str:
    """For callers of the C API: JSON that says which tensors of a saved model are a signature's inputs and outputs."""
    # TensorFlow has this message, but shows it under no public name.
    pool = tf.compat.v1.MetaGraphDef.DESCRIPTOR.file.pool
    saved = message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.SavedModel"))()
    saved.ParseFromString((directory / "saved_model.pb").read_bytes())
    named = {
        name: {"inputs": _infos(definition.inputs), "outputs": _infos(definition.outputs)}
        for name, definition in sorted(saved.meta_graphs[0].signature_def.items())
        if not name.startswith("__")
    }
    return json.dumps({"format": FORMAT, "signatures": named}, indent=2) + "\n"


def _infos(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "tensor": info.name,
            "dtype": tf.as_dtype(info.dtype).name,
            "shape": None if info.tensor_shape.unknown_rank else [d.size for d in info.tensor_shape.dim],
        }
        for name, info in sorted(tensors.items())
    }
