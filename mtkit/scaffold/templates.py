"""What a new component of a kind is made of: files, and parts of a recipe, as text with names to be filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template

from mtkit.errors import PluginError, nearest

_PART = re.compile(r"^--- (.+)\n", re.MULTILINE)
_RECIPE = "recipe: "
#: Packages that a template may import -> what its distribution asks for.
_REQUIREMENTS = {"numpy": "numpy>=1.26", "pyarrow": "pyarrow>=16", "pydantic": "pydantic>=2.7"}


def kinds() -> tuple[str, ...]:
    """The kinds for which there is a template."""
    names = (path.name.removesuffix(".txt") for path in _directory().iterdir())
    return tuple(sorted(name for name in names if name not in ("common", "recipe")))


@dataclass(frozen=True)
class Made:
    """A new distribution.

    Attributes:
        files: path -> text.
        package: what is imported.
        value: `module:object` of its entry point.
    """

    files: Mapping[str, str]
    package: str
    value: str


def made(kind: str, name: str) -> Made:
    """The files of a distribution that offers a component.

    Args:
        kind: of the component.
        name: what recipes will call it.

    Raises:
        PluginError: there is no such kind, or the name is none.
    """
    if kind not in kinds():
        raise PluginError(f"there is no kind {kind!r}; {nearest(kind, kinds())}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise PluginError(f"expected a name of lower-case letters, digits and underscores, got {name!r}")
    # A strategy is a function, and called as one.
    cls = name if kind == "strategy" else "".join(part.capitalize() for part in name.split("_"))
    package = f"mtkit_{name}"
    own = _parts(kind)
    names = {"name": name, "kind": kind, "Class": cls, "package": package, "module": name}
    names |= {"distribution": package.replace("_", "-"), "dependencies": _dependencies(own)}
    texts = {**_parts("common"), **{path: text for path, text in own.items() if not path.startswith(_RECIPE)}}
    texts["recipe.toml"] = _recipe(
        {part.removeprefix(_RECIPE): text for part, text in own.items() if part.startswith(_RECIPE)}
    )
    files = {Template(path).substitute(names): Template(text).substitute(names) for path, text in texts.items()}
    return Made(files, package, f"{package}:{cls}")


def _recipe(own: Mapping[str, str]) -> str:
    """The recipe of all templates, of which some parts are those of a kind."""
    parts = _parts("recipe")
    if unknown := own.keys() - parts.keys():
        raise AssertionError(f"a template has parts of a recipe that there are not: {unknown}")
    return "\n".join(text for text in {**parts, **own}.values() if text)


def _dependencies(texts: Mapping[str, str]) -> str:
    """What is imported beside mtkit, as the rest of a list."""
    code = "\n".join(text for path, text in texts.items() if path.startswith("src/"))
    return "".join(
        f', "{wanted}"' for name, wanted in _REQUIREMENTS.items() if f"import {name}" in code or f"from {name}" in code
    )


def _parts(name: str) -> dict[str, str]:
    """The parts of a template by their headings."""
    text = (_directory() / f"{name}.txt").read_text(encoding="utf-8")
    _, *found = _PART.split(text)
    return dict(zip(found[::2], found[1::2], strict=True))


def _directory() -> resources.abc.Traversable:
    return resources.files("mtkit.scaffold") / "texts"
