"""What a request is told of the past by its keys: statistics of every value as of the cut, looked up in the graph."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mtkit.backend import tf
from mtkit.feed.batch import Batch
from mtkit.layers.preprocessing import Vocabulary
from mtkit.schema import KNOWN, Address
from mtkit.serving.request_features import Given
from mtkit.spec import KeyColumn, KeyNumbers, ServingInput, Trained


class ColumnNumbers(tf.Module):
    """The values of a key's address in a request, as numbers; 0 = missing, or not known.

    Args:
        column: the values.
    """

    def __init__(self, column: KeyColumn) -> None:
        super().__init__(name=column.address.replace(".", "_"))
        self.address, self.size = column.address, column.size
        catalog = column.rows is not None and column.values is not None
        self.rows = tf.Variable(column.rows, trainable=False, name=f"key.{column.address}") if catalog else None
        self.lookup = None if column.values is None else Vocabulary(column.values).table

    @property
    def given_as(self) -> Address:
        """Where a batch has the numbers of values that come with the request."""
        return Address(f"{self.address}/key")

    def of_request(self) -> Given:
        """The raw values that come with a request; of ids, none but those that it has."""
        if (lookup := self.lookup) is None:
            return Given()
        name = f"{self.address.scope}_{self.address.column}"
        inputs = {name: ServingInput("string", (), f"`{self.address}` as in the data; empty if missing")}
        return Given(inputs, lambda given: Batch({}, given={self.given_as: lookup.lookup(given[name])}))

    def is_in(self, batch: Batch) -> bool:
        """Whether a batch has the values, or what they are of."""
        return self.given_as in batch.given or self.address.scope in batch.ids

    def of_batch(self, batch: Batch) -> tf.Tensor:
        """The numbers int64 `[rows]` of a batch."""
        if self.given_as in batch.given:
            return batch.given[self.given_as]
        ids = batch.ids[self.address.scope]
        return tf.cast(ids, tf.int64) if self.rows is None else tf.gather(self.rows, ids)


class NumbersByKey(tf.Module):
    """The numbers of each value of a key.

    Args:
        name: of its variables.
        known: the numbers.
        columns: address -> its values.
    """

    def __init__(self, name: str, known: KeyNumbers, columns: Mapping[Address, ColumnNumbers]) -> None:
        super().__init__(name=name)
        self.columns = [columns[column.address] for column in known.columns]
        # The last entry is of all that is not there.
        codes = np.append(known.codes, np.iinfo(np.int64).max)
        self.codes = tf.Variable(codes, trainable=False, name=f"{name}.codes")
        numbers = np.concatenate([known.numbers, known.unknown[None]])
        self.numbers = tf.Variable(numbers, trainable=False, name=f"{name}.numbers")

    def of_batch(self, batch: Batch) -> tf.Tensor:
        """The numbers float32 `[rows, width]` of a batch."""
        code = known = None
        for column in self.columns:
            number = column.of_batch(batch)
            code = number if code is None else code * column.size + number
            known = number > 0 if known is None else known & (number > 0)
        codes = tf.convert_to_tensor(self.codes)
        place = tf.searchsorted(codes, code)
        there = known & (tf.gather(codes, place) == code)
        return tf.gather(self.numbers, tf.where(there, place, self.codes.shape[0] - 1))


class RequestStatistics:
    """The statistics that a trained pipeline's encoders read.

    Args:
        pipeline: the trained pipeline.
    """

    def __init__(self, pipeline: Trained) -> None:
        reads = {name: [Address(address) for address in spec.reads] for name, spec in pipeline.plan.encoders.items()}
        self._read = {name: {a.column for a in of if a.scope == KNOWN} for name, of in reads.items()}
        self._layers, statistics = pipeline.features.layers, pipeline.recipe.statistics
        known: dict[str, Sequence[KeyNumbers]] = {
            name: statistics[name].by_key(pipeline.fold) for name in sorted(set().union(*self._read.values()))
        }
        columns = {column.address: column for keys in known.values() for key in keys for column in key.columns}
        self._columns = {address: ColumnNumbers(column) for address, column in columns.items()}
        self._keys = {
            name: [NumbersByKey(f"{name}_{place}", key, self._columns) for place, key in enumerate(keys)]
            for name, keys in known.items()
        }

    def state(self) -> list[tf.Module]:
        """The tables."""
        return [*self._columns.values(), *(key for keys in self._keys.values() for key in keys)]

    def of_request(self, scope: str, encoders: Iterable[str]) -> Given:
        """Raw values of a scope by which what some encoders read is looked up."""
        keys = [key for name in encoders for known in sorted(self._read[name]) for key in self._keys[known]]
        columns = dict.fromkeys(column for key in keys for column in key.columns if column.address.scope == scope)
        return functools.reduce(operator.or_, (column.of_request() for column in columns), Given())

    def added(self, batch: Batch) -> Batch:
        """The batch with all statistics whose keys it has."""
        found: dict[str, tf.Tensor] = {}
        for name, keys in self._keys.items():
            if all(column.is_in(batch) for key in keys for column in key.columns):
                address = Address.of(KNOWN, name)
                found[address] = self._layers[address](tf.concat([key.of_batch(batch) for key in keys], 1))
        return replace(batch, given={**batch.given, **found})
