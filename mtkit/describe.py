"""The resolved wiring of a recipe as text: per task its rows, and what its inputs are made of."""

from __future__ import annotations

from collections.abc import Iterator

from mtkit.recipe import Recipe
from mtkit.spec import PredictionTask, RetrievalTask, TaskHead


def describe(recipe: Recipe) -> str:
    """Lines for a person, one block for each task."""
    source, split = recipe.uses["data"], recipe.uses["data.split"]
    lines = [f"{recipe.name}: {source}, split {split}, seed {recipe.seed}"]
    for name, head in recipe.task.items():
        lines += ["", *_task(recipe, name, head)]
    lines += ["", f"losses are combined by {recipe.uses['balance']}; an epoch is a pass over {recipe.train.epoch_of}"]
    if recipe.evaluate.main:
        lines.append(f"validation chooses by {recipe.evaluate.main}")
    return "\n".join(lines)


def _task(recipe: Recipe, name: str, head: TaskHead) -> Iterator[str]:
    yield f"task {name}: {recipe.uses[f'task.{name}']}, weight {head.weight:g}"
    yield f"  rows {head.rows}: {recipe.uses[f'rows.{head.rows}']}, {recipe.rows[head.rows].batch_size} in a batch"
    if isinstance(head, RetrievalTask):
        if head.evaluate:
            yield f"  evaluated on {head.evaluate}: {recipe.uses[f'rows.{head.evaluate}']}"
        yield from _inputs(recipe, "query", head.query)
        yield from _inputs(recipe, "candidate", head.candidate)
    elif isinstance(head, PredictionTask):
        yield f"  label {head.label}"
        yield from _inputs(recipe, "inputs", head.inputs)


def _inputs(recipe: Recipe, role: str, names: tuple[str, ...]) -> Iterator[str]:
    yield f"  {role}"
    for name in names:
        yield f"    {name}{_source(recipe, name)}"


def _source(recipe: Recipe, name: str) -> str:
    """Where an embedding comes from, and the correlations it passes on its way to the heads."""
    if name not in recipe.encoder and name not in recipe.correlation:
        return "" if name.startswith("task.") else " (unknown)"
    text, passed = "", name not in recipe.encoder
    if not passed:
        encoder = recipe.encoder[name]
        needs = f", catalog of {', '.join(encoder.content)}" if encoder.content else ""
        text = f" <- {recipe.uses[f'encoder.{name}']}({', '.join(encoder.reads)}{needs})"
    for address, correlation in recipe.correlation.items():
        use = recipe.uses[f"correlation.{address}"]
        if passed and address == name:
            text, passed = f" <- {address}: {use} joins {', '.join(correlation.on) or 'all before it'}", False
        elif not passed and correlation.apply == "each" and (not correlation.on or name in correlation.on):
            text += f" -> {address}: {use}"
    return text
