"""Recipes: TOML text to specs, with every mistake at its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import Field

from mtkit.errors import Problem, RecipeError
from mtkit.recipe.blame import blaming
from mtkit.recipe.drafts import Draft
from mtkit.recipe.plan import Plan
from mtkit.recipe.reader import Reader
from mtkit.recipe.registry import Registry
from mtkit.recipe.search_settings import Search
from mtkit.recipe.sections import MEASURES, NAMED, SECTIONS, SINGLE
from mtkit.recipe.settings import Data, Evaluate, Expect, Header, NamedEvents, Recommend, Train
from mtkit.recipe.source_text import Document, Mistake, read_document
from mtkit.recipe.toml_positions import KeyPath
from mtkit.schema import Address
from mtkit.spec import (
    Balancer,
    Callback,
    Cleaned,
    Cleaner,
    Correlation,
    Encoder,
    Exporter,
    GroupPreprocessor,
    Name,
    Preprocessor,
    Rows,
    RowStatistics,
    TaskHead,
)
from mtkit.types import MetricKey

#: Mistakes of a recipe that are shown; nobody reads more.
MOST_SHOWN = 100


class Recipe(Header):
    """A recipe whose names are resolved; tables of components keep the recipe's order.

    Attributes:
        hook: name -> spec instance, or the class itself if it has no options.
        uses: address of a component (`encoder.user`) -> the name of its entry point.
        distributions: distributions that offer the components -> version.
        document: the text that it was read from.
    """

    data: Data
    clean: Mapping[Name, Cleaner] = Field({})
    events: Mapping[Name, NamedEvents] = Field({})
    rows: Mapping[Name, Rows]
    preprocess: Mapping[Name, Preprocessor] = Field({})
    encoder: Mapping[Name, Encoder]
    correlation: Mapping[Name, Correlation] = Field({})
    task: Mapping[Name, TaskHead]
    balance: Balancer
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    recommend: Recommend | None = None
    search: Search | None = None
    expect: Expect | None = None
    export: Exporter
    callback: Mapping[Name, Callback] = Field({})
    hook: Mapping[Name, Any] = Field({})
    uses: Mapping[str, str] = Field({})
    distributions: Mapping[str, str] = Field({})
    document: Document = Field(Document(), repr=False)

    @property
    def sections(self) -> Draft:
        """The sections alone."""
        return Draft(**{section.name: getattr(self, section.name) for section in SECTIONS})

    @property
    def plan(self) -> Plan:
        """Who reads what."""
        return Plan(self.encoder, self.correlation, self.task)

    @property
    def recommending(self) -> str | None:
        """The task that answers `recommend`; None = no task can."""
        return self.plan.recommending((self.recommend and self.recommend.task) or self.evaluate.main_task)

    @property
    def statistics(self) -> dict[str, RowStatistics]:
        """The preprocessors that make `known.NAME`."""
        return {name: spec for name, spec in self.preprocess.items() if isinstance(spec, RowStatistics)}

    @property
    def columns_read(self) -> tuple[Address, ...]:
        """Addresses that encoders and correlations read; of features that are made of several columns, these."""
        groups = {
            spec.made(name): spec.columns
            for name, spec in self.preprocess.items()
            if isinstance(spec, GroupPreprocessor)
        }
        return tuple(dict.fromkeys(part for read in self.plan.addresses() for part in groups.get(read, (read,))))

    def lower_is_better(self, key: str) -> bool:
        """Whether less of what a metric key (`task/[slice/]metric[@k]`) stands for is better."""
        found = MetricKey.parse(key)
        head = self.task.get(found.task)
        return head is not None and head.lower_is_better(found.metric, self.evaluate)

    def components(self) -> dict[KeyPath, Any]:
        """Keys of a table -> its component, of all that there are."""
        return _components(self.sections)

    def blaming(self) -> AbstractContextManager[None]:
        """While entered, exceptions from the code of plugins become messages; see `mtkit.recipe.blame`."""
        return blaming(self.components(), lambda path: self.problem(path, "").place)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A mistake found later, at its place in the recipe."""
        return self.document.problem(Mistake(path, message))


def load_recipe(
    path: str | Path, sets: Sequence[str] = (), unsets: Sequence[str] = (), registry: Registry | None = None
) -> Recipe:
    """Reads and checks a recipe, without data and without TensorFlow.

    Args:
        path: the TOML file.
        sets: `KEY=VALUE` to set by dotted key; tables are merged. VALUE is TOML, or else taken as a string.
        unsets: keys to remove first.
        registry: the components that can be named; default: the installed ones.

    Raises:
        RecipeError: with every mistake that was found, up to a hundred.
    """
    document, mistakes = read_document(Path(path), sets, unsets)
    return resolve(document, mistakes, registry)


def resolve(document: Document, found: Sequence[Mistake] = (), registry: Registry | None = None) -> Recipe:
    """A recipe from what it says.

    Args:
        document: what it says.
        found: mistakes that were found in it before.
        registry: the components that can be named; default: the installed ones.

    Raises:
        RecipeError: with every mistake that was found, up to a hundred.
    """
    mistakes = list(found)
    reader = Reader(document, registry or Registry.installed(), mistakes)
    with blaming(reader.components, lambda path: document.problem(Mistake(path, "")).place):
        draft = reader.draft()
    header = reader.header()
    if not mistakes and header:
        return Recipe(**vars(header), **vars(draft), **reader.used(), document=document)
    ordered = sorted(_not_following(mistakes, found), key=lambda mistake: document.order(mistake.path))
    problems = [document.problem(mistake) for mistake in ordered[:MOST_SHOWN]]
    if (more := len(ordered) - MOST_SHOWN) > 0:
        problems.append(Problem(str(document.file), "", f"has {more:,} more mistakes"))
    raise RecipeError(problems)


def _not_following(mistakes: Sequence[Mistake], found: Sequence[Mistake]) -> list[Mistake]:
    """The mistakes, each once, without what else is wrong with values whose references are."""
    told = {mistake.path for mistake in found}
    return [mistake for mistake in dict.fromkeys(mistakes) if mistake in found or mistake.path not in told]


def _components(sections: Draft) -> dict[KeyPath, Any]:
    """Keys of a table -> its component, as far as there are any."""
    found: dict[KeyPath, Any] = {}
    for section in NAMED:
        found |= {(section, name): component for name, component in getattr(sections, section).items()}
    found |= {(section,): getattr(sections, section) for section in SINGLE}
    if data := sections.data:
        source = data.source.source if isinstance(data.source, Cleaned) else data.source
        found |= {("data",): source, ("data", "split"): data.split}
    if measured := sections.evaluate:
        found |= {
            ("evaluate", key, name): component for key in MEASURES for name, component in getattr(measured, key).items()
        }
    return {path: component for path, component in found.items() if component is not None}
