"""The weights of a model by name, and what the positions along their axes stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import mtkit
from mtkit.backend import tf
from mtkit.data.kept_weights import KeptWeights, Labels, Part
from mtkit.layers.axes import Axis
from mtkit.model.assembly import Pipeline
from mtkit.model.multi_task import MultiTaskModel
from mtkit.schema import Address
from mtkit.spec import Cut, prediction_of

#: Attribute of the model -> section of the recipe.
_SECTIONS = {"encoders": "encoder", "correlations": "correlation", "heads": "task", "balancer": "balance"}


def named_weights(model: MultiTaskModel) -> dict[str, Any]:
    """Name -> float variable of every component.

    Names are ways along attributes, `encoders/user/_tables/user..id/embeddings`: those that checkpoints call them by.
    """
    view, seen = tf.train.TrackableView(model), {id(model)}
    level: list[tuple[str, Any]] = [("", model)]
    found: dict[str, Any] = {}
    while level:  # the nearest way comes first, as in checkpoints
        below = [(f"{way}/{_escaped(name)}", part) for way, at in level for name, part in view.children(at).items()]
        level = []
        for way, part in below:
            if id(part) not in seen and way.split("/")[1] in _SECTIONS:
                seen.add(id(part))
                level.append((way, part))
                if isinstance(part, tf.Variable) and part.dtype.is_floating:
                    found[way[1:]] = part
    return found


def _escaped(name: str) -> str:
    return name.replace(".", "..").replace("/", ".S")


def checkpoint_key(name: str) -> str:
    """What a weight is called in the checkpoint of a `mtkit.training.fit.Training`."""
    return f"model/{name}/.ATTRIBUTES/VARIABLE_VALUE"


def part_of(name: str) -> str:
    """Place in the recipe of the component that a weight belongs to."""
    attribute, part, *_ = name.split("/")
    section = _SECTIONS[attribute]
    return section if section == "balance" else f"{section}.{part}"


def parts_of(pipeline: Pipeline) -> dict[str, Part]:
    """Place in the recipe -> component, of those that have weights."""
    layers = list(_layers(pipeline.model))
    told = {part_of(f"{way}/") for way, layer in layers if hasattr(layer, "axes")}
    places = dict.fromkeys(map(part_of, named_weights(pipeline.model)))
    return {place: Part(_reads(pipeline, *place.split(".")), place in told) for place in places}


def _reads(pipeline: Pipeline, section: str, name: str = "") -> list[list[str]]:
    """What a component reads, in order; each with what positions in it stand for, where that differs between runs."""
    plan, classes = pipeline.plan, pipeline.classes
    if section == "encoder":
        return [[address] for address in pipeline.recipe.encoder[name].reads]
    if section == "correlation":
        read = [[embedding, *plan.tasks_of(name, embedding)] for embedding in plan.on(name)]
        return read + [[address] for address in plan.correlations[name].features]
    if section == "task":
        names = [read.name for read in plan.tasks[name].reads()]
        return [[read, *classes.get(prediction_of(read), ())] for read in names] + [list(classes.get(name, ()))]
    return [[task] for task in pipeline.recipe.task]


def _layers(model: MultiTaskModel) -> Iterator[tuple[str, Any]]:
    """Beginning of the names of its weights -> layer of a component."""
    yield from ((f"encoders/{name}", layer) for name, layer in model.encoders.items())
    for name, layers in model.correlations.items():
        yield from ((f"correlations/{name}/{embedding}", layer) for embedding, layer in layers.items())
    yield from ((f"heads/{name}", layer) for name, layer in model.heads.items())
    yield "balancer", model.balancer


def weight_axes(pipeline: Pipeline) -> tuple[dict[str, dict[str, str | list[str]]], dict[str, Labels]]:
    """Weight -> axis -> name of its labels, or what has to be the same; and the labels by name, those of ids too."""
    labels = dict(_known_labels(pipeline))
    places = {id(variable): name for name, variable in named_weights(pipeline.model).items()}
    weights: dict[str, dict[str, str | list[str]]] = {name: {} for name in places.values()}
    for way, layer in _layers(pipeline.model):
        # An encoder that nothing reads has no weights.
        for axis in layer.axes() if hasattr(layer, "axes") and layer.weights else ():
            of = _resolved(pipeline, way, axis)
            if isinstance(of, list) or of in labels:
                weights[places[id(axis.variable)]][str(axis.axis)] = of
    return weights, labels


def _known_labels(pipeline: Pipeline) -> Iterator[tuple[str, Labels]]:
    for entity in pipeline.fold.entities.values():
        yield f"{entity.name}.id", [None, *entity.ids[1:].tolist()]
    for address, values in pipeline.features.values.items():
        if values is not None:
            yield str(address), [None, *values]
    for task, names in pipeline.classes.items():
        if names:
            yield f"classes of {task}", names
    for name in pipeline.recipe.correlation:
        for embedding in pipeline.plan.targets(name):
            yield f"tasks of {name}/{embedding}", pipeline.plan.tasks_of(name, embedding)
    yield "tasks", list(pipeline.recipe.task)


def _resolved(pipeline: Pipeline, way: str, axis: Axis) -> str | list[str]:
    """What lies along an axis, by the name of its labels."""
    if not isinstance(axis.of, str):
        return list(axis.of)
    _, _, name = way.partition("/")
    if axis.of in ("class", "task"):
        of = {"class": f"classes of {name}", "task": f"tasks of {name}" if name else "tasks"}
        return of[axis.of]
    scope, column = Address(axis.of).scope, Address(axis.of).column
    if column != "id":
        return axis.of
    scope = pipeline.plan.candidate_entity(name) if scope == "candidate" else scope
    return f"{pipeline.fold.schema.scopes[scope]}.id"


def kept_weights(
    pipeline: Pipeline, step: int, cut: Cut, tables: Mapping[str, Any], before: Sequence[Mapping[str, Any]] = ()
) -> KeptWeights:
    """What a run notes of the weights of a model that is trained.

    Args:
        pipeline: of the model.
        step: of its checkpoint.
        cut: on which it was trained.
        tables: of the recipe, as of `mtkit.recipe.lock.model_tables`.
        before: rows without times that trained the model that it began with.
    """
    weights, labels = weight_axes(pipeline)
    entities = list(pipeline.fold.entities)
    own = timeless(pipeline, tables)
    return KeptWeights(
        mtkit=mtkit.__version__,
        fold=cut.name,
        step=step,
        fit=cut.cut,
        clocked=cut.clock is not None,
        timeless=[*own, *(table for table in before if table not in own)],
        parts=parts_of(pipeline),
        weights=weights,
        labels={name: names for name, names in labels.items() if name not in {f"{entity}.id" for entity in entities}},
        entities=entities,
    )


def timeless(pipeline: Pipeline, tables: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tables of a lock for rows without times on which tasks train; their options say which rows are held out."""
    return [
        {key: value for key, value in tables["rows"][name].items() if key != "batch_size"}
        for name in pipeline.rates()
        if not len(pipeline.tables[name]["train"].time)
    ]
