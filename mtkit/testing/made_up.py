"""Components of any kind, and what their layers are called with, made of what a small shop would have."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from mtkit.errors import MtkitError
from mtkit.schema import Address
from mtkit.spec import BuildContext, Encoder, FeatureInfo, GroupPreprocessor, Spec, prediction_of

TASKS = ("liked", "bought")
ROWS, LENGTH, SIZE = 6, 5, 9

#: What components of a kind are made with where they ask for it, one after another, until they can be made.
_GIVEN: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "encoder": [
        {"reads": reads, "dim": 4}
        for reads in (
            ["history.item"],
            ["user.id", "user.age", "user.tags"],
            ["item.id"],
            ["history.item", "item.id"],
            ["item.text"],
        )
    ],
    "correlation": [
        {"order": ["liked", "bought"], "on": ["who", "what"], "scenario": "context.channel", "domain": ["context.channel"]}
    ],
    "task_head": [
        {"rows": "lines", "label": "liked", "query": ["who"], "candidate": ["what"], "given": "bought", "inputs": inputs}
        for inputs in (["who", "what"], ["who", "task.bought"])
    ] + [{"rows": "lines", "query": ["who"], "candidate": ["what"]}],
    "preprocessor": [
        {"columns": columns, "size": 16, "labels": ["liked"]} for columns in (["context.hour"], ["user.age", "user.weight"])
    ],
    "rows": [{"batch_size": 32, "entity": "item", "holdout_by": "category"}],
    "split": [
        {"column": "part", "valid": "valid", "length": "15d"},
        {"valid": "1970-03-01", "test": "1970-03-21"},
        {"length": "15d"},
    ],
    "cleaner": [
        {"columns": ["hour"], "values": [3], "gap": "1d", "entity": "item", "label": "again", "within": "7d"},
    ],
}  # fmt: skip
#: Options that have a default, and need another value here: small, or fitting the data that are made up.
_INSTEAD = {"dim", "batch_size", "inputs", "label", "rows", "columns", "length", "valid"}
#: Options of which a component needs one, though each has a default.
_ONE_OF: Mapping[str, Mapping[str, Any]] = {
    "cleaner": {"where": {"channel": "web"}, "at_least": 3},
    "task_head": {"field": 4},
}


def made(kind: str, cls: type[Spec]) -> tuple[Any, str]:
    """A component with its defaults, and with what those of its kind ask for; None, and why it cannot be made."""
    why = ""
    for given in _GIVEN.get(kind, [{}]):
        needed = {name for name, field in cls.model_fields.items() if field.is_required()} | _INSTEAD
        needed &= cls.model_fields.keys()
        one_of = {key: value for key, value in _ONE_OF.get(kind, {}).items() if key in cls.model_fields}
        try:
            return cls.model_validate_json(_json({k: v for k, v in given.items() if k in needed} | one_of)), ""
        except (ValueError, MtkitError) as error:
            why = _said(error, cls, given)
    return None, why


def _json(values: Mapping[str, Any]) -> str:
    import json

    return json.dumps(values)


def _said(error: Exception, cls: type[BaseModel], given: Mapping[str, Any]) -> str:
    """Which options the kit knows no value for, or what was wrong with those that it gave."""
    unknown = [name for name, field in cls.model_fields.items() if field.is_required() and name not in given]
    if unknown:
        return f"it needs {', '.join(unknown)}"
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
    return " ".join(str(error).split())


def layer_of(spec: Any) -> Any:
    """The layer of a component, with a context in which features are those of the shop."""
    from mtkit.backend import keras

    keras.utils.set_random_seed(0)
    numbers = ("user.age", "user.weight", "context.hour")
    ids = ("user.id", "item.id", "history.item", "user.town", "item.category", "context.channel")
    features: dict[str, FeatureInfo] = {Address(name): FeatureInfo(width=1) for name in numbers}
    features |= {Address(name): FeatureInfo(size=SIZE) for name in ids}
    features[Address("user.tags")] = FeatureInfo(size=SIZE, listed=True)
    context = BuildContext(
        name=TASKS[0] if spec.kind == "task_head" else "part",
        tasks=TASKS,
        features=features,
        sizes={"user": SIZE, "item": SIZE},
        classes=dict.fromkeys(TASKS, classes_of(spec) or 2),
        candidates=dict.fromkeys(TASKS, SIZE),
        cache_dir=Path(tempfile.gettempdir()),
        column=lambda _entity, _name: np.array([None, *(f"thing {n}" for n in range(1, SIZE))], object),
        encoders={name: Encoder(reads=(Address(f"{of}.id"),), dim=4) for name, of in (("who", "user"), ("what", "item"))},
        labels=lambda _task: (np.arange(2 * ROWS) % (classes_of(spec) or ROWS), np.ones(2 * ROWS, np.float32)),
        roles=("user", "item"),
    )  # fmt: skip
    return spec.build(context)


def classes_of(spec: Any) -> int:
    """How many classes the label of a head has: 0 = it is a number, 3 where they have an order, and 2 else."""
    if getattr(spec, "numeric", False):
        return 0
    return 3 if getattr(spec, "form", "") == "ordinal" else 2


def unknown_inputs(spec: Any) -> str:
    """Why an encoder cannot be called with what the shop has; empty if it can."""
    if spec.neighborhood:
        return "it reads neighbors in a graph"
    if type(spec).derive is not Encoder.derive:
        return "it reads what `derive` makes"
    return "it needs encoders of its content" if spec.content else ""


def inputs_of(spec: Any) -> dict[str, Any]:
    """What the layer of an encoder is called with, address -> `[rows, ...]`."""
    inputs: dict[str, Any] = {}
    for address in spec.reads:
        inputs |= column(address, spec.history_length or LENGTH)
    return inputs


def column(address: Address, length: int = LENGTH) -> dict[str, np.ndarray]:
    """A feature as it arrives, with what arrives beside it."""
    rng = np.random.default_rng(sum(map(ord, address)))
    if address.scope == "history":
        ages = np.sort(rng.random((ROWS, length)).astype(np.float32))[:, ::-1]
        return {address: rng.integers(1, SIZE, (ROWS, length), np.int32), "history.age": ages}
    if address in ("user.age", "user.weight", "context.hour"):
        return {address: normal(ROWS, 1)}
    if address == "user.tags":
        return {address: np.array([[n + 1, n + 2, (n + 3) * (n % 2)] for n in range(ROWS)], np.int32)}
    return {address: rng.integers(1, SIZE, ROWS, np.int32)}


def view_of(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Embeddings by name, and of tasks their predictions."""
    return {
        name: np.linspace(0.2, 0.8, ROWS, dtype=np.float32) if prediction_of(name) else normal(ROWS, 4)
        for name in names
    }


