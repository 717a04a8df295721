# ruff: noqa: INP001 - a script, not a package
"""Builds the site of the documentation with MkDocs, from the pages as they lie in the repository: `make site`.

Pages keep their places below `build/pages`, so that their links hold. The recipe reference becomes a page for each of its
sections, and links to its parts lead there. Files that pages link to come along.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from markdown.extensions.toc import slugify

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "pages"
RECIPE = Path("docs/recipe.md")
BAR = r"\|"
#: Links that lead nowhere, which MkDocs does not look for in its strict mode.
LOST: list[str] = []
_LINK = re.compile(r"(\]\()([^)#\s]*)(#[^)\s]+)?(\))")
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def sources() -> list[Path]:
    """The pages, below the repository."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    found += [*sorted((ROOT / "docs").glob("**/*.md")), *sorted((ROOT / "plugins").glob("*/README.md"))]
    return [path.relative_to(ROOT) for path in found]


def sections(text: str) -> dict[str, str]:
    """Name of a page of the recipe reference -> its text; the first, `index`, is what stands before all sections."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    inside = [False]
    for part in parts:  # a heading in a block of code is none
        inside.append(inside[-1] != (len(re.findall(r"^```", part, re.MULTILINE)) % 2 == 1))
    whole: list[str] = []
    for part, within in zip(parts, inside, strict=False):
        if within:
            whole[-1] += part
        else:
            whole.append(part)
    pages = {"index": whole[0]}
    for part in whole[1:]:
        pages[_slug(part.splitlines()[0])] = _prose(
            part, lambda text: re.sub(r"^#(#+ )", r"\1", text, flags=re.MULTILINE)
        )
    return pages


def anchors(pages: dict[str, str]) -> dict[str, str]:
    """Anchor -> the page of the recipe reference that it is on."""
    found: dict[str, str] = {}
    for name, text in pages.items():
        for heading in re.findall(r"^#+ .*$", _FENCE.sub("", text), re.MULTILINE):
            slug, number = _slug(heading), 0
            while slug in found:
                number += 1
                slug = f"{_slug(heading)}_{number}"
            found.setdefault(slug, name)
    return found


def _slug(heading: str) -> str:
    return str(slugify(re.sub(r"[`\[\]]", "", heading.lstrip("# ")), "-"))


def laid_out() -> list[dict[str, str]]:
    """Writes the pages, and gives the navigation of the recipe reference."""
    shutil.rmtree(PAGES, ignore_errors=True)
    reference = sections((ROOT / RECIPE).read_text(encoding="utf-8"))
    places = anchors(reference)
    for path in sources():
        if path != RECIPE:
            _write(path, (ROOT / path).read_text(encoding="utf-8"), path, places)
    for name, text in reference.items():
        _write(RECIPE.parent / "recipe" / f"{name}.md", text, RECIPE, places)
    return [{_title(text): f"docs/recipe/{name}.md"} for name, text in reference.items()]


def _title(text: str) -> str:
    return re.sub(r"[`#]", "", text.splitlines()[0]).strip()


def _write(path: Path, text: str, source: Path, places: dict[str, str]) -> None:
    """Writes a page, whose links hold where it lies now.

    Args:
        path: where, below the pages.
        text: what.
        source: the page of the repository that it is, or is a part of.
        places: as of `anchors`.
    """
    made = _prose(text, lambda part: _LINK.sub(lambda found: _link(found, path, source, places), _barred(part)))
    target = PAGES / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(made, encoding="utf-8")


def _prose(text: str, change: Callable[[str], str]) -> str:
    """A text whose blocks of code stay as they are."""
    codes = [*_FENCE.findall(text), ""]
    return "".join(f"{change(part)}{code}" for part, code in zip(_FENCE.split(text), codes, strict=True))


def _barred(text: str) -> str:
    r"""Code in tables that has `\|` in it, as HTML: MkDocs shows the backslash otherwise."""

    def code(found: re.Match[str]) -> str:
        return f"<code>{html.escape(found.group(1)).replace(BAR, '&#124;')}</code>"

    return re.sub(r"`([^`\n]*\\\|[^`\n]*)`", code, text)


def _link(found: re.Match[str], path: Path, source: Path, places: dict[str, str]) -> str:
    """A link as it is to be written, and the file that it leads to beside the pages, if it does."""
    begin, target, anchor, end = found.groups(default="")
    if "://" in target or target.startswith("mailto:"):
        return found.group()
    whole = (ROOT / source.parent / target).resolve() if target else (ROOT / source)
    if whole == ROOT / RECIPE:
        if anchor and anchor[1:] not in places:
            LOST.append(f"{source}: no heading of {RECIPE} has the anchor {anchor}")
        place = Path("docs/recipe") / f"{places.get(anchor[1:], 'index')}.md"
    elif whole.is_dir():
        return f"{begin}{_relative(_listing(whole.relative_to(ROOT)), path)}{end}"
    else:
        place = whole.relative_to(ROOT)
        if place not in sources():
            _copy(place)
    same = place == path and anchor
    return f"{begin}{'' if same else _relative(place, path)}{anchor}{end}"


def _relative(place: Path, path: Path) -> str:
    return Path(*[".."] * len(path.parent.parts), place).as_posix()


def _copy(place: Path) -> None:
    target = PAGES / place
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / place, target)


def _listing(folder: Path) -> Path:
    """A page that lists the files of a folder, which come along."""
    files = sorted(file.relative_to(ROOT) for file in (ROOT / folder).iterdir() if file.is_file())
    for file in files:
        _copy(file)
    target = PAGES / folder / "files.md"
    lines = [f"# {folder}", "", *(f"- [{file.name}]({file.name})" for file in files)]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "files.md"


def main() -> None:
    """Lays the pages out, and builds the site; any warning of MkDocs is an error."""
    reference = laid_out()
    if LOST:
        sys.exit("\n".join(LOST))
    settings: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    nav = settings["nav"]
    settings["nav"] = [
        {key: reference if pages == ["RECIPE"] else pages for key, pages in item.items()} for item in nav
    ]
    path = PAGES.parent / "mkdocs.yml"
    told = settings | {"docs_dir": "pages", "site_dir": "site"}
    path.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", str(path)]
    sys.exit(subprocess.run(words, check=False).returncode)  # noqa: S603 - words of our own


if __name__ == "__main__":
    main()
