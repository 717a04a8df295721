"""Which components are installed, by entry points: names come from metadata, code is imported when it is asked for."""

from __future__ import annotations

import functools
import inspect
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, get_args

from packaging.utils import canonicalize_name

from mtkit.errors import PluginError, nearest
from mtkit.recipe import plugin_files
from mtkit.schema import ColumnKind
from mtkit.spec import BASES
from mtkit.spec.evaluation import LabelKind
from mtkit.spec.heads import LabelForm, Output

GROUP = "mtkit."
OWN = "mtkit"
KINDS = (*BASES, "strategy", "hooks")

#: Environment variable with the distributions whose plugins there are.
LIMIT = "MTKIT_PLUGINS"

#: Components that mtkit's own plugin distributions offer, so that a missing one can be named.
KNOWN_PLUGINS = {
    ("data_source", "complete_journey"): "mtkit-datasets",
    ("data_source", "kuairand_pure"): "mtkit-datasets",
    ("data_source", "movielens_100k"): "mtkit-datasets",
    ("data_source", "movietweetings"): "mtkit-datasets",
    ("data_source", "s3rec"): "mtkit-datasets",
    ("data_source", "stackexchange"): "mtkit-datasets",
    ("encoder", "bert"): "mtkit-bert",
    ("task_head", "tfrs_retrieval"): "mtkit-tfrs",
    ("task_head", "tfrs_ranking"): "mtkit-tfrs",
    ("correlation", "task_graph"): "mtkit-tfgnn",
    ("encoder", "user_item_graph"): "mtkit-tfgnn",
}


@dataclass(frozen=True)
class Entry:
    """One entry point.

    Attributes:
        kind: the group without `mtkit.`.
        name: what recipes call it.
        value: `module:object`.
        distribution: who offers it.
        version: the distribution's version.
    """

    kind: str
    name: str
    value: str
    distribution: str
    version: str

    def load(self) -> Any:
        """The object: a spec class of the entry's kind, a factory, or a class with hooks.

        Raises:
            PluginError: the object cannot be imported, or is not what its kind asks for.
        """
        try:
            loaded = metadata.EntryPoint(self.name, self.value, GROUP + self.kind).load()
        except Exception as error:  # foreign code may fail with anything
            raise self._broken(f"{type(error).__name__}: {error}") from error
        base = BASES.get(self.kind)
        if base and not (isinstance(loaded, type) and issubclass(loaded, base)):
            raise self._broken(f"expected a subclass of mtkit.spec.{base.__name__}, got {loaded!r}")
        if base and (misfit := _misfit(loaded, base) or _unknown_word(loaded)):
            raise self._broken(misfit)
        if self.kind == "hooks" and not isinstance(loaded, type):
            raise self._broken(f"expected a class, got {loaded!r}")
        if not callable(loaded):
            raise self._broken(f"expected a callable, got {loaded!r}")
        return loaded

    def _broken(self, reason: str) -> PluginError:
        return PluginError(
            f"{self.kind} {self.name!r} of {self.distribution} {self.version} ({self.value}) is broken: {reason}"
        )


