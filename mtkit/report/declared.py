"""What was declared? The wiring as a drawing, the recipe as it was resolved, and what differs from the defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from mtkit.recipe.describe import describe
from mtkit.recipe.loader import Recipe
from mtkit.recipe.plan import Plan
from mtkit.recipe.sections import SECTIONS
from mtkit.recipe.toml_writer import toml_value
from mtkit.report import charts
from mtkit.report.drawing import svg
from mtkit.report.kept import KeptRun
from mtkit.report.markup import Html, clipped, details, el, part, section, table
from mtkit.schema import Address
from mtkit.spec import Cleaned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "What was declared?"
_JSON: TypeAdapter[Any] = TypeAdapter(Any)
_HEADS = ("reads", "encoders", "correlations", "tasks")


def declared(run: KeptRun) -> Html:
    """The section."""
    return section(
        "recipe",
        TITLE,
        part("Wiring", _wiring(run), details("In words", el("pre", describe(run.recipe), tabindex=0))),
        part("What differs from the defaults", _changed(run)),
        part("The recipe, resolved", details("Every key", el("pre", run.lock, tabindex=0))),
    )


def wiring_of(plan: Plan) -> Figure:
    """The wiring as a drawing."""
    columns, links = wires(plan)
    kept = [(column, head) for column, head in zip(columns, _HEADS, strict=True) if column]
    return charts.wiring([column for column, _ in kept], links, [head for _, head in kept])


def _wiring(run: KeptRun) -> Html | None:
    plan = run.recipe.plan
    tasks = ", ".join(f"{task} reads {', '.join(plan.embeddings_of(task))}" for task in plan.tasks)
    caption = f"From what encoders read, through encoders and correlations, to tasks: {tasks}."
    return svg(wiring_of(plan), "wiring", caption, wide=True)


def wires(plan: Plan) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Boxes by column (`e:user` is an encoder), and the lines between them; what is read stands for its scope."""
    scopes = dict.fromkeys(f"r:{Address(read).scope}" for spec in plan.encoders.values() for read in spec.reads)
    columns = [
        list(scopes),
        [f"e:{n}" for n in plan.encoders],
        [f"c:{n}" for n in plan.correlations],
        [f"t:{n}" for n in plan.tasks],
    ]
    links = [(f"r:{Address(read).scope}", f"e:{name}") for name, spec in plan.encoders.items() for read in spec.reads]
    for name in plan.correlations:
        links += [(_box(plan, member), f"c:{name}") for member in plan.on(name)]
    for task in plan.tasks:
        for name in plan.embeddings_of(task):
            last = [other for other in plan.correlations if name in plan.targets(other)]
            links.append((f"c:{last[-1]}" if last else _box(plan, name), f"t:{task}"))
    return columns, [link for link in dict.fromkeys(links) if link[0] != link[1]]


def _box(plan: Plan, name: str) -> str:
    return f"e:{name}" if name in plan.encoders else f"c:{name}"


def _changed(run: KeptRun) -> Html | None:
    rows = [
        (f"{place}.{key}", _toml(value), default)
        for place, of in _components(run.recipe)
        for key, value, default in _set(of)
    ]
    return table("Keys that are set, and their defaults", ("key", "value", "default"), rows)


def _set(component: BaseModel) -> Iterator[tuple[str, Any, Any]]:
    """Keys of a component that are not at their default, with their values and defaults as JSON has them."""
    given = component.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    for name, value in given.items():
        field = type(component).model_fields[name]
        if isinstance(value, dict) or name in ("source", "split", "catalog"):
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
        yield (
            field.alias or name,
            value,
            "required" if field.is_required() else _toml(_JSON.dump_python(default, mode="json")),
        )


def _toml(value: Any) -> Any:
    return "none" if value is None else el("code", clipped(toml_value(value), 160), class_="long")


def _components(recipe: Recipe) -> Iterator[tuple[str, BaseModel]]:
    """Place in the recipe -> what stands there."""
    source = recipe.data.source
    yield "data", source.source if isinstance(source, Cleaned) else source
    yield "data.split", recipe.data.split
    for section_ in SECTIONS[1:]:
        held = getattr(recipe, section_.name)
        several = held if isinstance(held, Mapping) else {"": held}
        for name, component in several.items():
            if isinstance(component, BaseModel):
                yield f"{section_.name}.{name}".rstrip("."), component
