"""The resolved wiring of a recipe as text: what each embedding is made of, and what each task reads."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.spec import TaskHead

_WIDTH = 100


def describe(recipe: Recipe) -> str:
    """Lines for a person: the embeddings with the correlations they pass, then a block for each task."""
    source, split = recipe.uses["data"], recipe.uses["data.split"]
    lines = [f"{recipe.name}: {source}, split {split}, seed {recipe.seed}"]
    if recipe.clean:
        cleaners = ", ".join(f"{name} ({recipe.uses[f'clean.{name}']})" for name in recipe.clean)
        lines.append(f"data are cleaned by {cleaners}")
    lines += ["", "embeddings"]
    names = [*recipe.encoder, *(name for name, c in recipe.correlation.items() if c.apply == "pair")]
    plan = recipe.plan
    lines += [f"  {name} <- {_source(recipe, name)}{_cost(plan, name)}" for name in names]
    for name, head in recipe.task.items():
        lines += ["", *_task(recipe, name, head)]
    lines += ["", f"losses are combined by {recipe.uses['balance']}; an epoch is a pass over {recipe.train.epoch_of}"]
    lines.append(f"validation chooses by {recipe.evaluate.main}")
    if lists := recipe.recommend:
        weighed = ", ".join(f"{weight:g} {name}" for name, weight in lists.utility.items())
        lines.append(
            f"recommend orders {lists.candidates} candidates of {recipe.recommending} by the {lists.combine} of {weighed}"
        )
    return "\n".join(textwrap.fill(line, _WIDTH, subsequent_indent=" " * 6, break_long_words=False) for line in lines)


def _source(recipe: Recipe, name: str) -> str:
    """The encoder or the pair that makes an embedding, and the correlations on its way to the heads."""
    if name in recipe.encoder:
        encoder, after = recipe.encoder[name], 0
        catalogs = [f"catalog of {content}" for content in encoder.content]
        text = f"{recipe.uses[f'encoder.{name}']}({', '.join((*encoder.reads, *catalogs))})"
        wheres = ", or ".join(f"where {where.in_words()}" for where in encoder.past_conditions)
        text += f" of events {wheres}" if wheres else ""
    else:
        after = list(recipe.correlation).index(name) + 1
        joined = ", ".join(recipe.correlation[name].on) or "all before it"
        text = f"{recipe.uses[f'correlation.{name}']} joins {joined}"
        if features := recipe.correlation[name].features:
            text += f", by {', '.join(features)}"
    for each, correlation in list(recipe.correlation.items())[after:]:
        if correlation.apply == "each" and (not correlation.on or name in correlation.on):
            text += f" -> {each} ({recipe.uses[f'correlation.{each}']})"
    return text


def _cost(plan: Plan, name: str) -> str:
    """What makes the steps of a network that trains slow, where it does."""
    limited = name in plan.needed_whole() and any(map(plan.limited, plan.members(name)))
    return f"; every step encodes all rows of {plan.entity(name)}" if limited else ""


def _task(recipe: Recipe, name: str, head: TaskHead) -> Iterator[str]:
    by = f", rows count by {head.weight_by}" if head.weight_by else ""
    by += f", of rows where {head.of_rows.in_words()}" if head.of_rows else ""
    yield f"task {name}: {recipe.uses[f'task.{name}']}, weight {head.weight:g}{by}"
    rows = recipe.rows[head.rows]
    rate = f"{rows.batch_size} in a batch" if rows.batch_size else f"{rows.passes:g} passes in an epoch"
    yield f"  rows {head.rows} ({recipe.uses[f'rows.{head.rows}']}), {rate}"
    if head.evaluated_on != head.rows:
        yield f"  evaluated on {head.evaluated_on} ({recipe.uses[f'rows.{head.evaluated_on}']})"
    yield from (f"  {line}" for line in head.describe())
