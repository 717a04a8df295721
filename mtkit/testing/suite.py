"""All checks of the kit that fit what a distribution offers: `mtkit plugins test DISTRIBUTION`."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from mtkit.errors import MtkitError, PluginError, nearest
from mtkit.recipe.registry import Entry, Registry
from mtkit.runs.plugin_checks import check_entries, hook_mistakes, unmet_requirements
from mtkit.schema import Address
from mtkit.spec import BuildContext, FeatureInfo, GroupPreprocessor, PredictionTask, RowStatistics, Spec
from mtkit.testing import cleaning, data, layers, measures, specs, training_steps
from mtkit.testing.options import check_options

#: What components of a kind are made with where they have no default: keys, as many of them as a class has.
GIVEN: dict[str, dict[str, Any]] = {
    "encoder": {"reads": ["history.item"], "dim": 4},
    "task_head": {"rows": "lines", "inputs": ["who", "what"], "label": "liked"},
    "preprocessor": {"columns": ["context.hour"]},
    "rows": {"batch_size": 32},
}
#: Other features, for encoders that do not read a past.
READS = (["history.item"], ["user.id", "user.age"], ["item.id"], ["item.text"])
_ROWS, _LENGTH, _SIZE = 6, 5, 9


@dataclass(frozen=True)
class Result:
    """What came of a check.

    Attributes:
        entry: the component.
        check: the check's name.
        failure: what was wrong; empty = nothing.
        skipped: why it was not run; empty = it was.
    """

    entry: Entry
    check: str
    failure: str = ""
    skipped: str = ""


def results(distribution: str, registry: Registry | None = None) -> Iterator[Result]:
    """Runs all that fits, one component after another.

    Raises:
        PluginError: no such distribution offers components.
    """
    registry = registry or Registry.installed()
    entries = [entry for entry in registry.entries() if entry.distribution == distribution]
    if not entries:
        known = {entry.distribution for entry in registry.entries()}
        raise PluginError(f"no distribution {distribution!r} offers components; {nearest(distribution, known)}")
    for line in unmet_requirements(distribution):
        yield Result(entries[0], "requirements", line)
    broken = check_entries(Registry(entries))
    for entry in entries:
        yield Result(entry, "import", broken.get(entry, ""))
        if entry not in broken:
            yield from _of_component(entry, entry.load())


def _of_component(entry: Entry, loaded: Any) -> Iterator[Result]:
    if entry.kind == "strategy":
        return
    if entry.kind == "hooks":
        yield Result(entry, "check_hooks", "; ".join(hook_mistakes(loaded)))
        if not issubclass(loaded, Spec):
            return
    spec, why = _made(entry.kind, loaded)
    if spec is None:
        yield Result(
            entry,
            "check_spec",
            skipped=f"it cannot be made of what is known of its kind: {why}; test it in its own tests",
        )
        return
    yield _ran(entry, "check_spec", lambda: specs.check_spec(spec))
    for name, check in _checks(entry.kind, spec):
        yield _ran(entry, name, check)


def _made(kind: str, cls: type[Spec]) -> tuple[Spec | None, str]:
    """A component with its defaults, and with what those of its kind need."""
    why = ""
    for reads in READS if kind == "encoder" else ([],):
        given = GIVEN.get(kind, {}) | ({"reads": reads} if reads else {})
        try:
            return cls.model_validate({key: value for key, value in given.items() if key in cls.model_fields}), ""
        except (ValidationError, MtkitError) as error:
            why = " ".join(str(error).split())[:200]
    return None, why


def _ran(entry: Entry, name: str, check: Callable[[], None]) -> Result:
    try:
        check()
    except AssertionError as error:
        return Result(entry, name, " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - foreign code may fail with anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Result(entry, name, f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {error}")
    return Result(entry, name)


def _checks(kind: str, spec: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks that fit a component, by name."""
    whole: dict[str, Callable[[Any], None]] = {
        "data_source": data.check_data_source,
        "cleaner": cleaning.check_cleaner,
        "split": data.check_split,
        "rows": data.check_rows,
        "ranking_metric": measures.check_ranking_metric,
        "prediction_metric": measures.check_prediction_metric,
        "baseline": measures.check_baseline,
    }
    if kind in whole:
        yield whole[kind].__name__, lambda: whole[kind](spec)
    elif kind == "preprocessor" and not isinstance(spec, GroupPreprocessor | RowStatistics):
        yield "check_preprocessor", lambda: layers.check_preprocessor(spec, _values(spec))
    elif kind == "encoder":
        yield "check_encoder", lambda: layers.check_encoder(_layer(spec), _inputs(spec), spec.width)
        yield "check_options", lambda: check_options(spec, _observed)
    elif kind == "correlation":
        yield "check_correlation", lambda: layers.check_correlation(_layer(spec), 2, 4 if spec.joined else [4, 4])
    elif kind == "task_head" and isinstance(spec, PredictionTask):
        view = {name: _normal(_ROWS, 4) for name in spec.inputs}
        yield (
            "check_prediction_head",
            lambda: layers.check_prediction_head(_layer(spec), view, 0 if spec.numeric else 2),
        )
    elif kind == "balancer":
        yield from _of_balancer(spec)


