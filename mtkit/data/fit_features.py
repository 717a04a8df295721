"""Preprocessed features: what is learned on training rows, applied to entity tables, context columns and past events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtkit.data.columns import codes, layer_input, plain, raw
from mtkit.data.feature_scopes import scope_of
from mtkit.recipe.registry import Registry
from mtkit.schema import CONTEXT, HISTORY, KNOWN, WEIGHT, Address, Column
from mtkit.spec import FeatureInfo, GroupPreprocessor, Preprocessor, RowStatistics
from mtkit.types import Fold, Part, RowTable

#: Kind of a column -> entry point of the preprocessor that it gets where a recipe names none. Other kinds have none:
#: encoders read them as they are.
DEFAULTS = {"categorical": "vocabulary", "numeric": "standardize", "list": "vocabulary"}

_TEXTS = 1 << 14
"""Texts that are changed at once; what is made of their characters takes memory."""


@dataclass(frozen=True)
class FeatureTables:
    """Preprocessed features by address.

    Attributes:
        infos: address -> how it arrives at encoders.
        states: address -> what was learned, JSON-able.
        values: address -> what its integers from 1 on stand for; None = nothing that has a name.
        layers: address -> the layer that preprocesses raw values, for training and the servable alike.
        groups: address of a feature that is made of several columns -> these.
    """

    infos: Mapping[str, FeatureInfo]
    states: Mapping[Address, Mapping[str, Any]]
    values: Mapping[Address, Sequence[str] | None]
    layers: Mapping[Address, Any]
    groups: Mapping[Address, tuple[Address, ...]] = field(default_factory=dict)

    def of_catalogs(self, fold: Fold) -> dict[Address, np.ndarray]:
        """Address of an entity's column -> it, preprocessed, int32 `[rows]` or `[rows, n]`, or float32 `[rows, width]`."""
        made: dict[str, np.ndarray] = {}
        for address, layer in self.layers.items():
            parts = {part: scope_of(part).of_catalog(fold, part.column) for part in self._parts(address)}
            columns = {part: values for part, values in parts.items() if values is not None}
            if columns:
                made |= columns_of(address, _run(layer, self._joined(address, columns)))
        return {Address(name): column for name, column in made.items()}

    def of_events(self, fold: Fold) -> dict[str, np.ndarray]:
        """Column of past events that encoders read -> it, preprocessed, int32 `[events]` or float32 `[events, width]`."""
        declared, columns = fold.schema.interactions, fold.events.columns
        return {
            address.column: _of_each(layer, columns[address.column], declared[address.column])
            for address, layer in self.layers.items()
            if address.scope == HISTORY
        }

    def apply(self, table: RowTable) -> RowTable:
        """The table with only the columns of its own that encoders read, preprocessed; statistics are dense ones, by address."""
        context: dict[str, np.ndarray] = {}
        for address in (address for address in self.layers if address.scope == CONTEXT):
            parts = self._parts(address)
            columns = {part: table.context[part.column] for part in parts if part.column in table.context}
            if len(columns) == len(parts):
                context |= columns_of(address.column, _run(self.layers[address], self._joined(address, columns)))
        known = {Address.of(KNOWN, name): values for name, values in table.statistics.items()}
        dense: dict[str, np.ndarray] = {
            address: _run(self.layers[address], values) for address, values in known.items()
        }
        return replace(table, context=context, statistics={}, dense={**table.dense, **dense})

    def _parts(self, address: Address) -> tuple[Address, ...]:
        return self.groups.get(address, (address,))

    def _joined(self, address: Address, columns: Mapping[Address, np.ndarray]) -> np.ndarray:
        return together(columns) if address in self.groups else columns[address]