class Registry:
    """The components that can be named in a recipe."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(sorted(entries, key=_order))
        self._found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self._entries:
            self._found[entry.kind, entry.name].append(entry)

    @classmethod
    def installed(cls) -> Registry:
        """What the installed distributions offer in groups `mtkit.<kind>`, and files that were given; imports none of it.

        Of the distributions, mtkit and those that the variable `MTKIT_PLUGINS` names, where it is set, separated by commas.
        """
        points, wanted = metadata.entry_points(), _wanted()
        entries = [
            Entry(group.removeprefix(GROUP), point.name, point.value, *_name_and_version(point.dist))
            for group in points.groups
            if group.startswith(GROUP)
            for point in points.select(group=group)
            if point.dist
        ]
        files = [
            Entry(kind, name, f"{file.module.__name__}:{value}", file.name, file.digest.partition(":")[2][:12])
            for file in plugin_files.given().values()
            for kind, name, value in file.components()
        ]
        return cls(
            [entry for entry in entries if wanted is None or canonicalize_name(entry.distribution) in wanted] + files
        )

    def entries(self) -> tuple[Entry, ...]:
        """All entries, by kind in the order of `KINDS`, then by name."""
        return self._entries

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of one kind, those that several distributions offer with whose they are."""
        found = [name for of_kind, name in self._found if of_kind == kind]
        twice = [f"{e.distribution}:{name}" for name in found for e in self._several(kind, name)]
        return (*(name for name in found if not self._several(kind, name)), *twice)

    def _several(self, kind: str, name: str) -> list[Entry]:
        """The entries of a name that several distributions offer; none where one does."""
        found = self._found[kind, name]
        return found if len(found) > 1 else []

    def entry(self, kind: str, name: str) -> Entry:
        """The one entry of this kind and name, which may say whose it is: `DISTRIBUTION:NAME`.

        Raises:
            PluginError: there is none, or several distributions offer it and the name does not say which is meant.
        """
        distribution, _, own = name.rpartition(":")
        offered = self._found.get((kind, own), [])
        found = [entry for entry in offered if not distribution or _is_of(entry, distribution)]
        if len(found) == 1:
            return found[0]
        if found:
            offers = " and ".join(f"{e.distribution} {e.version} ({e.value})" for e in found)
            names = " or ".join(f'"{e.distribution}:{own}"' for e in found)
            raise PluginError(f"{kind} {name!r} is offered twice, by {offers}; say which is meant: {names}")
        if offered:
            whose = [entry.distribution for entry in offered]
            raise PluginError(f"{distribution} offers no {kind} named {own!r}; {nearest(distribution, whose)}")
        if known := KNOWN_PLUGINS.get((kind, name)):
            raise PluginError(f"{kind} {name!r} comes with {known}; run: pip install {known}")
        installable = {n for k, n in KNOWN_PLUGINS if k == kind}
        raise PluginError(f"no {kind} is named {name!r}; {nearest(name, {*self.names(kind), *installable})}")

    def get(self, kind: str, name: str) -> Any:
        """Imports and returns what recipes call `name`: a spec class, or a factory for kinds `strategy` and `callback`.

        Raises:
            PluginError: the name is unknown, offered twice, or its plugin is broken.
        """
        return self.entry(kind, name).load()

    def name_of(self, component: type) -> str:
        """What recipes call a class, or `module:class` where no distribution offers it."""
        value = f"{component.__module__}:{component.__qualname__}"
        kind = getattr(component, "kind", None)
        found = next((e for e in self._entries if (e.kind, e.value) == (kind, value)), None)
        if found is None:
            return value
        return found.name if len(self._found[found.kind, found.name]) == 1 else f"{found.distribution}:{found.name}"

    def own(self, kind: str, name: str) -> str:
        """What to call a component of mtkit's own that no recipe has named: as it is, unless another offers the name, too."""
        return name if len(self._found.get((kind, name), [])) < 2 else f"{OWN}:{name}"

    def whose(self, component: type) -> str:
        """A class as messages name it: `encoder 'words' of mtkit-words 1.0`, or by module where no distribution offers it."""
        value, kind = f"{component.__module__}:{component.__qualname__}", getattr(component, "kind", "hooks")
        found = next((e for e in self._entries if (e.kind, e.value) == (kind, value)), None)
        return f"{kind} {found.name!r} of {found.distribution} {found.version}" if found else f"{kind} {value}"

    def with_option(self, kind: str, key: str) -> tuple[str, ...]:
        """Names of mtkit's own components of a kind that have an option; those of plugins need not be there to say it."""
        own = (entry for entry in self._entries if entry.kind == kind and entry.distribution == "mtkit")
        return tuple(entry.name for entry in own if key in getattr(entry.load(), "model_fields", ()))


def _misfit(component: type, base: type) -> str:
    """Which property of the base class is written as a method, or the other way; empty if none is."""
    for cls in component.__mro__[: component.__mro__.index(base)]:
        for name, own in vars(cls).items():
            if name.startswith("__") or not (inspect.isfunction(own) or isinstance(own, property)):
                continue
            expected = inspect.getattr_static(base, name, None)
            if isinstance(expected, property) and inspect.isfunction(own):
                return f"{cls.__name__}.{name} is a method, and {base.__name__}.{name} a property; write @property before it"
            if inspect.isfunction(expected) and isinstance(own, property):
                return f"{cls.__name__}.{name} is a property, and {base.__name__}.{name} a method; remove @property"
            if isinstance(expected, bool | str | tuple | frozenset) and inspect.isfunction(own):
                return f"{cls.__name__}.{name} is a method, and {base.__name__}.{name} a value of the class; write {name} = ..."
    return ""


#: Values of classes that are words -> those that there are.
_WORDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("encoder", "reads_kinds"): get_args(ColumnKind),
    ("correlation", "features_kinds"): get_args(ColumnKind),
    ("preprocessor", "column_kinds"): get_args(ColumnKind),
    ("prediction_metric", "labels"): get_args(LabelKind),
    ("task_head", "form"): get_args(LabelForm),
    ("task_head", "hands_on"): get_args(Output),
    ("baseline", "form"): ("retrieval", "prediction"),
}


def _unknown_word(component: Any) -> str:
    """Which value of a class has a word that there is not, or is none where it has to be; empty if none is."""
    for (kind, name), known in _WORDS.items():
        if kind != component.kind:
            continue
        given = getattr(component, name, None)
        if given is None:
            number = "some" if name == "labels" else "one"
            return f"{component.__name__}.{name} is missing; expected {number} of {', '.join(known)}"
        if name == "labels" and not isinstance(given, set | frozenset):
            return f"{component.__name__}.labels is a {type(given).__name__}; write frozenset({{...}})"
        for word in [given] if isinstance(given, str) else given:
            if word not in known:
                return f"{component.__name__}.{name} has {word!r}, which there is not; {nearest(str(word), filter(None, known))}"
    return ""


def _wanted() -> frozenset[str] | None:
    """The distributions whose components can be named; None = all that are installed."""
    given = os.environ.get(LIMIT)
    if given is None:
        return None
    return frozenset(canonicalize_name(name.strip()) for name in (OWN, *given.split(",")) if name.strip())


def _is_of(entry: Entry, distribution: str) -> bool:
    return canonicalize_name(entry.distribution) == canonicalize_name(distribution)


def _order(entry: Entry) -> tuple[int, str, str]:
    return (KINDS.index(entry.kind) if entry.kind in KINDS else len(KINDS), entry.kind, entry.name)


@functools.cache
def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    fields = distribution.metadata  # parsed anew at each access
    return fields["Name"], fields["Version"]