def _of_balancer(spec: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    from mtkit.layers.training_step import TrainingStep

    def check() -> None:
        layer = _layer(spec, training_steps.TASKS)
        if isinstance(layer, TrainingStep):
            training_steps.check_training_step(layer)
        else:
            layers.check_balancer(layer, training_steps.TASKS)

    yield "check_balancer", check


def _layer(spec: Any, tasks: tuple[str, ...] = ("liked", "bought")) -> Any:
    """The layer of a spec, with a context in which features are those of a small shop."""
    from mtkit.backend import keras

    keras.utils.set_random_seed(0)
    numbers = {"user.age": FeatureInfo(width=1), "context.hour": FeatureInfo(width=1)}
    ids = {address: FeatureInfo(size=_SIZE) for address in ("user.id", "item.id", "user.town", "item.category")}
    context = BuildContext(
        name="part",
        tasks=tasks,
        features={Address(name): info for name, info in {**numbers, **ids}.items()},
        sizes={"user": _SIZE, "item": _SIZE},
        classes=dict.fromkeys(tasks, 2),
        candidates={},
        cache_dir=Path(tempfile.gettempdir()),
        column=lambda _entity, _name: np.array([None, *(f"thing {n}" for n in range(1, _SIZE))], object),
        roles=("user", "item"),
    )
    return spec.build(context)


def _inputs(spec: Any) -> dict[str, Any]:
    rng, inputs = np.random.default_rng(0), dict[str, Any]()
    for address in spec.reads:
        if address.scope == "history":
            inputs |= {
                address: rng.integers(1, _SIZE, (_ROWS, _LENGTH)),
                "history.age": rng.random((_ROWS, _LENGTH)).astype("float32"),
            }
        elif address in ("user.age", "context.hour"):
            inputs[address] = _normal(_ROWS, 1)
        else:
            inputs[address] = rng.integers(1, _SIZE, _ROWS)
    return inputs


def _observed(spec: Any) -> Any:
    """What can be seen of an encoder: what its layer gives, in training too, and what its properties say."""
    layer, inputs = _layer(spec), _inputs(spec)
    said = [spec.history_length, str(spec.history_where), spec.content, spec.whole_limit, spec.width]
    plain = np.asarray(layer(inputs))
    penalties = getattr(layer, "penalties", lambda _: None)(inputs)
    return [said, plain, np.asarray(layer(inputs, training=True)), [] if penalties is None else np.asarray(penalties)]


def _values(spec: Any) -> np.ndarray:
    """Raw values of a column that a preprocessor applies to."""
    if not spec.column_kinds or "numeric" in spec.column_kinds:
        return np.array([4.0, -1.0, np.nan, 9.0, 2.5], np.float32)
    return np.array(["a", "b", None, "a", "c"], object)


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)
