"""The sections of a recipe: what tables there are, and what stands in them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A table of a recipe.

    Attributes:
        name: its name.
        kind: the kind of its components; empty where it holds settings.
        named: whether it holds components by name, instead of one.
        required: whether a recipe has to have it.
        default: entry point of its component where the recipe names none.
    """

    name: str
    kind: str = ""
    named: bool = False
    required: bool = False
    default: str = ""


#: In the order in which they are written. What a recipe holds of them: `mtkit.recipe.loader.Recipe`, the field of the name.
SECTIONS = (
    Section("data", "data_source", required=True),
    Section("clean", "cleaner", named=True),
    Section("events", named=True),
    Section("rows", "rows", named=True, required=True),
    Section("preprocess", "preprocessor", named=True),
    Section("encoder", "encoder", named=True, required=True),
    Section("correlation", "correlation", named=True),
    Section("task", "task_head", named=True, required=True),
    Section("balance", "balancer", default="fixed"),
    Section("train"),
    Section("evaluate"),
    Section("recommend"),
    Section("search"),
    Section("expect"),
    Section("export", "exporter", default="saved_model"),
    Section("callback", "callback", named=True),
    Section("hook", "hooks", named=True),
)
#: Tables of components by name -> kind.
NAMED = {section.name: section.kind for section in SECTIONS if section.named and section.kind}
#: Tables of one component, which has a default -> kind, and the default.
SINGLE = {section.name: (section.kind, section.default) for section in SECTIONS if section.default}
REQUIRED = tuple(section.name for section in SECTIONS if section.required)
#: Lists of components in `[evaluate]` -> kind.
MEASURES = {"metrics": "ranking_metric", "prediction_metrics": "prediction_metric", "baselines": "baseline"}