def fit_features(
    addresses: Iterable[str],
    preprocessors: Mapping[str, Preprocessor],
    fold: Fold,
    tables: Mapping[str, Mapping[Part, RowTable]],
    *,
    earlier: Mapping[str, Mapping[str, Any]] | None = None,
    learned: Mapping[str, Mapping[str, Any]] | None = None,
) -> FeatureTables:
    """Learns the preprocessing of every categorical, numeric or list address that an encoder reads.

    Args:
        addresses: what the encoders read.
        preprocessors: the recipe's, by name; a column that none of them names gets its kind's default.
        fold: entity columns are learned on its catalogs, which are as of the cut.
        tables: context columns are learned on the training rows of the first table that has them; columns of past events
            on the events of the fold that the model is trained on.
        earlier: address -> what the run has learned that this one goes on with; it stays, and is extended at most.
        learned: address -> what was learned of the same data before; nothing is learned then.

    Raises:
        DataError: no row table has a column that is read.
    """
    chosen: dict[Address, Preprocessor] = {}
    for name, preprocessor in preprocessors.items():
        chosen |= dict.fromkeys(_made(name, preprocessor), preprocessor)
    declared, defaults = fold.schema.features(), Registry.installed()
    infos: dict[str, FeatureInfo] = {}
    states, values, layers = {}, {}, {}
    for address in dict.fromkeys(map(Address, addresses)):
        column = declared[address]
        if column.kind not in DEFAULTS:
            continue
        spec = chosen.get(address) or defaults.get("preprocessor", defaults.own("preprocessor", DEFAULTS[column.kind]))(
            columns=()
        )
        if learned is not None:
            states[address] = learned[address]
        else:
            states[address] = _learned(spec, (earlier or {}).get(address), _of_training(address, fold, tables))
        infos[address] = spec.info(states[address])
        values[address] = spec.values(states[address])
        layers[address] = spec.build(states[address])
    groups = {address: parts for address, parts in fold.schema.groups.items() if address in layers}
    return FeatureTables(infos, states, values, layers, groups)


def text_layers(preprocessors: Mapping[str, Preprocessor], fold: Fold) -> dict[Address, Any]:
    """Address of a text -> the layer that changes it before encoders read it, from strings to strings; none of most."""
    declared, found = fold.schema.features(), dict[Address, Any]()
    for spec in preprocessors.values():
        for address in () if isinstance(spec, RowStatistics | GroupPreprocessor) else spec.columns:
            if declared[address].kind == "text":
                found[address] = spec.build(spec.fit(_of_training(address, fold, {})))
    return found


def changed_texts(layer: Any, texts: np.ndarray) -> np.ndarray:
    """Texts `[rows]`, each distinct one changed once; None stays None."""
    distinct, place = np.unique(layer_input(texts).astype(str), return_inverse=True)
    parts = (layer(distinct[start : start + _TEXTS]) for start in range(0, len(distinct), _TEXTS))
    made: np.ndarray = np.array([text.decode() for part in parts for text in np.asarray(part)], object)[place]
    made[pc.is_null(pa.array(texts, pa.string())).to_numpy(zero_copy_only=False)] = None
    return made


def _made(name: str, spec: Preprocessor) -> tuple[Address, ...]:
    """The addresses of the features that a preprocessor makes."""
    if isinstance(spec, RowStatistics):
        return (Address.of(KNOWN, name),)
    return (spec.made(name),) if isinstance(spec, GroupPreprocessor) else spec.columns


def _learned(spec: Preprocessor, earlier: Mapping[str, Any] | None, values: np.ndarray) -> Mapping[str, Any]:
    """What a preprocessor learns, from the beginning or beyond what an earlier run has."""
    return spec.fit(values) if earlier is None else spec.extended(earlier, values)


def _of_training(address: Address, fold: Fold, tables: Mapping[str, Mapping[Part, RowTable]]) -> np.ndarray:
    """Raw training values of a column, or of those of a group."""
    parts = {part: scope_of(part).of_training(fold, tables, part.column) for part in fold.schema.parts(address)}
    return together(parts) if address in fold.schema.groups else parts[address]


def together(columns: Mapping[Address, np.ndarray]) -> np.ndarray:
    """Columns `[rows]` as one structured array `[rows]`, with a field for each."""
    joined = np.empty(len(next(iter(columns.values()))), [(str(name), of.dtype) for name, of in columns.items()])
    for name, values in columns.items():
        joined[str(name)] = values
    return joined


def columns_of(name: str, made: Any) -> dict[str, Any]:
    """What a preprocessor's layer made of a column, by name: its values, and their weights if there are any."""
    return {name: made[0], f"{name}{WEIGHT}": made[1]} if isinstance(made, tuple) else {name: made}


def _of_each(layer: Any, column: pa.ChunkedArray, declared: Column) -> np.ndarray:
    """What a layer makes of a column; of strings, of each distinct one once."""
    if declared.kind != "categorical" and not declared.classes:
        return np.asarray(_run(layer, raw(column, declared)))
    values = pc.unique(plain(column)).drop_null()
    distinct = pa.chunked_array([values, pa.nulls(1, values.type)])
    return np.asarray(_run(layer, raw(distinct, declared))[codes(column)])


def _run(layer: Any, values: np.ndarray) -> Any:
    made = layer(layer_input(values))
    return tuple(map(np.asarray, made)) if isinstance(made, tuple) else np.asarray(made)
