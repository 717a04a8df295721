"""A model that begins with the weights of an earlier run: what has a name is found by it, not by its position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtkit.backend import tf
from mtkit.data.alike import Alike, alike_of
from mtkit.data.kept_weights import Beginning, Labels, Origin, Part
from mtkit.errors import RunError
from mtkit.model.assembly import Pipeline
from mtkit.model.named_weights import checkpoint_key, named_weights, part_of, parts_of, timeless, weight_axes
from mtkit.recipe.lock import model_tables
from mtkit.recipe.toml_writer import toml_value
from mtkit.schema import Address
from mtkit.spec import prediction_of
from mtkit.training.checkpoints import CHECKPOINT


def begin_with(pipeline: Pipeline, origin: Origin) -> Beginning:
    """Gives a model the weights of an earlier run, where they fit; the others stay as they are.

    Args:
        pipeline: with a model that is not trained yet.
        origin: the earlier run's.

    Raises:
        RunError: its files are damaged, nothing of it fits, or it has learned from rows that are evaluated here.
    """
    tables = model_tables(pipeline.recipe, origin.directory)
    _refuse_seen(timeless(pipeline, tables), origin)
    alike = _alike(pipeline, origin) if pipeline.recipe.train.new_ids == "content" else {}
    transfer = _Transfer(pipeline, tables, origin, alike)
    old, left = _tensors(origin), dict[str, str]()
    weights = named_weights(pipeline.model)
    with pipeline.strategy.scope():
        for name, variable in weights.items():
            if why := transfer.hindrance(name, variable.shape, old):
                left[name] = why
            else:
                variable.assign(transfer.moved(name, old[name], variable.numpy()))
    if len(left) == len(weights):
        reasons = "; ".join(f"{name} {why}" for name, why in transfer.by_part(left).items())
        raise RunError(f"{origin.directory}: nothing of it fits: {reasons}; leave train.init_from out")
    return transfer.report(left)


def _refuse_seen(here: Sequence[Mapping[str, Any]], origin: Origin) -> None:
    """Rows without times are held out by their table's options: with others, training has seen what is evaluated."""
    entities = {table.get("entity") for table in here}
    for table in origin.kept.timeless:
        if table.get("entity") in entities and table not in here:
            raise RunError(
                f"{origin.directory}: its model was trained on rows without times that were held out otherwise than here "
                f"({toml_value(dict(table))}), and so on some that this run evaluates; set their table as it was there, or leave "
                "train.init_from out"
            )


def _tensors(origin: Origin) -> dict[str, np.ndarray]:
    """The weights by name, read in full."""
    keys = {name: checkpoint_key(name) for name in origin.kept.weights}
    try:
        reader = tf.train.load_checkpoint(str(origin.checkpoint / CHECKPOINT))
        return {name: np.asarray(reader.get_tensor(key)) for name, key in keys.items()}
    except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:  # the reader's ways to say it
        reason = str(error).splitlines()[0]
        raise RunError(
            f"{origin.checkpoint}: is damaged: {reason}; restore it, or leave train.init_from out"
        ) from error


