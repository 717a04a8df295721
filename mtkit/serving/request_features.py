"""Features that come with a request: context, and columns of users and items that are not in the data."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any

from mtkit.backend import tf
from mtkit.data.fit_features import columns_of, text_layers
from mtkit.feed.batch import Batch
from mtkit.heads.base import Tensors
from mtkit.schema import CONTEXT, Address
from mtkit.serving.request_checks import same_shape
from mtkit.spec import ServingInput, Trained

#: Features of requests are cut there. What a model was trained on is near 1.
BOUND = 1e12


class Form(Enum):
    """How texts come with a request; the value ends the names of signatures."""

    IDS = ""
    STRINGS = "_text"


@dataclass(frozen=True)
class Given:
    """A part of a request: a `mtkit.heads.base.Question`.

    Attributes:
        inputs: name -> input.
        batch: from inputs to a batch.
    """

    inputs: Mapping[str, ServingInput] = field(default_factory=dict)
    batch: Callable[[Tensors], Batch] = lambda _: Batch({})

    def __or__(self, other: Given) -> Given:
        """Both parts; where they have the same columns, those of `other`."""
        return Given({**self.inputs, **other.inputs}, lambda given: _both(self.batch(given), other.batch(given)))


def _both(one: Batch, other: Batch) -> Batch:
    """Columns of both, those of `other` where both have them."""
    found: dict[str, Any] = {}
    for part in fields(Batch):
        first, second = getattr(one, part.name), getattr(other, part.name)
        if isinstance(first, Mapping):
            found[part.name] = {**first, **second}
        else:
            found[part.name] = first if second is None else second
    return Batch(**found)


class GivenFeatures:
    """Turns raw values of a request into the features that encoders read, by the layers that made them in training.

    Args:
        pipeline: the trained pipeline.
        derive: whether columns that encoders derive can be derived from a request, which takes their networks along.
        strings: whether texts can come as strings, too.
    """

    def __init__(self, pipeline: Trained, derive: bool, strings: bool = False) -> None:
        self._plan, self._addresses = pipeline.plan, pipeline.model.inputs_of
        self._schema, self._layers = pipeline.fold.schema, pipeline.features.layers
        self._declared = self._schema.features()
        self._texts = text_layers(pipeline.recipe.preprocess, pipeline.fold)
        forms = [Form.IDS] * derive + [Form.STRINGS] * strings
        self._derivations = {form: dict(_derivations(pipeline, form)) for form in forms}

    def state(self) -> list[Any]:
        """Variables and tables that the layers use; layers themselves would be saved as Keras objects."""
        kinds = (tf.Variable, tf.saved_model.experimental.TrackableResource)
        derivations = (layer for layers in self._derivations.values() for layer in layers.values())
        layers = (*self._layers.values(), *self._texts.values(), *derivations)
        parts = (part for layer in layers for part in tf.train.TrackableView(layer).descendants())
        return list({id(part): part for part in parts if isinstance(part, kinds)}.values())

    def of(self, scope: str, tasks: Iterable[str], form: Form = Form.IDS) -> Given | None:
        """The features of an entity, or of the context, that some tasks read, without ids.

        Returns:
            None if an encoder cannot derive a column from this input form, or the string form adds nothing.
        """
        given, derivations = self._beside(scope, tasks), self._derivations.get(form, {})
        for encoder in dict.fromkeys(name for task in tasks for name in self._plan.encoders_of(task)):
            addresses = [a for a in self._addresses[encoder] if a.scope == scope and a.column != "id"]
            for address in addresses:
                if address in self._layers:
                    given |= self._raw(address)
            if derived := [address for address in addresses if address not in self._layers]:
                if encoder not in derivations:
                    return None
                given |= self._derived(derivations[encoder], encoder, derived, given)
        if form is Form.IDS:
            return given
        by_ids = self.of(scope, tasks)
        return None if by_ids and by_ids.inputs == given.inputs else given

    def _beside(self, scope: str, tasks: Iterable[str]) -> Given:
        """What correlations read of it, beside embeddings."""
        read = dict.fromkeys(address for task in tasks for address in self._plan.beside(task))
        raw = [self._raw(address) for address in read if address.scope == scope and address.column != "id"]
        return functools.reduce(operator.or_, raw, Given())

    def _raw(self, address: Address) -> Given:
        layer, column = self._layers[address], self._declared[address]
        if column.listed:
            return _listed(address, _named(address), layer, weighted=column.weighted)
        inputs = {_named(part): self._input(part) for part in self._schema.parts(address)}

        def batch(given: Tensors) -> Batch:
            values = tuple(given[name] for name in inputs)
            return _features({address: layer(values if address in self._schema.groups else values[0])})

        return Given(inputs, batch)

    def _input(self, address: Address) -> ServingInput:
        numeric = self._declared[address].kind == "numeric"
        about = f"`{address}` as in the data; " + ("nan if missing" if numeric else "empty if missing")
        return ServingInput("float32" if numeric else "string", (), about)

    def _derived(self, layer: Any, encoder: str, addresses: list[Address], before: Given) -> Given:
        inputs = {own: self._asked(own, known) for own, known in layer.inputs.items()}
        names = {own: self._name(own, known, encoder, before) for own, known in inputs.items()}
        changes = {_named(address): change for address, change in self._texts.items()}

        def batch(given: Tensors) -> Batch:
            asked = {own: given[name] for own, name in names.items()}
            columns = layer({own: changes[own](of) if own in changes else of for own, of in asked.items()})
            return _features({address: columns[address] for address in addresses})

        return Given({names[own]: known for own, known in inputs.items()}, batch)

    def _asked(self, own: str, known: ServingInput) -> ServingInput:
        """An input of an encoder; where it is made of a text that is changed, that is said."""
        for address in self._texts:
            if own != _named(address) and own.startswith(f"{_named(address)}_"):
                return replace(
                    known, about=f"{known.about}; `{address}` is cleaned before, as the recipe's `preprocess` says"
                )
        return known

    def _name(self, own: str, known: ServingInput, encoder: str, before: Given) -> str:
        """Encoders share an input that means the same, and else carry their name."""
        return own if before.inputs.get(own, known) == known else f"{own}_{encoder}"


def _named(address: Address) -> str:
    """The name of the input that has the values of a column."""
    return f"{address.scope}_{address.column}"


def _listed(address: Address, name: str, layer: Any, *, weighted: bool) -> Given:
    """The values of a column of lists, and their weights."""
    about = f"values of `{address}` as in the data, in any order; empty strings say nothing"
    inputs, weight = {name: ServingInput("string", (None,), about)}, f"{name}_weight"
    if weighted:
        inputs[weight] = ServingInput("float32", (None,), "the weight of each; others than above 0 leave it out")

    def batch(given: Tensors) -> Batch:
        values = _one_more(given[name])
        made = layer(
            (values, _one_more(same_shape(given[name], given[weight], (name, weight)))) if weighted else values
        )
        return _features({Address(key): column for key, column in columns_of(address, made).items()})

    return Given(inputs, batch)


def _one_more(lists: tf.Tensor) -> tf.Tensor:
    """Lists `[rows, n]` of any length as such that are not empty."""
    return tf.pad(lists, [[0, 0], [0, 1]])


def _derivations(pipeline: Trained, form: Form) -> Iterator[tuple[str, Any]]:
    for name, spec in pipeline.plan.encoders.items():
        derivation = spec.derivation if form is Form.IDS else spec.string_derivation
        layer = derivation(replace(pipeline.context, name=name))
        if layer is not None:
            yield name, layer


def _features(columns: Mapping[Address, tf.Tensor]) -> Batch:
    """A batch that brings features along, in their own columns where they are the row's."""
    made = {address: bounded(values) for address, values in columns.items()}
    context = {address.column: values for address, values in made.items() if address.scope == CONTEXT}
    return Batch({}, context=context, given={a: values for a, values in made.items() if a.scope != CONTEXT})


def bounded(values: tf.Tensor) -> tf.Tensor:
    """Numbers that layers can multiply and add without an overflow; 0 for what is no number."""
    if not values.dtype.is_floating:
        return values
    return tf.clip_by_value(tf.where(tf.math.is_nan(values), tf.zeros([], values.dtype), values), -BOUND, BOUND)
