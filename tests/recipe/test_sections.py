import dataclasses
import inspect

from mtkit.recipe.compose import compose
from mtkit.recipe.drafts import Draft
from mtkit.recipe.loader import Recipe
from mtkit.recipe.sections import SECTIONS
from mtkit.spec import BASES


def test_what_holds_the_sections_has_those_that_are_declared():
    names = [section.name for section in SECTIONS]
    assert [field.name for field in dataclasses.fields(Draft)] == names
    assert set(names) <= Recipe.model_fields.keys()
    # In Python, hooks are arguments of a run, events that are spoken of by name are variables, searches loops, and
    # expectations assertions.
    assert set(names) - {"hook", "events", "search", "expect"} <= inspect.signature(compose).parameters.keys()


def test_kinds_are_those_of_the_base_classes():
    assert {section.kind for section in SECTIONS if section.kind} - {"hooks"} <= BASES.keys()