def values_of(spec: Any) -> np.ndarray:
    """Raw values of a column that a preprocessor applies to, or of several."""
    numbers = np.array([4.0, -1.0, np.nan, 9.0, 2.5], np.float32)
    if isinstance(spec, GroupPreprocessor):
        names = [str(address) for address in spec.columns]
        table = np.empty(len(numbers), [(name, np.float32) for name in names])
        for shift, name in enumerate(names):
            table[name] = np.roll(numbers, shift)
        return table
    if not spec.column_kinds or "numeric" in spec.column_kinds:
        return numbers
    return np.array(["a", "b", None, "a", "c"], object)


def normal(*shape: int) -> np.ndarray:
    """Normal numbers, always the same."""
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def seen_in(spec: Any) -> Iterator[Any]:
    """What can be seen of an encoder: what its properties say, and what its layer gives, in training too."""
    from mtkit.model.contracts import wake

    layer, inputs = layer_of(spec), inputs_of(spec)
    layer(inputs)
    wake(layer.trainable_variables)  # what begins at 0 would hide what it is multiplied with
    yield [spec.history_length, str(spec.history_where), spec.content, spec.whole_limit, spec.width]
    yield np.asarray(layer(inputs))
    yield np.asarray(layer(inputs, training=True))
    penalties = getattr(layer, "penalties", lambda _: None)(inputs)
    yield [] if penalties is None else np.asarray(penalties)
