"""The wiring of a recipe as a Mermaid flowchart: features, encoders, correlations, tasks, and how losses are combined."""

from __future__ import annotations

from collections.abc import Iterator

from mtkit.recipe.loader import Recipe
from mtkit.spec import prediction_of

#: Columns of a scope that are named.
_SHOWN = 8


def mermaid(recipe: Recipe) -> str:
    """The text of a flowchart, as pages on GitHub and notebooks show it.

    Arrows are what is read; dotted ones are whole catalogs, and what tasks read of one another.
    """
    lines = ["flowchart LR", *_nodes(recipe), *_edges(recipe)]
    return "\n".join(f"    {line}" if number else line for number, line in enumerate(lines)) + "\n"


def _nodes(recipe: Recipe) -> Iterator[str]:
    scopes: dict[str, list[str]] = {}
    for address in recipe.plan.addresses():
        scopes.setdefault(address.scope, []).append(address.column)
    for scope, columns in scopes.items():
        more = f" and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else ""
        yield _node("feature", scope, f"{scope}<br/>{', '.join(columns[:_SHOWN])}{more}", "[/", "/]")
    for name, encoder in recipe.encoder.items():
        yield _node("encoder", name, f"{name}<br/>{recipe.uses[f'encoder.{name}']}, {encoder.width} wide")
    for name in recipe.correlation:
        yield _node("correlation", name, f"{name}<br/>{recipe.uses[f'correlation.{name}']}", "{{", "}}")
    for name, head in recipe.task.items():
        of = f"<br/>{head.predicts}" if head.predicts else ""
        yield _node("task", name, f"{name}<br/>{recipe.uses[f'task.{name}']}{of}", "([", "])")
    yield _node("balance", "", f"balance<br/>{recipe.uses['balance']}", "((", "))")


def _node(kind: str, name: str, text: str, before: str = "[", after: str = "]") -> str:
    return f'{_id(kind, name)}{before}"{text.replace(chr(34), "#quot;")}"{after}'


def _id(kind: str, name: str) -> str:
    return f"{kind}_{name}" if name else kind


def _edges(recipe: Recipe) -> Iterator[str]:
    plan = recipe.plan
    for name, encoder in recipe.encoder.items():
        for scope in dict.fromkeys(address.scope for address in encoder.reads):
            yield f"{_id('feature', scope)} --> {_id('encoder', name)}"
        yield from (f"{_id('encoder', content)} -. catalog .-> {_id('encoder', name)}" for content in encoder.content)
    for name, spec in recipe.correlation.items():
        yield from (f"{_before(recipe, embedding, name)} --> {_id('correlation', name)}" for embedding in plan.on(name))
        scopes = dict.fromkeys(address.scope for address in spec.features)
        yield from (f"{_id('feature', scope)} --> {_id('correlation', name)}" for scope in scopes)
    for name, head in recipe.task.items():
        for read in dict.fromkeys(read.name for read in head.reads()):
            other = prediction_of(read)
            begin = f"{_id('task', other)} -. predicts .->" if other else f"{_before(recipe, read)} -->|{read}|"
            yield f"{begin} {_id('task', name)}"
        yield f"{_id('task', name)} --> balance"


def _before(recipe: Recipe, embedding: str, until: str = "") -> str:
    """The node that an embedding comes from: the last correlation on its way, before another one."""
    names = list(recipe.correlation)
    names = names[: names.index(until)] if until else names
    on_way = [name for name in names if embedding in recipe.plan.targets(name)]
    return _id("correlation", on_way[-1]) if on_way else _id("encoder", embedding)
