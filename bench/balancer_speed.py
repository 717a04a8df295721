"""Seconds of a training step with each balancer beside those of the plain step, on the models of multi_task_speed.py.

Three tasks on KuaiRand-Pure, batches of 4,096, Adam. One model is trained by compiled loops, one for the plain step and one for
each balancer, whose calls of some steps alternate; the first call of each, which traces, does not count. Needs MTKIT_DATA.

Prints a line of JSON: {"model": ..., "ratio": {balancer: ...}, "cpu_ratio": {...}, "milliseconds": ...,
"cut_megabytes": ...}: medians of the ratio of the seconds of two calls in turn, the same of CPU seconds, which other jobs disturb
less, the median of a plain step, and what the gradients of all tasks by the cut take. Keys are names as in recipes, followed by
`@parameters` where gradients meet there.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from multi_task_speed import BATCH, recipe_of, write

MODELS = ("shared_bottom", "mmoe")
NAMES = (
    "rlw", "dwa", "uncertainty", "famo", "gradnorm", "pcgrad", "cagrad", "mgda", "nash_mtl", "imtl_g", "aligned_mtl", "config",
    "upgrad", "graddrop", "db_mtl", "pcgrad@parameters",
)  # fmt: skip
STEPS, ROUNDS = 10, 15

Took = list[tuple[float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="shared_bottom")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        write(Path(os.environ["MTKIT_DATA"]) / "kuairand-pure-slice", Path(directory))
        print(json.dumps({"model": arguments.model, **measured(Path(directory), arguments)}))


def measured(directory: Path, arguments: Any) -> dict[str, Any]:
    """What the steps took."""
    from mtkit.data.catalogs import make_cuts
    from mtkit.data.columns import load
    from mtkit.model.assembly import assemble
    from mtkit.runtime.strategies import prepare
    from mtkit.training.fit import Training

    recipe = recipe_of(directory, arguments.model, "float32", 0)
    dataset = load(recipe.data.source)
    pipeline = assemble(recipe, dataset, make_cuts(dataset, recipe.data.split)[1], strategy=prepare(recipe))
    Training(pipeline)  # compiles the model
    plain = loop(pipeline, "fixed")
    found = {name: in_turn(plain, loop(pipeline, name), arguments.rounds) for name in arguments.only}
    return {
        "ratio": {name: ratio(calls, 0) for name, calls in found.items()},
        "cpu_ratio": {name: ratio(calls, 1) for name, calls in found.items()},
        "milliseconds": 1000 / STEPS * median(call[0] for calls in found.values() for call in calls["plain"]),
        "cut_megabytes": cut_bytes(pipeline) / 1e6,
    }


def loop(pipeline: Any, name: str) -> Callable[[], None]:
    """A compiled loop over some steps, which trains the pipeline's model with a balancer."""
    import tensorflow as tf

    from mtkit.feed.step_rows import training_rows
    from mtkit.layers.training_step import step_of
    from mtkit.recipe.registry import Registry
    from mtkit.spec import BuildContext

    model, (use, _, at) = pipeline.model, name.partition("@")
    spec = Registry.installed().get("balancer", use)(**({"at": at} if at else {}))
    context = BuildContext(
        name="balance", tasks=tuple(pipeline.plan.tasks), features={}, sizes={}, classes={}, candidates={},
        cache_dir=Path(), column=lambda *_: None,
    )  # fmt: skip
    model.step = step_of(spec.build(context))
    model._steps_per_execution.assign(STEPS)  # noqa: SLF001 - as Keras does
    function = model.make_train_function(force=True)
    rows = iter(training_rows(pipeline.rates(), 0, 0, 1 << 20))
    function.get_concrete_function(rows)
    assert isinstance(rows, tf.data.Iterator)
    return lambda: float(next(iter(function(rows).values())))


def in_turn(plain: Callable[[], Any], other: Callable[[], Any], rounds: int) -> Mapping[str, Took]:
    """Seconds and CPU seconds of calls in turn."""
    calls: dict[str, Took] = {"plain": [], "other": []}
    for number in range(rounds + 1):
        for key, call in (("plain", plain), ("other", other)):
            begin = time.perf_counter(), time.process_time()
            call()
            if number:
                calls[key].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    return calls


def ratio(calls: Mapping[str, Took], clock: int) -> float:
    return median(other[clock] / plain[clock] for plain, other in zip(calls["plain"], calls["other"], strict=True))


def cut_bytes(pipeline: Any) -> int:
    """What the gradients of all tasks by the cut take, in bytes."""
    import tensorflow as tf

    (name,) = pipeline.rates()
    found = pipeline.model.run(pipeline.model.gather({name: tf.range(BATCH, dtype=tf.int64)}), training=True)
    return len(found.losses) * sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in found.cut)


if __name__ == "__main__":
    main()