class _Transfer:
    """Which weights fit, and where their positions are found.

    Args:
        pipeline: of the model that begins.
        tables: of its recipe, as the lock of the earlier run would have them.
        origin: of the weights.
        alike: labels -> for their new positions those from which they begin.
    """

    def __init__(
        self, pipeline: Pipeline, tables: Mapping[str, Any], origin: Origin, alike: Mapping[str, Alike]
    ) -> None:
        self._tables, self._origin, self._kept, self._alike = tables, origin, origin.kept, alike
        self._parts = parts_of(pipeline)
        self._axes, self._labels = weight_axes(pipeline)
        self._places: dict[str, np.ndarray] = {}

    def hindrance(self, name: str, shape: tf.TensorShape, old: Mapping[str, np.ndarray]) -> str:
        """Why a weight cannot be taken; empty if it can."""
        place = part_of(name)
        if why := self._other_part(place):
            return why
        if name not in old:
            return "is not there"
        axes, theirs, was = self._axes[name], self._kept.weights[name], old[name].shape
        if axes != theirs:
            return "has positions that stand for something else than there"
        if len(shape) != len(was) or not all(self._fits(axes.get(str(i)), was[i], shape[i]) for i in range(len(was))):
            return f"is {list(shape)} here and {list(was)} there"
        return "" if self._parts[place].told else self._untold(self._parts[place], was)

    def _other_part(self, place: str) -> str:
        """Why a component is not that of the earlier run."""
        here, there = self._parts[place], self._kept.parts.get(place)
        if there is None:
            return "is not there"
        if (use := _table(self._tables, place)["use"]) != (was := _table(self._origin.tables, place)["use"]):
            return f"is {use} here and {was} there"
        if not here.told and here.reads != there.reads:
            return "reads other things than there, or in another order"
        classes = {read[0]: read for read in there.reads if prediction_of(read[0] if read else "")}
        if any(read != classes.get(read[0], read) for read in here.reads if read):
            return "reads predictions of other classes than there"
        return ""

    def _fits(self, of: str | Sequence[str] | None, old: int, new: int) -> bool:
        """Whether an axis can be moved: it is as long, or has as many positions for each label."""
        if not isinstance(of, str):
            return old == new
        before, now = len(self._origin.labels[of]), len(self._labels[of])
        return before > 0 and old % before == 0 and old * now == new * before

    def _untold(self, part: Part, shape: Sequence[int]) -> str:
        """Why a weight of which nothing is said is left: its positions may be ids or values, which have moved."""
        names = [*(f"{entity}.id" for entity in self._kept.entities), *(read[0] for read in part.reads if read)]
        for name in names:
            before, now = (list(labels.get(name, ())) for labels in (self._origin.labels, self._labels))
            if len(before) in shape and before != now:
                return f"has an axis that may be that of {name}, which has changed, and does not say so (`axes`)"
        return ""

    def moved(self, name: str, old: np.ndarray, new: np.ndarray) -> np.ndarray:
        """A weight's values `old` at their new places; `new` where there are none."""
        known = np.ones([1] * new.ndim, bool)
        for axis, of in self._axes[name].items():
            if isinstance(of, str):
                number = int(axis)
                place = self._place(of, new.shape[number])
                old = np.take(old, np.maximum(place, 0), number)
                known = known & np.expand_dims(place >= 0, [i for i in range(new.ndim) if i != number])
        moved = np.where(known, old, new)
        for axis, of in self._axes[name].items():
            if isinstance(of, str) and of in self._alike and moved.shape[int(axis)] == len(self._labels[of]):
                moved = np.moveaxis(self._alike[of].means(np.moveaxis(moved, int(axis), 0)), 0, int(axis))
        return moved

    def _place(self, of: str, length: int) -> np.ndarray:
        """The old position of each new one, int64 `[length]`; -1 = it has none."""
        before, now = self._origin.labels[of], self._labels[of]
        if of not in self._places:
            self._places[of] = _positions(before, now)
        each = length // len(now)
        place = np.repeat(self._places[of], each) * each
        return np.where(place < 0, -1, place + np.tile(np.arange(each), len(now)))

    def by_part(self, left: Mapping[str, str]) -> dict[str, str]:
        """Component, or weight of one that was taken in part -> why."""
        found: dict[str, str] = {}
        for place in self._parts:
            names = [name for name in self._axes if part_of(name) == place]
            reasons = {left.get(name, "") for name in names}
            if len(reasons) == 1:
                found[place] = reasons.pop()
            else:
                found |= {f"{place} {name.split('/', 2)[-1]}": left.get(name, "") for name in names}
        return {name: why for name, why in found.items() if why}

    def report(self, left: Mapping[str, str]) -> Beginning:
        """What there is to say."""
        return Beginning(
            phase=self._kept.fold,
            until=self._kept.fit,
            taken=len(self._axes) - len(left),
            labels={of: _counts(self._origin.labels[of], self._labels[of]) for of in self._places},
            left=self.by_part(left),
            unused=[place for place in self._kept.parts if place not in self._parts],
            changed=self._changed(),
            timeless=self._kept.timeless,
        )

    def _changed(self) -> dict[str, list[str]]:
        """Options of components that are set otherwise, where the components are the same."""
        found = {}
        for place in self._parts:
            if place in self._kept.parts and not self._other_part(place):
                here, there = _table(self._tables, place), _table(self._origin.tables, place)
                found[place] = [key for key in {**here, **there} if here.get(key) != there.get(key)]
        return {place: options for place, options in found.items() if options}


def _alike(pipeline: Pipeline, origin: Origin) -> dict[str, Alike]:
    """Labels of the ids of an entity -> what its new ids are like, where encoders read columns that tell it."""
    found = {}
    for entity, catalog in pipeline.fold.entities.items():
        before = origin.labels.get(f"{entity}.id", ())
        new = _positions(before, [None, *catalog.ids[1:].tolist()]) < 0
        alike = alike_of(pipeline.fold, entity, _read_columns(pipeline, entity), new) if new.any() else None
        if alike is not None:
            found[f"{entity}.id"] = alike
    return found


def _read_columns(pipeline: Pipeline, entity: str) -> list[str]:
    """Columns of an entity that encoders read, in whatever role."""
    scopes, read = pipeline.fold.schema.scopes, [a for spec in pipeline.recipe.encoder.values() for a in spec.reads]
    addresses = [part for address in map(Address, read) for part in pipeline.fold.schema.parts(address)]
    return list(dict.fromkeys(a.column for a in addresses if scopes.get(a.scope) == entity and a.column != "id"))


def _table(tables: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    section, _, name = place.partition(".")
    found: Mapping[str, Any] = tables[section][name] if name else tables[section]
    return found


def _positions(before: Labels, now: Labels) -> np.ndarray:
    """Where labels stood; -1 for those that are new.

    Unless `train.new_ids` says otherwise, they keep their initial values, which are small, so that a sum with what is known of
    their content is nearly that alone. On made-up shops this ranked as well as the row of the unknown, and better than the mean
    of all known rows.
    """
    place = {label: position for position, label in enumerate(before)}
    return np.array([place.get(label, -1) for label in now], np.int64)


def _counts(before: Labels, now: Labels) -> Mapping[str, int]:
    old, new = set(before) - {None}, set(now) - {None}
    return {"known": len(old & new), "new": len(new - old), "gone": len(old - new)}
