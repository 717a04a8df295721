"""Features that come with a request: context, and columns of users and items that are not in the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from mtkit.backend import tf
from mtkit.model.assembly import Pipeline
from mtkit.recipe.model_graph import PREDICTION, Plan
from mtkit.serving.signatures import Tensors
from mtkit.spec import PredictionTask, RetrievalTask, ServingInput

CONTEXT = "context"


class Form(Enum):
    """How texts come with a request; the value ends the names of signatures."""

    IDS = ""
    STRINGS = "_text"


@dataclass(frozen=True)
class Given:
    """A part of a request.

    Attributes:
        inputs: name -> input.
        batch: from inputs to the columns of a batch.
    """

    inputs: Mapping[str, ServingInput] = field(default_factory=dict)
    batch: Callable[[Tensors], dict[str, tf.Tensor]] = lambda _: {}

    def __or__(self, other: Given) -> Given:
        """Both parts; where they have the same columns, those of `other`."""
        return Given({**self.inputs, **other.inputs}, lambda given: self.batch(given) | other.batch(given))


class GivenFeatures:
    """Turns raw values of a request into the features that encoders read, by the layers that made them in training.

    Args:
        pipeline: the trained pipeline.
        derive: whether columns that encoders derive can be derived from a request, which takes their networks along.
        strings: whether texts can come as strings, too.
    """

    def __init__(self, pipeline: Pipeline, derive: bool, strings: bool = False) -> None:
        self._plan, self._addresses = pipeline.plan, pipeline.model.inputs_of
        self._declared, self._layers = pipeline.fold.schema.features(), pipeline.features.layers
        forms = [Form.IDS] * derive + [Form.STRINGS] * strings
        self._derivations = {form: dict(_derivations(pipeline, form)) for form in forms}

    def state(self) -> list[Any]:
        """Variables and tables that the layers use; layers themselves would be saved as Keras objects."""
        kinds = (tf.Variable, tf.saved_model.experimental.TrackableResource)
        derivations = (layer for layers in self._derivations.values() for layer in layers.values())
        layers = (*self._layers.values(), *derivations)
        parts = (part for layer in layers for part in tf.train.TrackableView(layer).descendants())
        return list({id(part): part for part in parts if isinstance(part, kinds)}.values())

    def of(self, scope: str, tasks: Iterable[str], form: Form = Form.IDS) -> Given | None:
        """The features of an entity, or of the context, that some tasks read, without ids.

        Returns:
            What is to be given; None if a column is derived by an encoder that cannot do it for a request in this form,
            or if no text is among it that could come as a string.
        """
        given, derivations = Given(), self._derivations.get(form, {})
        for encoder in dict.fromkeys(name for task in tasks for name in encoders_of(self._plan, task)):
            addresses = [a for a in self._addresses[encoder] if a.startswith(f"{scope}.") and a != f"{scope}.id"]
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

    def _raw(self, address: str) -> Given:
        name, layer = address.replace(".", "_"), self._layers[address]
        numeric = self._declared[address].kind == "numeric"
        about = f"`{address}` as in the data; " + ("nan if missing" if numeric else "empty if missing")
        inputs = {name: ServingInput("float32" if numeric else "string", (), about)}
        return Given(inputs, lambda given: {address: layer(given[name])})

    def _derived(self, layer: Any, encoder: str, addresses: list[str], before: Given) -> Given:
        names = {own: self._name(own, known, encoder, before) for own, known in layer.inputs.items()}

        def batch(given: Tensors) -> dict[str, tf.Tensor]:
            columns = layer({own: given[name] for own, name in names.items()})
            return {address: columns[address] for address in addresses}

        return Given({names[own]: known for own, known in layer.inputs.items()}, batch)

    def _name(self, own: str, known: ServingInput, encoder: str, before: Given) -> str:
        """Encoders share an input that means the same, and else carry their name."""
        return own if before.inputs.get(own, known) == known else f"{own}_{encoder}"


def _derivations(pipeline: Pipeline, form: Form) -> Iterator[tuple[str, Any]]:
    for name, spec in pipeline.plan.encoders.items():
        derivation = spec.derivation if form is Form.IDS else spec.string_derivation
        layer = derivation(replace(pipeline.context, name=name))
        if layer is not None:
            yield name, layer


def encoders_of(plan: Plan, task: str) -> Iterator[str]:
    """The encoders that a task reads, itself or through the predictions of other tasks."""
    spec = plan.tasks[task]
    if isinstance(spec, RetrievalTask):
        names = (*spec.query, *spec.candidate)
    else:
        assert isinstance(spec, PredictionTask)
        names = spec.inputs
    for name in names:
        if name.startswith(PREDICTION):
            yield from encoders_of(plan, name.removeprefix(PREDICTION))
        else:
            yield from _encoders(plan, name)


def _encoders(plan: Plan, embedding: str) -> Iterator[str]:
    if embedding in plan.encoders:
        yield embedding
    else:
        for member in plan.on(embedding):
            yield from _encoders(plan, member)
