"""All checks of the kit that fit what a distribution offers: `mtkit plugins test DISTRIBUTION`."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtkit.errors import PluginError, WiringError, nearest
from mtkit.recipe.registry import Entry, Registry
from mtkit.runs.plugin_checks import check_entries, hook_mistakes, unmet_requirements
from mtkit.spec import PredictionTask, RetrievalTask, RowStatistics, Spec
from mtkit.testing import cleaning, data, layers, measures, specs, training_steps
from mtkit.testing.made_up import (
    ROWS,
    SIZE,
    TASKS,
    classes_of,
    column,
    inputs_of,
    layer_of,
    made,
    normal,
    seen_in,
    unknown_inputs,
    values_of,
    view_of,
)
from mtkit.testing.options import check_options


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
    spec, why = made(entry.kind, loaded)
    if spec is None:
        yield Result(
            entry,
            "check_spec",
            skipped=f"it cannot be made of what is known here: {why}; test it in its own tests",
        )
        return
    yield _ran(entry, "check_spec", lambda: specs.check_spec(spec))
    for name, check in _checks(entry.kind, spec):
        yield _ran(entry, name, check)


def _ran(entry: Entry, name: str, check: Callable[[], None]) -> Result:
    try:
        check()
    except Unfit as reason:
        return Result(entry, name, skipped=f"{reason}; test it in its own tests")
    except AssertionError as error:
        return Result(entry, name, " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - foreign code may fail with anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Result(entry, name, f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {error}")
    return Result(entry, name)


class Unfit(Exception):  # noqa: N818 - nothing is wrong
    """A check that does not fit a component, and why."""


def _checks(kind: str, spec: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks that fit a component, by name."""
    whole: dict[str, Callable[[Any], None]] = {
        "data_source": data.check_data_source,
        "cleaner": _check_cleaner,
        "split": _check_split,
        "rows": data.check_rows,
        "ranking_metric": measures.check_ranking_metric,
        "prediction_metric": measures.check_prediction_metric,
        "baseline": measures.check_baseline,
        "encoder": _check_encoder,
        "correlation": _check_correlation,
        "balancer": _check_balancer,
    }
    if kind in whole:
        yield whole[kind].__name__.lstrip("_"), lambda: whole[kind](spec)
    if kind == "encoder":
        yield "check_options", lambda: _check_options(spec)
    elif kind == "preprocessor" and isinstance(spec, RowStatistics):
        yield "check_row_statistics", lambda: _unfit("its keys and labels are those of data of its own")
    elif kind == "preprocessor":
        yield "check_preprocessor", lambda: layers.check_preprocessor(spec, values_of(spec))
    elif kind == "task_head" and isinstance(spec, PredictionTask):
        yield "check_prediction_head", lambda: _check_prediction_head(spec)
    elif kind == "task_head" and isinstance(spec, RetrievalTask):
        yield "check_retrieval_head", lambda: _check_retrieval_head(spec)


def _unfit(why: str) -> None:
    raise Unfit(why)


def _check_cleaner(spec: Any) -> None:
    if wrong := [message for _, message in spec.mistakes(data.sample_data().schema)]:
        raise Unfit("; ".join(wrong))
    cleaning.check_cleaner(spec)


def _check_split(spec: Any) -> None:
    # A split that finds all parts named in the data draws nothing.
    data.check_split(spec, seeded=False if isinstance(getattr(spec, "valid", None), str) else None)


def _check_encoder(spec: Any) -> None:
    if why := unknown_inputs(spec):
        raise Unfit(why)
    layers.check_encoder(layer_of(spec), inputs_of(spec), spec.width)


def _check_options(spec: Any) -> None:
    if why := unknown_inputs(spec):
        raise Unfit(why)
    check_options(spec, lambda other: list(seen_in(other)))


def _check_correlation(spec: Any) -> None:
    """With states of tasks as input, or with one for all where it takes no others."""
    width = next((width for width in (12, 48) if not spec.misfit(width, len(TASKS))[1]), None)
    if width is None:
        raise Unfit("it takes no embeddings 12 or 48 wide")
    features = {name: values for address in spec.features for name, values in column(address).items()}
    pair = width if spec.joined else [width, width]
    try:
        layers.check_correlation(layer_of(spec), len(TASKS), pair, features=features)
    except WiringError:
        layers.check_correlation(layer_of(spec), len(TASKS), pair, features=features, shared=True)


def _check_prediction_head(spec: Any) -> None:
    from mtkit.heads.prediction import PredictionHead

    if spec.query_by is not None:
        raise Unfit("its loss is of all rows of a query")
    if spec.multi_label:
        raise Unfit("its label is any number of classes")
    layer = layer_of(spec)
    if type(layer).loss is PredictionHead.loss:
        raise Unfit("its losses are not of single rows")
    view = view_of(list(dict.fromkeys(read.name for read in spec.reads())))
    layers.check_prediction_head(layer, view, classes_of(spec))


def _check_retrieval_head(spec: Any) -> None:
    if spec.candidates == "drawn":
        raise Unfit("its candidates are drawn")
    if columns := spec.columns("train"):
        raise Unfit(f"its rows have {', '.join(columns)}")
    candidate = {name: normal(SIZE if spec.candidates == "catalog" else ROWS, 4) for name in spec.candidate}
    layers.check_retrieval_head(layer_of(spec), view_of(spec.query), candidate, candidates=spec.candidates)


def _check_balancer(spec: Any) -> None:
    from mtkit.layers.training_step import TrainingStep

    layer = layer_of(spec)
    if isinstance(layer, TrainingStep):
        training_steps.check_training_step(layer)
    else:
        layers.check_balancer(layer, TASKS)
